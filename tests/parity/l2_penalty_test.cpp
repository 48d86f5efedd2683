// l2_penalty: rows * lambda / 2 * sum of weights^2, gradient += lambda * weights.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class L2Penalty : public BackendTest {
 protected:
  static constexpr double start = 2.0;

  struct Case {
    bool with_gradient = true;
    float lambda = 3.7e-4f;
    std::int64_t rows = 96;
    std::int64_t weights_skew = 0;
    std::int64_t gradient_skew = 0;
  };

  void compare(Trial trial, const Case& at, const std::vector<float>& values) {
    const std::vector<float> before =
        Random(99).normals(static_cast<std::int64_t>(values.size()), 1e-3);
    trial.set_skew(at.weights_skew);
    auto weights = trial.input(values);
    trial.set_skew(at.gradient_skew);
    auto gradient = trial.in_out(before);
    trial.set_skew(0);
    auto penalty = trial.in_out(std::vector<double>{start});
    trial.run([&](Backend& backend) {
      backend.l2_penalty(weights.span(), at.lambda, at.rows,
                         at.with_gradient ? gradient.span() : std::span<float>{}, penalty.data());
    });
    const oracle::PenaltyOutput want =
        oracle::l2_penalty(widen(values), double{at.lambda}, at.rows);
    trial.expect_close("penalty", penalty, std::vector<double>{start + want.penalty},
                       {.relative = 1e-13});
    std::vector<double> wanted = widen(before);
    std::vector<double> scale = widen(before);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (at.with_gradient) wanted[i] += want.gradient.values[i];
      scale[i] = std::abs(scale[i]) + std::abs(wanted[i]);
    }
    const oracle::Matrix64 magnitudes(1, static_cast<std::int64_t>(scale.size()), scale);
    trial.expect_close("gradient", gradient, wanted, {.absolute = 2e-7, .scale = &magnitudes});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(L2Penalty);

TEST_P(L2Penalty, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t size : edge_sizes(emulated())) {
    for (const bool with_gradient : {true, false}) {
      for (const int skewed : {0, 1, 2}) {
        const std::vector<float> weights = Random(++seed).normals(size, 3.0);
        compare(trial(seed, std::to_string(size)),
                {.with_gradient = with_gradient,
                 .weights_skew = skewed == 1 ? 1 : 0,
                 .gradient_skew = skewed == 2 ? 1 : 0},
                weights);
      }
    }
  }
}

TEST_P(L2Penalty, SumsInFloat64) {
  // Squares beyond float32 at both ends, and a sum that float32 would lose the small ones of.
  std::vector<float> weights(5000, 1e-3f);
  weights[17] = 1e4f;
  weights[4999] = 1e-30f;
  compare(trial(1, "1e4"), {.lambda = 1.0f, .rows = 1}, weights);
  compare(trial(1, "1e30"), {.with_gradient = false, .lambda = 1.0f, .rows = 1},
          std::vector<float>(300, 1e30f));
  compare(trial(1, "1e-30"), {.with_gradient = false, .lambda = 1.0f, .rows = 1},
          std::vector<float>(300, 1e-30f));
}

TEST_P(L2Penalty, LetsNanThrough) {
  std::vector<float> weights(33, 0.5f);
  weights[32] = std::numeric_limits<float>::quiet_NaN();
  compare(trial(0, "33"), {}, weights);
}

TEST_P(L2Penalty, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<double> penalty(backend(), 1);
  expect_refused("l2_penalty", [&] {
    backend().l2_penalty(memory.span(0, 12), 0.1f, 3, memory.span(32, 11), penalty.data());
  });
}

}  // namespace
}  // namespace hourglass::parity
