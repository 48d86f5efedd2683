// sgd: steps over one flat buffer against float64.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class Sgd : public BackendTest {
 protected:
  struct Case {
    int steps = 3;
    float momentum = 0.9f;
    float gradient_scale = 1.0f;
    double learning_rate = 0.05;
    int skewed = -1;  ///< which argument is not aligned
  };

  /// `steps` steps whose gradients are successive windows of one long buffer.
  void compare(std::uint64_t seed, std::int64_t size, const Case& at) {
    Random random(seed);
    const std::vector<float> start = random.normals(size, 0.1);
    const std::vector<float> gradient_values = random.normals(size * at.steps, 1.0);

    Trial trial = this->trial(seed, std::to_string(size));
    trial.set_skew(at.skewed == 0 ? 1 : 0);
    auto parameters = trial.in_out(start);
    trial.set_skew(at.skewed == 1 ? 1 : 0);
    auto gradients = trial.input(gradient_values);
    trial.set_skew(at.skewed == 2 ? 1 : 0);
    auto velocity = trial.in_out(std::vector<float>(start.size(), 0.0f));
    trial.set_skew(0);
    OptimiserState initial;
    initial.learning_rate = at.learning_rate;
    initial.gradient_scale = at.gradient_scale;
    auto state = trial.in_out(std::vector<OptimiserState>{initial});
    trial.run([&](Backend& backend) {
      for (int t = 0; t < at.steps; ++t) {
        backend.sgd(parameters.span(),
                    gradients.span().subspan(static_cast<std::size_t>(t * size),
                                             static_cast<std::size_t>(size)),
                    velocity.span(), at.momentum, state.data(), {});
      }
    });

    oracle::Sgd sgd{.momentum = double{at.momentum}, .gradient_scale = double{at.gradient_scale}};
    std::vector<double> want = widen(start);
    for (int t = 0; t < at.steps; ++t) {
      sgd.step(want,
               std::vector<double>(gradient_values.begin() + t * size,
                                   gradient_values.begin() + (t + 1) * size),
               at.learning_rate);
    }
    trial.expect_close("parameters", parameters, want,
                       {.absolute = 1e-6 * at.learning_rate * at.steps, .relative = 1e-6});
    trial.expect_close("velocity", velocity, sgd.velocity, {.absolute = 1e-6, .relative = 1e-6});
    const OptimiserState got = state.values()[0];
    EXPECT_EQ(got.step, at.steps) << trial.context();
    EXPECT_EQ(got.step_size, static_cast<float>(at.learning_rate)) << trial.context();
    EXPECT_EQ(got.gradient_scale, at.gradient_scale) << trial.context();
  }
};
HOURGLASS_FOR_EVERY_BACKEND(Sgd);

TEST_P(Sgd, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t size : edge_sizes(emulated())) {
    for (const int skewed : {-1, 0, 1, 2})
      compare(++seed, size, {.skewed = skewed});
  }
}

TEST_P(Sgd, TakesMomentumAndScale) {
  compare(50, 785, {.momentum = 0.0f});
  compare(51, 785, {.momentum = 0.5f, .gradient_scale = 0.125f});
  compare(52, 33, {.gradient_scale = 0.0f, .learning_rate = 0.5});
  compare(53, 33, {.steps = 100, .momentum = 0.9f, .learning_rate = 1e-3});
}

TEST_P(Sgd, LetsNanThrough) {
  std::vector<float> gradient(33, 1.0f);
  gradient[32] = std::numeric_limits<float>::quiet_NaN();
  Trial trial = this->trial(0, "33");
  auto p = trial.in_out(std::vector<float>(33, 1.0f));
  auto g = trial.input(gradient);
  auto v = trial.in_out(std::vector<float>(33, 0.0f));
  auto state = trial.in_out(std::vector<OptimiserState>{{}});
  trial.run([&](Backend& b) { b.sgd(p.span(), g.span(), v.span(), 0.9f, state.data(), {}); });
  EXPECT_TRUE(std::isnan(p.values()[32])) << trial.context();
  EXPECT_FALSE(std::isnan(p.values()[31])) << trial.context();
}

TEST_P(Sgd, SpreadsAScaleThatIsNan) {
  Trial trial = this->trial(0, "33");
  auto p = trial.in_out(std::vector<float>(33, 1.0f));
  auto g = trial.input(std::vector<float>(33, 1.0f));
  auto v = trial.in_out(std::vector<float>(33, 0.0f));
  OptimiserState initial;
  initial.gradient_scale = std::numeric_limits<float>::quiet_NaN();
  auto state = trial.in_out(std::vector<OptimiserState>{initial});
  trial.run([&](Backend& b) { b.sgd(p.span(), g.span(), v.span(), 0.9f, state.data(), {}); });
  for (const float value : p.values())
    EXPECT_TRUE(std::isnan(value)) << trial.context();
}

/// Loss and penalty of each step go to its place in the epoch, and their sums begin anew.
TEST_P(Sgd, FilesTheFiguresOfAStep) {
  // More than a block of parameters, of which the last to finish files.
  Buffer<float> p(backend(), 3000), v(backend(), 3000);
  for (Buffer<float>* buffer : {&p, &v})
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
    backend().sgd(p.span(), g.span(), v.span(), 0.9f, state.data(), places);
    want[static_cast<std::size_t>(step)] = loss;
    want[static_cast<std::size_t>(3 + step)] = penalty;
    EXPECT_EQ(figures.download(), want) << "step " << step;
    EXPECT_EQ(sums.download(), (std::vector<double>{0.0, 0.0}));
  }
  EXPECT_EQ(state.download().front().step, 10);
}

TEST_P(Sgd, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<OptimiserState> state(backend(), 1);
  const auto call = [&](std::int64_t gradients, std::int64_t velocity) {
    backend().sgd(memory.span(0, 8), memory.span(16, gradients), memory.span(32, velocity), 0.9f,
                  state.data(), {});
  };
  expect_refused("sgd", [&] { call(7, 8); });
  expect_refused("sgd", [&] { call(8, 9); });
}

}  // namespace
}  // namespace hourglass::parity
