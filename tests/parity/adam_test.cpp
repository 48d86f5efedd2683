// adam: steps over one flat buffer against float64.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class Adam : public BackendTest {
 protected:
  struct Case {
    int steps = 3;
    AdamOptions options = {};
    double learning_rate = 1e-3;
    std::int64_t decayed = 0;
    float gradient_scale = 1.0f;
    int skewed = -1;  ///< which argument is not aligned
  };

  /// `steps` steps whose gradients are successive windows of one long buffer.
  void compare(std::uint64_t seed, std::int64_t size, const Case& at) {
    const auto& [steps, options, learning_rate, decayed, gradient_scale, skewed] = at;
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
    int argument = 0;
    const auto skew_next = [&, skewed = skewed] { trial.set_skew(skewed == argument++ ? 1 : 0); };
    skew_next();
    auto parameters = trial.in_out(start);
    skew_next();
    auto gradients = trial.input(gradient_values);
    skew_next();
    auto m = trial.in_out(std::vector<float>(start.size(), 0.0f));
    skew_next();
    auto v = trial.in_out(std::vector<float>(start.size(), 0.0f));
    trial.set_skew(0);
    OptimiserState initial;
    initial.learning_rate = learning_rate;
    initial.gradient_scale = gradient_scale;
    auto state = trial.in_out(std::vector<OptimiserState>{initial});
    trial.run([&](Backend& backend) {
      for (int t = 0; t < at.steps; ++t) {
        backend.adam(parameters.span(),
                     gradients.span().subspan(static_cast<std::size_t>(t * size),
                                              static_cast<std::size_t>(size)),
                     m.span(), v.span(), at.decayed, at.options, state.data(), {});
      }
    });

    oracle::Adam adam;
    adam.beta1 = double{options.beta1};
    adam.beta2 = double{options.beta2};
    adam.epsilon = double{options.epsilon};
    adam.weight_decay = double{options.weight_decay};
    adam.decayed = static_cast<std::size_t>(decayed);
    adam.gradient_scale = double{gradient_scale};
    std::vector<double> want = widen(start);
    for (int t = 0; t < steps; ++t) {
      adam.step(want,
                std::vector<double>(gradient_values.begin() + t * size,
                                    gradient_values.begin() + (t + 1) * size),
                learning_rate);
    }
    trial.expect_close("parameters", parameters, want,
                       {.absolute = 2e-6 * learning_rate * steps, .relative = 1e-6});
    // The gradients of one parameter may cancel.
    trial.expect_close("first_moment", m, adam.first_moment,
                       {.absolute = 1e-6, .relative = 1e-5, .norm = size == 1 ? 0.0 : 1e-6});
    trial.expect_close("second_moment", v, adam.second_moment,
                       {.absolute = 1e-20, .relative = 2e-5});
    const OptimiserState got = state.values()[0];
    EXPECT_EQ(got.step, steps) << trial.context();
    EXPECT_EQ(got.gradient_scale, gradient_scale) << trial.context();
    EXPECT_NEAR(double{got.decay}, learning_rate * adam.weight_decay,
                1e-7 * learning_rate * adam.weight_decay)
        << trial.context();
    const double step_size = learning_rate * std::sqrt(1.0 - std::pow(adam.beta2, steps)) /
                             (1.0 - std::pow(adam.beta1, steps));
    EXPECT_NEAR(double{got.step_size}, step_size, 1e-6 * step_size) << trial.context();
  }
};
HOURGLASS_FOR_EVERY_BACKEND(Adam);

TEST_P(Adam, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t size : edge_sizes(emulated())) {
    for (int skewed = -1; skewed < 4; ++skewed)
      compare(++seed, size, {.skewed = skewed});
  }
}

TEST_P(Adam, ShrinksTheFirstParametersAlone) {
  std::uint64_t seed = 60;
  for (const std::int64_t size : {1, 33, 257, 785}) {
    for (const std::int64_t decayed :
         {std::int64_t{0}, std::int64_t{1}, size / 3, size - 1, size}) {
      ++seed;
      compare(seed, size,
              {.options = {.weight_decay = 0.3f},
               .learning_rate = 0.1,
               .decayed = decayed,
               .skewed = static_cast<int>(any_skew(seed, 2)) - 1});
    }
  }
}

TEST_P(Adam, ScalesTheGradients) {
  compare(80, 785, {.gradient_scale = 0.125f});
  compare(81, 33, {.options = {.weight_decay = 0.01f}, .decayed = 20, .gradient_scale = 1e-3f});
}

