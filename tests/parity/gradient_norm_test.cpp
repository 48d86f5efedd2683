// gradient_norm: the norm in float64 and the scale that limits it, both into the state.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class GradientNorm : public BackendTest {
 protected:
  void compare(Trial trial, std::int64_t skew, const std::vector<float>& values, float max_norm) {
    trial.set_skew(skew);
    auto gradients = trial.input(values);
    trial.set_skew(0);
    OptimiserState before;
    before.step = 41;
    before.learning_rate = 0.5;
    before.beta1_power = 0.25;
    before.beta2_power = 0.125;
    before.gradient_norm = -1.0;
    before.gradient_scale = -1.0f;
    before.step_size = 2.0f;
    before.decay = 3.0f;
    auto state = trial.in_out(std::vector<OptimiserState>{before});
    trial.run(
        [&](Backend& backend) { backend.gradient_norm(gradients.span(), max_norm, state.data()); });
    const oracle::GradientNorm want = oracle::gradient_norm(widen(values), double{max_norm});
    const OptimiserState got = state.values()[0];
    trial.expect_close("gradient_norm", std::vector<double>{got.gradient_norm},
                       oracle::Matrix64(1, 1, want.norm), {.relative = 1e-13});
    trial.expect_close("gradient_scale", std::vector<double>{double{got.gradient_scale}},
                       oracle::Matrix64(1, 1, want.scale), {.relative = 1e-7});
    EXPECT_EQ(got.step, 41) << trial.context();
    EXPECT_EQ(got.learning_rate, 0.5) << trial.context();
    EXPECT_EQ(got.beta1_power, 0.25) << trial.context();
    EXPECT_EQ(got.beta2_power, 0.125) << trial.context();
    EXPECT_EQ(got.step_size, 2.0f) << trial.context();
    EXPECT_EQ(got.decay, 3.0f) << trial.context();
  }
};
HOURGLASS_FOR_EVERY_BACKEND(GradientNorm);

TEST_P(GradientNorm, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t size : edge_sizes(emulated())) {
    for (const std::int64_t skew : {0, 1}) {
      for (const float max_norm : {0.01f, 1e6f}) {
        const std::vector<float> gradients = Random(++seed).normals(size, 3.0);
        compare(trial(seed, std::to_string(size)), skew, gradients, max_norm);
      }
    }
  }
}

TEST_P(GradientNorm, ScalesOnlyWhatIsLonger) {
  const std::vector<float> gradients{3.0f, 0.0f, -4.0f};
  for (const float max_norm : {2.5f, 4.9999995f, 5.0f, 5.0000005f, 0.0f})
    compare(trial(0, "norm 5"), 0, gradients, max_norm);
  compare(trial(0, "norm 0"), 0, std::vector<float>(5, 0.0f), 1.0f);
  compare(trial(0, "norm 0, limit 0"), 0, std::vector<float>(5, 0.0f), 0.0f);
}

TEST_P(GradientNorm, SumsInFloat64) {
  // Squares beyond float32 at both ends, and small ones behind a large one.
  compare(trial(0, "1e30"), 0, std::vector<float>(300, 1e30f), 1.0f);
  compare(trial(0, "1e-30"), 0, std::vector<float>(300, 1e-30f), 1e-29f);
  std::vector<float> gradients(5000, 1e-3f);
  gradients[17] = 1e4f;
  compare(trial(0, "1e4"), 0, gradients, 1.0f);
}

TEST_P(GradientNorm, LetsNanThrough) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{32}}) {
    std::vector<float> gradients(33, 1.0f);
    gradients[at] = std::numeric_limits<float>::quiet_NaN();
    compare(trial(0, "33"), 0, gradients, 1.0f);
  }
}

}  // namespace
}  // namespace hourglass::parity
