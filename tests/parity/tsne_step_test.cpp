// tsne_step: attraction, gains, momentum, clipped step, recentring.
#include <cmath>
#include <limits>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"
#include "tests/oracle/tsne_cases.hpp"

namespace hourglass::parity {
namespace {

struct StepInput {
  std::int64_t dims = 2;
  oracle::Affinities affinities;
  std::vector<float> repulsion, y, step, gains;
  std::vector<float> sources;  ///< y where empty
  double partition = 1.0;
  TsneSchedule schedule;

  [[nodiscard]] std::int64_t points() const { return affinities.rows(); }
};

class TsneStep : public BackendTest {
 protected:
  struct Result {
    std::vector<double> y, step, gains;
  };

  static Result run(Trial& trial, const StepInput& input, int steps) {
    const std::int64_t n = input.points(), dims = input.dims;
    const auto entries = static_cast<std::int64_t>(input.affinities.values.size());
    const std::vector<double>& p = input.affinities.values;
    auto offsets = trial.input(input.affinities.offsets);
    auto columns = trial.input(input.affinities.columns);
    auto values = trial.input(std::vector<float>(p.begin(), p.end()));
    auto repulsion = trial.input(input.repulsion);
    auto sources = trial.input(input.sources);
    auto y = trial.in_out(input.y);
    auto next = trial.in_out(input.y);
    auto step = trial.in_out(input.step);
    auto gains = trial.in_out(input.gains);
    auto partition = trial.input(std::vector<double>{input.partition});
    auto schedule = trial.input(std::vector<TsneSchedule>{input.schedule});
    const auto rows = static_cast<std::int64_t>(input.sources.size()) / dims;
    trial.run([&](Backend& backend) {
      for (int i = 0; i < steps; ++i) {
        const ConstMat from = (i % 2 == 0 ? y : next).matrix(n, dims);
        backend.tsne_step({offsets.data(), columns.data(), values.data(), n, entries},
                          rows > 0 ? ConstMat(sources.matrix(rows, dims)) : from,
                          repulsion.matrix(n, dims), partition.data(), schedule.data(), from,
                          (i % 2 == 0 ? next : y).matrix(n, dims), step.matrix(n, dims),
                          gains.matrix(n, dims));
      }
    });
    return {widen((steps % 2 == 0 ? y : next).values()), widen(step.values()),
            widen(gains.values())};
  }

  static Result compare(Trial& trial, const StepInput& input, int steps) {
    const Result got = run(trial, input, steps);
    const std::int64_t n = input.points(), dims = input.dims;
    oracle::TsneState state{oracle::Matrix64(n, dims, input.y),
                            oracle::Matrix64(n, dims, input.step),
                            oracle::Matrix64(n, dims, input.gains)};
    const oracle::Matrix64 push(n, dims, input.repulsion);
    const TsneSchedule& s = input.schedule;
    const oracle::TsneParameters parameters{s.exaggeration, s.learning_rate, s.momentum, s.max_step,
                                            s.recentre};
    const auto rows = static_cast<std::int64_t>(input.sources.size()) / dims;
    // Rounding of the attraction's terms, as it comes out in a step.
    double rounding = 0.0;
    for (int i = 0; i < steps; ++i) {
      const oracle::Matrix64 sources =
          rows > 0 ? oracle::Matrix64(rows, dims, input.sources) : state.y;
      for (const double sum :
           oracle::attraction_magnitudes(input.affinities, state.y, sources).values) {
        rounding = std::max(rounding, 2e-6 * sum * s.exaggeration * s.learning_rate * 3.0);
      }
      oracle::tsne_step(oracle::attraction(input.affinities, state.y, sources), push,
                        input.partition, parameters, state);
    }
    double largest = 1e-30;
    for (const double value : input.y)
      largest = std::max(largest, std::abs(value));
    double largest_step = 1e-30;
    for (const double value : state.step.values)
      largest_step = std::max(largest_step, std::abs(value));
    const double step_error = 3e-6 * largest_step + rounding;
    trial.expect_close("gains", got.gains, state.gains, {.absolute = 1e-6, .relative = 1e-6});
    trial.expect_close("step", got.step, state.step, {.absolute = step_error, .relative = 1e-5});
    trial.expect_close("y", got.y, state.y,
                       {.absolute = 1e-6 * largest + step_error, .relative = 1e-6});
    return got;
  }

  static StepInput random_input(std::int64_t n, std::int64_t k, std::int64_t dims, Random& random) {
    StepInput input;
    input.dims = dims;
    input.affinities = random_affinities(n, k, random);
    // Entries of some 0.01, whatever N, so that attraction and repulsion weigh alike.
    for (double& value : input.affinities.values)
      value = static_cast<float>(value * static_cast<double>(n) * 0.01);
    input.repulsion = random.normals(dims * n, 3.0);
    input.y = random.normals(dims * n, 20.0, 3.0);  // not centred
    input.step = random.normals(dims * n, 0.5);
    input.gains = random.uniforms(dims * n, 0.01, 3.0);
    input.partition = 300.0;
    return input;
  }

