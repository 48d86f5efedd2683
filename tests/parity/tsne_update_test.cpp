// tsne_update: gains, momentum, clipped step, recentring.
#include <cmath>
#include <limits>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"

namespace hourglass::parity {
namespace {

struct UpdateInput {
  std::vector<float> attraction, repulsion, y, step, gains;
  double partition = 1.0;
  TsneSchedule schedule;
};

class TsneUpdate : public BackendTest {
 protected:
  struct Result {
    std::vector<double> y, step, gains;
  };

  Result compare(Trial& trial, const UpdateInput& input, int updates) {
    const auto n = static_cast<std::int64_t>(input.y.size() / 2);
    auto attraction = trial.input(input.attraction);
    auto repulsion = trial.input(input.repulsion);
    auto y = trial.in_out(input.y);
    auto step = trial.in_out(input.step);
    auto gains = trial.in_out(input.gains);
    auto partition = trial.input(std::vector<double>{input.partition});
    auto schedule = trial.input(std::vector<TsneSchedule>{input.schedule});
    trial.run([&](Backend& backend) {
      for (int i = 0; i < updates; ++i) {
        backend.tsne_update(attraction.matrix(n, 2), repulsion.matrix(n, 2), partition.data(),
                            schedule.data(), y.matrix(n, 2), step.matrix(n, 2), gains.matrix(n, 2));
      }
    });

    oracle::TsneState state{oracle::Matrix64(n, 2, input.y), oracle::Matrix64(n, 2, input.step),
                            oracle::Matrix64(n, 2, input.gains)};
    const oracle::Matrix64 pull(n, 2, input.attraction);
    const oracle::Matrix64 push(n, 2, input.repulsion);
    const oracle::TsneParameters parameters{input.schedule.exaggeration,
                                            input.schedule.learning_rate, input.schedule.momentum,
                                            input.schedule.max_step};
    for (int i = 0; i < updates; ++i) {
      oracle::tsne_update(pull, push, input.partition, parameters, state);
    }
    double largest = 1e-30;
    for (const double value : state.y.values)
      largest = std::max(largest, std::abs(value));
    double largest_step = 1e-30;
    for (const double value : state.step.values) {
      largest_step = std::max(largest_step, std::abs(value));
    }
    trial.expect_close("gains", gains, state.gains, {.absolute = 1e-6, .relative = 1e-6});
    trial.expect_close("step", step, state.step,
                       {.absolute = 3e-6 * largest_step, .relative = 1e-5});
    trial.expect_close("y", y, state.y,
                       {.absolute = 1e-6 * largest + 3e-6 * largest_step, .relative = 1e-6});
    return {widen(y.values()), widen(step.values()), widen(gains.values())};
  }

