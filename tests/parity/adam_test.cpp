// adam: steps over one flat buffer against float64.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class Adam : public BackendTest {
 protected:
  /// `steps` steps whose gradients are successive windows of one long buffer.
  void compare(std::uint64_t seed, std::int64_t size, int steps, AdamOptions options,
               double learning_rate, std::int64_t skew) {
    Random random(seed);
    const std::vector<float> start = random.normals(size, 0.1);
    std::vector<float> gradient_values = random.normals(size * steps, 1e-2);
    for (std::size_t i = 0; i < gradient_values.size(); i += 5)
      gradient_values[i] *= 1e-6f;
    for (std::size_t i = 0; i < gradient_values.size(); i += 7)
      gradient_values[i] = 0.0f;
    for (std::size_t i = 3; i < gradient_values.size(); i += 11)
      gradient_values[i] *= 1e3f;

    Trial trial = this->trial(seed, std::to_string(size) + ", " + std::to_string(steps) + " steps");
    trial.set_skew(skew);
    auto parameters = trial.in_out(start);
    auto gradients = trial.input(gradient_values);
    auto m = trial.in_out(std::vector<float>(start.size(), 0.0f));
    auto v = trial.in_out(std::vector<float>(start.size(), 0.0f));
    trial.set_skew(0);
    AdamState initial;
    initial.learning_rate = learning_rate;
    auto state = trial.in_out(std::vector<AdamState>{initial});
    trial.run([&](Backend& backend) {
      for (int t = 0; t < steps; ++t) {
        backend.adam(parameters.span(),
                     gradients.span().subspan(static_cast<std::size_t>(t * size),
                                              static_cast<std::size_t>(size)),
                     m.span(), v.span(), options, state.data());
      }
    });

    oracle::Adam adam;
    adam.beta1 = double{options.beta1};
    adam.beta2 = double{options.beta2};
    adam.epsilon = double{options.epsilon};
    std::vector<double> want = widen(start);
    for (int t = 0; t < steps; ++t) {
      adam.step(want,
                std::vector<double>(gradient_values.begin() + t * size,
                                    gradient_values.begin() + (t + 1) * size),
                learning_rate);
    }
    trial.expect_close("parameters", parameters, want,
                       {.absolute = 2e-6 * learning_rate * steps, .relative = 1e-6});
    trial.expect_close("first_moment", m, adam.first_moment,
                       {.absolute = 1e-6, .relative = 1e-5, .norm = 1e-6});
    trial.expect_close("second_moment", v, adam.second_moment,
                       {.absolute = 1e-20, .relative = 2e-5});
    const AdamState got = state.values()[0];
    EXPECT_EQ(got.step, steps) << trial.context();
    if (size == 0) return;
    const double step_size = learning_rate * std::sqrt(1.0 - std::pow(adam.beta2, steps)) /
                             (1.0 - std::pow(adam.beta1, steps));
    EXPECT_NEAR(double{got.step_size}, step_size, 1e-6 * step_size) << trial.context();
  }
};
HOURGLASS_FOR_EVERY_BACKEND(Adam);

TEST_P(Adam, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t size : edge_sizes(emulated())) {
    if (size == 0) continue;
    for (const std::int64_t skew : {0, 1})
      compare(++seed, size, 3, {}, 1e-3, skew);
  }
}

TEST_P(Adam, StaysCloseOverAHundredSteps) {
  compare(50, 785, 100, {}, 1e-3, 1);
  compare(51, 33, 100, {.beta1 = 0.5f, .beta2 = 0.9f, .epsilon = 1e-3f}, 0.05, 0);
}

TEST_P(Adam, ReadsTheLearningRateThatTheStateHolds) {
  Trial trial = this->trial(0, "1");
  auto p = trial.in_out(std::vector<float>{1.0f});
  auto g = trial.input(std::vector<float>{1.0f});
  auto m = trial.in_out(std::vector<float>{0.0f});
  auto v = trial.in_out(std::vector<float>{0.0f});
  AdamState initial;
  initial.learning_rate = 0.25;
  auto state = trial.in_out(std::vector<AdamState>{initial});
  trial.run([&](Backend& b) { b.adam(p.span(), g.span(), m.span(), v.span(), {}, state.data()); });
  trial.expect_close("parameter", p, std::vector<double>{0.75}, {.absolute = 2e-6});
}

TEST_P(Adam, LetsNanThrough) {
  std::vector<float> gradient(33, 1.0f);
  gradient[32] = std::numeric_limits<float>::quiet_NaN();
  Trial trial = this->trial(0, "33");
  auto p = trial.in_out(std::vector<float>(33, 1.0f));
  auto g = trial.input(gradient);
  auto m = trial.in_out(std::vector<float>(33, 0.0f));
  auto v = trial.in_out(std::vector<float>(33, 0.0f));
  auto state = trial.in_out(std::vector<AdamState>{{}});
  trial.run([&](Backend& b) { b.adam(p.span(), g.span(), m.span(), v.span(), {}, state.data()); });
  EXPECT_TRUE(std::isnan(p.values()[32])) << trial.context();
  EXPECT_FALSE(std::isnan(p.values()[31])) << trial.context();
}

TEST_P(Adam, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<AdamState> state(backend(), 1);
  const auto call = [&](std::int64_t gradients, std::int64_t m, std::int64_t v) {
    backend().adam(memory.span(0, 8), memory.span(16, gradients), memory.span(32, m),
                   memory.span(48, v), {}, state.data());
  };
  expect_refused("adam", [&] { call(7, 8, 8); });
  expect_refused("adam", [&] { call(8, 9, 8); });
  expect_refused("adam", [&] { call(8, 8, 7); });
}

}  // namespace
}  // namespace hourglass::parity