TEST_P(Adam, StaysCloseOverAHundredSteps) {
  compare(50, 785, {.steps = 100, .skewed = 0});
  compare(51, 33,
          {.steps = 100,
           .options = {.beta1 = 0.5f, .beta2 = 0.9f, .epsilon = 1e-3f},
           .learning_rate = 0.05});
}

TEST_P(Adam, ReadsTheLearningRateThatTheStateHolds) {
  Trial trial = this->trial(0, "1");
  auto p = trial.in_out(std::vector<float>{1.0f});
  auto g = trial.input(std::vector<float>{1.0f});
  auto m = trial.in_out(std::vector<float>{0.0f});
  auto v = trial.in_out(std::vector<float>{0.0f});
  OptimiserState initial;
  initial.learning_rate = 0.25;
  auto state = trial.in_out(std::vector<OptimiserState>{initial});
  trial.run(
      [&](Backend& b) { b.adam(p.span(), g.span(), m.span(), v.span(), 0, {}, state.data(), {}); });
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
  auto state = trial.in_out(std::vector<OptimiserState>{{}});
  trial.run(
      [&](Backend& b) { b.adam(p.span(), g.span(), m.span(), v.span(), 0, {}, state.data(), {}); });
  EXPECT_TRUE(std::isnan(p.values()[32])) << trial.context();
  EXPECT_FALSE(std::isnan(p.values()[31])) << trial.context();
}

TEST_P(Adam, SpreadsAScaleThatIsNan) {
  Trial trial = this->trial(0, "33");
  auto p = trial.in_out(std::vector<float>(33, 1.0f));
  auto g = trial.input(std::vector<float>(33, 1.0f));
  auto m = trial.in_out(std::vector<float>(33, 0.0f));
  auto v = trial.in_out(std::vector<float>(33, 0.0f));
  OptimiserState initial;
  initial.gradient_scale = std::numeric_limits<float>::quiet_NaN();
  auto state = trial.in_out(std::vector<OptimiserState>{initial});
  trial.run(
      [&](Backend& b) { b.adam(p.span(), g.span(), m.span(), v.span(), 0, {}, state.data(), {}); });
  for (const float value : p.values())
    EXPECT_TRUE(std::isnan(value)) << trial.context();
}

/// Loss and penalty of each step go to its place in the epoch, and their sums begin anew.
TEST_P(Adam, FilesTheFiguresOfAStep) {
  // More than a block of parameters, of which the last to finish files.
  Buffer<float> p(backend(), 3000), m(backend(), 3000), v(backend(), 3000);
  for (Buffer<float>* buffer : {&p, &m, &v})
    buffer->zero();
  const Buffer<float> g(backend(), std::vector<float>(3000, 1.0f));
  Buffer<double> sums(backend(), 2), figures(backend(), 2 * 3);
  figures.upload(std::vector<double>(6, -1.0));
  Buffer<OptimiserState> state(backend(), 1);
  OptimiserState late;
  late.step = 2 * 3 + 1;  // the second step of the third epoch comes next
  state.upload({&late, 1});
  std::vector<double> want(6, -1.0);
  for (const int step : {1, 2, 0}) {
    const double loss = 10.0 + step, penalty = 0.5 * step;
    sums.upload(std::vector<double>{loss, penalty});
    const StepFigures places{sums.data(), figures.data(), figures.data() + 3, 3};
    backend().adam(p.span(), g.span(), m.span(), v.span(), 0, {}, state.data(), places);
    want[static_cast<std::size_t>(step)] = loss;
    want[static_cast<std::size_t>(3 + step)] = penalty;
    EXPECT_EQ(figures.download(), want) << "step " << step;
    EXPECT_EQ(sums.download(), (std::vector<double>{0.0, 0.0}));
  }
  EXPECT_EQ(state.download().front().step, 10);
}

TEST_P(Adam, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<OptimiserState> state(backend(), 1);
  const auto call = [&](std::int64_t gradients, std::int64_t m, std::int64_t v,
                        std::int64_t decayed = 0) {
    backend().adam(memory.span(0, 8), memory.span(16, gradients), memory.span(32, m),
                   memory.span(48, v), decayed, {}, state.data(), {});
  };
  expect_refused("adam", [&] { call(7, 8, 8); });
  expect_refused("adam", [&] { call(8, 9, 8); });
  expect_refused("adam", [&] { call(8, 8, 7); });
  expect_refused("adam", [&] { call(8, 8, 8, 9); });
  expect_refused("adam", [&] { call(8, 8, 8, -1); });
}

}  // namespace
}  // namespace hourglass::parity