  static oracle::Affinities no_affinities(std::int64_t n) {
    return {std::vector<std::int64_t>(static_cast<std::size_t>(n + 1), 0), {}, {}};
  }
};
HOURGLASS_FOR_EVERY_BACKEND(TsneStep);

TEST_P(TsneStep, MatchesTheOracle) {
  std::vector<Shape> cases = {{2, 1}, {31, 30}, {33, 5}, {257, 31}};
  if (!emulated()) cases.insert(cases.end(), {{785, 90}, {256, 255}, {2049, 3}});
  std::uint64_t seed = 0;
  for (const Shape c : cases) {
    for (const TsneSchedule& schedule :
         {TsneSchedule{12.0f, 20.0f, 0.5f, 5.0f}, TsneSchedule{1.0f, 83.0f, 0.8f, 5.0f, false},
          TsneSchedule{1.0f, 5.0f, 0.8f, std::numeric_limits<float>::infinity()}}) {
      for (const std::int64_t dims : {2, 3}) {
        Random random(++seed);
        StepInput input = random_input(c.rows, c.columns, dims, random);
        input.schedule = schedule;
        Trial trial = this->trial(seed, std::to_string(c.rows) + "x" + std::to_string(c.columns) +
                                            ", " + std::to_string(dims) + "-D");
        trial.set_skew(any_skew(seed, 2));
        compare(trial, input, 1);
      }
    }
  }
}

TEST_P(TsneStep, PullsOnMapsOfEveryShape) {
  std::uint64_t seed = 100;
  for (const MapShape shape : {MapShape::blob, MapShape::duplicates, MapShape::outlier}) {
    for (const double span : {1e-4, 5.0, 200.0}) {
      for (const std::int64_t dims : {2, 3}) {
        Random random(++seed);
        StepInput input = random_input(257, 31, dims, random);
        input.y = random_map(shape, 257, span, random, dims);
        input.repulsion.assign(input.repulsion.size(), 0.0f);
        input.step.assign(input.step.size(), 0.0f);
        // All gradients are told from 0: gains that hang on a rounding are not compared.
        input.gains.assign(input.gains.size(), 1.0f);
        input.schedule = {1.0f, 0.1f, 0.0f, 1e9f};
        Trial trial = this->trial(seed, map_name(shape) + " " + std::to_string(dims) + "-D");
        const Result got = run(trial, input, 1);
        const oracle::Matrix64 wide(257, dims, input.y);
        const oracle::Matrix64 pull = oracle::attraction(input.affinities, wide);
        oracle::Matrix64 magnitudes = oracle::attraction_magnitudes(input.affinities, wide, wide);
        oracle::Matrix64 want(257, dims);
        for (std::size_t i = 0; i < pull.values.size(); ++i) {
          want.values[i] = -0.1 * got.gains[i] * pull.values[i];
          magnitudes.values[i] *= 0.1 * 1.2;
        }
        trial.expect_close("step", got.step, want,
                           {.absolute = 2e-6, .relative = 2e-6, .scale = &magnitudes});
      }
    }
  }
}

TEST_P(TsneStep, PullsNewPointsToAMapThatStands) {
  Random random(50);
  for (const std::int64_t dims : {2, 3}) {
    StepInput input = random_input(33, 5, dims, random);
    input.sources = random.normals(dims * 700, 20.0, 3.0);
    for (std::int32_t& column : input.affinities.columns)
      column = static_cast<std::int32_t>(random.below(700));
    input.schedule = {1.0f, 5.0f, 0.5f, 5.0f, false};
    Trial trial = this->trial(50, "33 among 700");
    compare(trial, input, 1);
  }
}

TEST_P(TsneStep, MatchesOverSeveralSteps) {
  Random random(40);
  StepInput input = random_input(257, 31, 2, random);
  input.schedule = {4.0f, 2.0f, 0.8f, 5.0f};
  Trial trial = this->trial(40, "257, 5 steps");
  compare(trial, input, 5);
}

TEST_P(TsneStep, OfRowsWithoutNeighboursIsPushedOnly) {
  Random random(46);
  StepInput input = random_input(4, 1, 2, random);
  input.affinities = {{0, 0, 1, 2, 2}, {2, 1}, {0.5, 0.5}};
  Trial trial = this->trial(46, "4 points");
  compare(trial, input, 1);
}

TEST_P(TsneStep, OfNothingIsNone) {
  StepInput input;
  input.affinities = no_affinities(0);
  Trial trial = this->trial(0, "0 points");
  EXPECT_TRUE(run(trial, input, 1).y.empty());
}

TEST_P(TsneStep, OfAPartitionOfZeroIsNotPushed) {
  Random random(47);
  StepInput input = random_input(33, 5, 2, random);
  input.partition = 0.0;
  Trial trial = this->trial(47, "33, partition 0");
  compare(trial, input, 1);
}

TEST_P(TsneStep, GrowsEveryGainAtTheFirstStep) {
  // There is no last step yet: its sign is 0, unlike that of any gradient.
  StepInput input;
  input.affinities = no_affinities(2);
  input.repulsion = {1.0f, -1.0f, -1.0f, 1.0f};
  input.y.assign(4, 0.0f);
  input.step.assign(4, 0.0f);
  input.gains.assign(4, 1.0f);
  input.schedule.learning_rate = 1e-3f;
  Trial trial = this->trial(0, "2 points, step 0");
  const Result got = compare(trial, input, 1);
  for (const double gain : got.gains)
    EXPECT_NEAR(gain, 1.2, 1e-6) << trial.context();
}

TEST_P(TsneStep, KeepsGainsAboveTheirFloor) {
  Random random(41);
  StepInput input = random_input(33, 5, 2, random);
  input.gains.assign(66, 0.0101f);
  Trial trial = this->trial(41, "33, gains 0.0101");
  const Result got = compare(trial, input, 1);
  for (const double gain : got.gains)
    EXPECT_GE(gain, 0.00999) << trial.context();
}

TEST_P(TsneStep, ClipsTheLengthOfAStepNotItsCoordinates) {
  Random random(42);
  for (const std::int64_t dims : {2, 3}) {
    StepInput input = random_input(257, 5, dims, random);
    input.schedule.learning_rate = 1e6f;
    Trial trial = this->trial(42, "257, huge steps");
    const Result got = run(trial, input, 1);
    for (std::size_t i = 0; i < got.step.size(); i += static_cast<std::size_t>(dims)) {
      double square = 0.0;
      for (std::size_t c = 0; c < static_cast<std::size_t>(dims); ++c)
        square += got.step[i + c] * got.step[i + c];
      EXPECT_NEAR(std::sqrt(square), 5.0, 1e-4) << trial.context();
    }
  }
}

TEST_P(TsneStep, RecentresTheMapWhereAsked) {
  Random random(43);
  const std::int64_t n = 785;
  for (const bool recentre : {true, false}) {
    StepInput input;
    input.affinities = no_affinities(n);
    input.repulsion.assign(2 * n, 0.0f);
    input.step.assign(2 * n, 0.0f);
    input.gains.assign(2 * n, 1.0f);
    input.y = random.normals(2 * n, 20.0, 3.0);
    for (std::size_t i = 0; i < input.y.size(); i += 2)
      input.y[i] += 1000.0f;
    input.schedule.recentre = recentre;
    Trial trial = this->trial(43, recentre ? "785, off centre" : "785, left there");
    const Result got = compare(trial, input, 1);
    double mean[2] = {0.0, 0.0};
    for (std::size_t i = 0; i < got.y.size(); ++i)
      mean[i % 2] += got.y[i] / static_cast<double>(n);
    EXPECT_NEAR(mean[0], recentre ? 0.0 : 1003.0, recentre ? 2e-4 : 5.0) << trial.context();
    if (recentre) {
      EXPECT_NEAR(mean[1], 0.0, 1e-5) << trial.context();
    }
  }
}

TEST_P(TsneStep, LetsNanThrough) {
  Random random(44);
  StepInput input = random_input(33, 5, 2, random);
  input.schedule.recentre = false;
  input.repulsion[64] = std::numeric_limits<float>::quiet_NaN();
  Trial trial = this->trial(44, "33, NaN");
  EXPECT_TRUE(std::isnan(run(trial, input, 1).y[64])) << trial.context();
  input.repulsion[64] = 0.0f;
  input.partition = std::numeric_limits<double>::quiet_NaN();
  Trial other = this->trial(44, "33, partition NaN");
  for (const double value : run(other, input, 1).y)
    EXPECT_TRUE(std::isnan(value)) << other.context();
}

TEST_P(TsneStep, RefusesShapesThatDoNotFit) {
  Buffer<std::int64_t> offsets(backend(), 8);
  Buffer<std::int32_t> columns(backend(), 8);
  Buffer<float> memory(backend(), 128);
  Buffer<double> partition(backend(), 1);
  Buffer<TsneSchedule> schedule(backend(), 1);
  offsets.zero();
  const auto call = [&](int wrong, Shape shape) {
    const auto view = [&](int place) {
      const Shape s = place == wrong ? shape : Shape{4, 2};
      return Mat{memory.data() + 16 * place, s.rows, s.columns};
    };
    const Mat y = view(2);
    backend().tsne_step({offsets.data(), columns.data(), memory.data(), 4, 8},
                        wrong == 0 ? view(0) : y, view(1), partition.data(), schedule.data(), y,
                        view(3), view(4), view(5));
  };
  for (int wrong = 1; wrong < 6; ++wrong) {
    expect_refused("tsne_step", [&] { call(wrong, {3, 2}); });
    expect_refused("tsne_step", [&] { call(wrong, {4, 4}); });
  }
  expect_refused("tsne_step", [&] { call(0, {4, 3}); });
  expect_refused("tsne_step", [&] {  // the map in its own place
    const Mat y{memory.data(), 4, 2}, other{memory.data() + 16, 4, 2};
    backend().tsne_step({offsets.data(), columns.data(), memory.data(), 4, 8}, y, other,
                        partition.data(), schedule.data(), y, y, other, other);
  });
}

}  // namespace
}  // namespace hourglass::parity