  static UpdateInput random_input(std::int64_t n, Random& random) {
    UpdateInput input;
    input.attraction = random.normals(2 * n, 1e-3);
    input.repulsion = random.normals(2 * n, 3.0);
    input.y = random.normals(2 * n, 20.0, 3.0);  // not centred
    input.step = random.normals(2 * n, 0.5);
    input.gains = random.uniforms(2 * n, 0.01, 3.0);
    input.partition = 300.0;
    return input;
  }
};
HOURGLASS_FOR_EVERY_BACKEND(TsneUpdate);

TEST_P(TsneUpdate, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t n : edge_sizes(emulated())) {
    if (n == 0) continue;
    for (const TsneSchedule& schedule :
         {TsneSchedule{12.0f, 200.0f, 0.5f, 5.0f}, TsneSchedule{1.0f, 833.0f, 0.8f, 5.0f},
          TsneSchedule{1.0f, 50.0f, 0.8f, std::numeric_limits<float>::infinity()}}) {
      Random random(++seed);
      UpdateInput input = random_input(n, random);
      input.schedule = schedule;
      Trial trial = this->trial(seed, std::to_string(n));
      trial.set_skew(any_skew(seed, 2));
      compare(trial, input, 1);
    }
  }
}

TEST_P(TsneUpdate, MatchesOverSeveralSteps) {
  Random random(40);
  UpdateInput input = random_input(257, random);
  input.schedule = {4.0f, 20.0f, 0.8f, 5.0f};
  Trial trial = this->trial(40, "257, 5 updates");
  compare(trial, input, 5);
}

TEST_P(TsneUpdate, GrowsEveryGainAtTheFirstStep) {
  // There is no last step yet: its sign is 0, unlike that of any gradient.
  UpdateInput input;
  input.attraction = {1.0f, -1.0f, -1.0f, 1.0f};
  input.repulsion.assign(4, 0.0f);
  input.y.assign(4, 0.0f);
  input.step.assign(4, 0.0f);
  input.gains.assign(4, 1.0f);
  input.schedule.learning_rate = 1e-3f;
  Trial trial = this->trial(0, "2 points, step 0");
  const Result got = compare(trial, input, 1);
  for (const double gain : got.gains)
    EXPECT_NEAR(gain, 1.2, 1e-6) << trial.context();
}

TEST_P(TsneUpdate, KeepsGainsAboveTheirFloor) {
  Random random(41);
  UpdateInput input = random_input(33, random);
  input.gains.assign(66, 0.0101f);
  Trial trial = this->trial(41, "33, gains 0.0101");
  const Result got = compare(trial, input, 1);
  for (const double gain : got.gains)
    EXPECT_GE(gain, 0.00999) << trial.context();
}

TEST_P(TsneUpdate, ClipsTheLengthOfAStepNotItsCoordinates) {
  Random random(42);
  UpdateInput input = random_input(257, random);
  input.schedule.learning_rate = 1e6f;
  Trial trial = this->trial(42, "257, huge steps");
  const Result got = compare(trial, input, 1);
  for (std::size_t i = 0; i < got.step.size(); i += 2) {
    EXPECT_NEAR(std::hypot(got.step[i], got.step[i + 1]), 5.0, 1e-4) << trial.context();
  }
}

TEST_P(TsneUpdate, RecentresTheMap) {
  Random random(43);
  const std::int64_t n = 785;
  UpdateInput input = random_input(n, random);
  for (std::size_t i = 0; i < input.y.size(); i += 2)
    input.y[i] += 1000.0f;
  Trial trial = this->trial(43, "785, off centre");
  const Result got = compare(trial, input, 1);
  double mean[2] = {0.0, 0.0};
  for (std::size_t i = 0; i < got.y.size(); ++i)
    mean[i % 2] += got.y[i] / static_cast<double>(n);
  EXPECT_NEAR(mean[0], 0.0, 2e-4) << trial.context();
  EXPECT_NEAR(mean[1], 0.0, 1e-5) << trial.context();
}

TEST_P(TsneUpdate, LetsNanThrough) {
  Random random(44);
  UpdateInput input = random_input(33, random);
  input.attraction[64] = std::numeric_limits<float>::quiet_NaN();
  Trial trial = this->trial(44, "33, NaN");
  auto attraction = trial.input(input.attraction);
  auto repulsion = trial.input(input.repulsion);
  auto y = trial.in_out(input.y);
  auto step = trial.in_out(input.step);
  auto gains = trial.in_out(input.gains);
  auto partition = trial.input(std::vector<double>{1.0});
  auto schedule = trial.input(std::vector<TsneSchedule>{input.schedule});
  trial.run([&](Backend& backend) {
    backend.tsne_update(attraction.matrix(33, 2), repulsion.matrix(33, 2), partition.data(),
                        schedule.data(), y.matrix(33, 2), step.matrix(33, 2), gains.matrix(33, 2));
  });
  EXPECT_TRUE(std::isnan(y.values()[64])) << trial.context();
}

TEST_P(TsneUpdate, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<double> partition(backend(), 1);
  Buffer<TsneSchedule> schedule(backend(), 1);
  for (int wrong = 0; wrong < 5; ++wrong) {
    expect_refused("tsne_update", [&] {
      const auto view = [&](int place) {
        return Mat{memory.data() + 10 * place, place == wrong ? 3 : 4, 2};
      };
      backend().tsne_update(view(0), view(1), partition.data(), schedule.data(), view(2), view(3),
                            view(4));
    });
  }
}

}  // namespace
}  // namespace hourglass::parity
