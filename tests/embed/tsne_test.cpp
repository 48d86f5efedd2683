// The t-SNE driver against the float64 definition, and everything that can go wrong with its input.
#include "hourglass/tsne.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/embed/affinities.hpp"
#include "hourglass/error.hpp"
#include "tests/oracle/neighbours.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"

namespace hourglass {
namespace {

using oracle::Matrix64;

Matrix64 widened(const Matrix& x) {
  return {x.rows, x.columns, x.values};
}

Matrix clusters(std::int64_t rows, std::int64_t columns, std::int64_t count, std::uint64_t seed,
                double distance = 4.0) {
  parity::Random random(seed);
  const std::vector<float> centres = random.normals(count * columns, distance);
  Matrix x(rows, columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      x(i, j) = centres[static_cast<std::size_t>(i % count * columns + j)] +
                static_cast<float>(random.normal());
    }
  }
  return x;
}

Matrix gaussian_start(std::int64_t rows, std::uint64_t seed, double deviation) {
  parity::Random random(seed);
  Matrix y(rows, 2);
  y.values = random.normals(2 * rows, deviation);
  return y;
}

/// The whole optimisation in float64, exact.
Matrix64 oracle_map(const oracle::Affinities& p, const Matrix& start, const TsneOptions& options,
                    double early_rate, double rate) {
  oracle::TsneState state;
  state.y = widened(start);
  state.step = Matrix64(start.rows, start.columns);
  state.gains = Matrix64(start.rows, start.columns, 1.0);
  for (int i = 0; i < options.iterations; ++i) {
    const bool early = i < options.exaggeration_iterations;
    const oracle::RepulsionSum repulsion = oracle::repulsion(state.y);
    oracle::tsne_step(oracle::attraction(p, state.y), repulsion.force, repulsion.partition,
                      {early ? options.early_exaggeration : 1.0, early ? early_rate : rate,
                       early ? options.early_momentum : options.momentum, options.max_step},
                      state);
  }
  for (std::int64_t c = 0; c < state.y.columns; ++c) {
    double mean = 0;
    for (std::int64_t i = 0; i < state.y.rows; ++i)
      mean += state.y(i, c) / static_cast<double>(state.y.rows);
    for (std::int64_t i = 0; i < state.y.rows; ++i)
      state.y(i, c) -= mean;
  }
  return state.y;
}

bool all_finite(const Matrix& map) {
  return std::all_of(map.values.begin(), map.values.end(),
                     [](float value) { return std::isfinite(value); });
}

double smallest_distance(const Matrix& map) {
  double smallest = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < map.rows; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      smallest =
          std::min<double>(smallest, std::hypot(map(i, 0) - map(j, 0), map(i, 1) - map(j, 1)));
    }
  }
  return smallest;
}

class TsneTest : public testing::Test {
 protected:
  Device device_ = Device::open("cpu", 2);
};

TEST_F(TsneTest, FollowsTheDefinitionThroughBothPhases) {
  const Matrix x = clusters(90, 5, 4, 1);
  TsneOptions options;
  options.perplexity = 10;
  options.iterations = 14;
  options.exaggeration_iterations = 8;
  options.start = TsneStart::given;
  options.given_start = gaussian_start(90, 2, 1.0);
  options.method = TsneMethod::exact;
  const oracle::Affinities p = oracle::affinities_of(widened(x), options.perplexity);
  for (const double rate : {0.0, 300.0}) {
    options.learning_rate = rate;
    const TsneResult result = tsne(device_, x, options);
    EXPECT_EQ(result.early_learning_rate, rate == 0 ? 50 : 300);  // max(90 / 12, 50)
    EXPECT_EQ(result.learning_rate, rate == 0 ? 90 : 300);
    EXPECT_EQ(result.method, TsneMethod::exact);
    EXPECT_EQ(result.neighbours, 30);
    const Matrix64 want = oracle_map(p, options.given_start, options, result.early_learning_rate,
                                     result.learning_rate);
    double error = 0;
    double norm = 0;
    for (std::size_t i = 0; i < want.values.size(); ++i) {
      const double d = result.map.values[i] - want.values[i];
      error += d * d;
      norm += want.values[i] * want.values[i];
    }
    EXPECT_LE(std::sqrt(error / norm), 1e-3) << rate;
    EXPECT_NEAR(result.kl_divergence, oracle::tsne_kl(p, widened(result.map)), 1e-5);
  }
}

TEST_F(TsneTest, EndsAsLowAsTheExactMethod) {
  double want = 0;
  double exact = 0;
  double tree = 0;
  double fft = 0;
  for (const std::uint64_t seed : {1, 2, 3}) {
    const Matrix x = clusters(240, 8, 6, seed, 1.0);
    const oracle::Affinities p = oracle::affinities_of(widened(x), 15);
    TsneOptions options;
    options.perplexity = 15;
    options.iterations = 400;
    options.exaggeration_iterations = 100;
    options.start = TsneStart::given;
    // A start that holds the places of the clusters: from a shapeless one rounding alone decides
    // which of several minima is found, a few percent apart.
    options.given_start = Matrix(240, 2);
    for (std::int64_t i = 0; i < 240; ++i) {
      options.given_start(i, 0) = 1e-3f * x(i, 0);
      options.given_start(i, 1) = 1e-3f * x(i, 1);
    }
    want += oracle::tsne_kl(p, oracle_map(p, options.given_start, options, 50, 240));
    options.method = TsneMethod::exact;
    exact += tsne(device_, x, options).kl_divergence;
    options.method = TsneMethod::tree;
    const TsneResult by_tree = tsne(device_, x, options);
    EXPECT_EQ(by_tree.method, TsneMethod::tree);
    tree += by_tree.kl_divergence;
    EXPECT_NEAR(by_tree.kl_divergence, oracle::tsne_kl(p, widened(by_tree.map)), 1e-4);
    EXPECT_LT(by_tree.force_error, 0.01);
    EXPECT_EQ(by_tree.force_sample, 240);
    options.method = TsneMethod::fft;
    const TsneResult by_fft = tsne(device_, x, options);
    EXPECT_EQ(by_fft.method, TsneMethod::fft);
    fft += by_fft.kl_divergence;
    EXPECT_LT(by_fft.force_error, 0.01);
    EXPECT_GT(by_fft.force_error, 0.0);
  }
  EXPECT_NEAR(exact / want, 1.0, 0.01);
  EXPECT_NEAR(tree / want, 1.0, 0.01);
  EXPECT_NEAR(fft / want, 1.0, 0.01);
}

TEST_F(TsneTest, MakesMapsOfThreeDimensions) {
  const Matrix x = clusters(240, 8, 6, 3, 1.0);
  const oracle::Affinities p = oracle::affinities_of(widened(x), 15);
  TsneOptions options;
  options.dimensions = 3;
  options.perplexity = 15;
  options.iterations = 300;
  options.exaggeration_iterations = 100;
  options.start = TsneStart::given;
  options.given_start = Matrix(240, 3);
  for (std::int64_t i = 0; i < 240; ++i) {
    for (std::int64_t c = 0; c < 3; ++c)
      options.given_start(i, c) = 1e-3f * x(i, c);
  }
  const double want = oracle::tsne_kl(p, oracle_map(p, options.given_start, options, 50, 240));
  TsneOptions flat = options;
  flat.dimensions = 2;
  flat.start = TsneStart::pca;
  const double in_two = tsne(device_, x, flat).kl_divergence;
  for (const TsneMethod method : {TsneMethod::exact, TsneMethod::tree, TsneMethod::automatic}) {
    options.method = method;
    const TsneResult result = tsne(device_, x, options);
    EXPECT_EQ(result.map.columns, 3);
    EXPECT_NEAR(result.kl_divergence / want, 1.0, 0.03) << name_of(method);
    EXPECT_NEAR(result.kl_divergence, oracle::tsne_kl(p, widened(result.map)), 1e-4);
    EXPECT_LT(result.kl_divergence, in_two) << "more room, less divergence";
    EXPECT_LT(result.force_error, 0.01);
  }
  options.method = TsneMethod::fft;
  EXPECT_THROW(tsne(device_, x, options), UsageError);
}

TEST_F(TsneTest, GoesOnFromAStateBitwise) {
  // Enough points for the grid, the tree and the sorting to have had a past.
  const Matrix x = clusters(4500, 6, 8, 21, 3.0);
  for (const TsneMethod method : {TsneMethod::automatic, TsneMethod::tree}) {
    TsneOptions options;
    options.perplexity = 10;
    options.iterations = 230;
    options.exaggeration_iterations = 80;
    options.method = method;
    std::vector<TsneState> states;
    options.snapshot = [&](const TsneState& state) { states.push_back(state); };
    const TsneResult whole = tsne(device_, x, options);
    ASSERT_EQ(states.size(), 5u);  // 50 to 200, and the last
    EXPECT_EQ(states.back().iteration, 230);
    options.snapshot = nullptr;
    EXPECT_EQ(tsne(device_, x, options).map.values, whole.map.values) << "unwatched";
    const std::string file = testing::TempDir() + "state.safetensors";
    for (const std::size_t at : {std::size_t{0}, std::size_t{2}}) {
      save_tsne_state(file, states[at]);
      options.resume = load_tsne_state(file);
      const TsneResult rest = tsne(device_, x, options);
      EXPECT_EQ(rest.map.values, whole.map.values)
          << name_of(method) << " from " << states[at].iteration;
      EXPECT_EQ(rest.kl_divergence, whole.kl_divergence);
    }
    options.resume = states[1];
    options.resume->order[3] = options.resume->order[4];
    EXPECT_THROW(tsne(device_, x, options), InputError);
    options.resume = states[1];
    options.resume->iteration = 103;
    EXPECT_THROW(tsne(device_, x, options), InputError);
    options.resume = states[1];
    options.resume->step(5, 1) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(tsne(device_, x, options), InputError);
    options.resume = states[1];
    EXPECT_THROW(tsne(device_, clusters(400, 6, 8, 21), options), InputError);
  }
}

TEST_F(TsneTest, StopsEarlyOnlyAfterTheExaggeration) {
  const Matrix x = clusters(300, 6, 5, 14);
  TsneOptions options;
  options.iterations = 2000;
  options.stop_below = 0.01;
  const TsneResult stopped = tsne(device_, x, options);
  EXPECT_TRUE(stopped.stopped_early);
  EXPECT_GE(stopped.iterations, options.exaggeration_iterations + 2 * tsne_interval);
  EXPECT_LT(stopped.iterations, 2000);
  options.stop_below = 0;
  options.iterations = stopped.iterations;
  const TsneResult same = tsne(device_, x, options);
  EXPECT_FALSE(same.stopped_early);
  EXPECT_EQ(same.map.values, stopped.map.values);
}

TEST_F(TsneTest, SaysItsDivergenceAsItGoes) {
  const Matrix x = clusters(700, 6, 5, 14);
  TsneOptions options;
  options.iterations = 400;
  double last = 0;
  options.progress = [&](const TsneProgress& progress) {
    EXPECT_EQ(progress.kl_divergence.has_value(), progress.iteration >= tsne_interval);
    if (progress.iteration == 400) last = progress.kl_divergence.value_or(0);
    return true;
  };
  const TsneResult result = tsne(device_, x, options);
  EXPECT_NEAR(last, result.kl_divergence, 5e-3 * result.kl_divergence);
}

TEST_F(TsneTest, OfSeveralPerplexitiesTakesTheMeanOfTheirAffinities) {
  const Matrix x = clusters(150, 5, 4, 1);
  TsneOptions options;
  options.iterations = 0;
  options.start = TsneStart::given;
  options.given_start = gaussian_start(150, 2, 1.0);
  options.perplexities = {5, 20, 40};
  const TsneResult result = tsne(device_, x, options);
  EXPECT_EQ(result.neighbours, 120);
  // KL is linear in P but for sum p log p: from the oracle's P of 120 neighbours at each.
  const Matrix64 wide = widened(x);
  const oracle::Neighbours nearest = oracle::nearest_neighbours(wide, wide, true, 120);
  oracle::Matrix64 mean(150, 120);
  for (std::int64_t i = 0; i < 150; ++i) {
    std::vector<double> distances;
    for (std::int64_t a = 0; a < 120; ++a)
      distances.push_back(nearest.squared_distance(i, a));
    for (const double perplexity : options.perplexities) {
      const auto row =
          oracle::conditional_row(distances, oracle::precision_of_row(distances, perplexity));
      for (std::int64_t a = 0; a < 120; ++a)
        mean(i, a) += row[static_cast<std::size_t>(a)] / 3.0;
    }
  }
  const oracle::Affinities p = oracle::symmetrise(nearest.index, mean);
  EXPECT_NEAR(result.kl_divergence, oracle::tsne_kl(p, widened(result.map)), 1e-4);
  options.perplexities = {5, 0.5};
  EXPECT_THROW(tsne(device_, x, options), UsageError);
}

TEST_F(TsneTest, TakesNeighboursAndAffinitiesThatAreGiven) {
  const Matrix x = clusters(300, 6, 5, 14);
  TsneOptions options;
  options.iterations = 100;
  options.perplexity = 20;
  options.start = TsneStart::random;
  options.save_affinities = testing::TempDir() + "affinities.safetensors";
  const TsneResult want = tsne(device_, x, options);
  TsneOptions loaded = options;
  loaded.load_affinities = options.save_affinities;
  loaded.save_affinities.clear();
  Matrix nothing(300, 0);
  EXPECT_EQ(tsne(device_, nothing, loaded).map.values, want.map.values);
  EXPECT_THROW(tsne(device_, Matrix(299, 0), loaded), InputError);
  // The perplexity is the file's: the option's, too large for so few points, is not looked at.
  TsneOptions few = options;
  few.perplexity = 5;
  const Matrix forty = clusters(40, 6, 5, 14);
  const TsneResult own = tsne(device_, forty, few);
  few.load_affinities = few.save_affinities;
  few.save_affinities.clear();
  few.perplexity = 30;
  EXPECT_EQ(tsne(device_, forty, few).map.values, own.map.values);

  const Matrix64 wide = widened(x);
  const oracle::Neighbours nearest = oracle::nearest_neighbours(wide, wide, true, 60);
  NeighbourTable table;
  table.rows = 300;
  table.k = 60;
  table.index = nearest.index;
  for (const double d : nearest.squared_distance.values)
    table.distance.push_back(static_cast<float>(std::sqrt(d)));
  TsneOptions given = options;
  given.save_affinities.clear();
  given.given_neighbours = table;
  EXPECT_NEAR(tsne(device_, nothing, given).kl_divergence, want.kl_divergence,
              1e-3 * want.kl_divergence);
  given.given_neighbours->rows = 299;
  EXPECT_THROW(tsne(device_, nothing, given), InputError);
}

TEST_F(TsneTest, ByCosineDoesNotSeeTheRowsLengths) {
  Matrix x = clusters(200, 6, 4, 9);
  TsneOptions options;
  options.iterations = 60;
  options.start = TsneStart::random;
  options.neighbours.metric = Metric::cosine;
  const TsneResult want = tsne(device_, x, options);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (float& value : x.row(i))
      value *= i % 2 == 0 ? 4.0f : 0.25f;  // exact
  }
  EXPECT_EQ(tsne(device_, x, options).map.values, want.map.values);
}

TEST_F(TsneTest, PlacesNewPointsAmongTheirOwn) {
  // 5 clusters; 300 points make the map, 60 others are placed in it.
  const Matrix all = clusters(360, 8, 5, 31, 3.0);
  Matrix reference(300, 8), fresh(60, 8);
  std::copy_n(all.values.begin(), reference.values.size(), reference.values.begin());
  std::copy(all.values.begin() + 300 * 8, all.values.end(), fresh.values.begin());
  for (const int dimensions : {2, 3}) {
    TsneOptions options;
    options.dimensions = dimensions;
    options.iterations = 400;
    const Matrix map = tsne(device_, reference, options).map;
    TsneTransformOptions placing;
    placing.perplexity = 10;
    const Matrix placed = tsne_transform(device_, reference, map, fresh, placing);
    ASSERT_EQ(placed.rows, 60);
    int right = 0;
    for (std::int64_t i = 0; i < 60; ++i) {
      std::int64_t nearest = 0;
      double least = std::numeric_limits<double>::infinity();
      for (std::int64_t j = 0; j < 300; ++j) {
        double d2 = 0;
        for (std::int64_t c = 0; c < dimensions; ++c)
          d2 += std::pow(placed(i, c) - map(j, c), 2);
        if (d2 < least) {
          least = d2;
          nearest = j;
        }
      }
      right += nearest % 5 == (300 + i) % 5;
    }
    EXPECT_GE(right, 57) << dimensions;
    // A point's place does not depend on the others.
    Matrix one(1, 8);
    std::copy_n(fresh.row(17).data(), 8, one.values.begin());
    const Matrix alone = tsne_transform(device_, reference, map, one, placing);
    for (std::int64_t c = 0; c < dimensions; ++c)
      EXPECT_NEAR(alone(0, c), placed(17, c), 1e-3) << dimensions;
    // Placing descends each point's own divergence.
    placing.iterations = 0;
    const Matrix first = tsne_transform(device_, reference, map, fresh, placing);
    EXPECT_NE(first.values, placed.values);
  }
}

TEST_F(TsneTest, PlacingRefusesWhatDoesNotFit) {
  const Matrix reference = clusters(30, 4, 2, 1), map = clusters(30, 2, 2, 2);
  TsneTransformOptions options;
  options.perplexity = 5;
  EXPECT_EQ(tsne_transform(device_, reference, map, Matrix(0, 4), options).rows, 0);
  EXPECT_THROW(tsne_transform(device_, reference, map, Matrix(3, 5), options), InputError);
  EXPECT_THROW(tsne_transform(device_, reference, Matrix(29, 2), Matrix(3, 4), options),
               InputError);
  EXPECT_THROW(tsne_transform(device_, reference, Matrix(30, 4), Matrix(3, 4), options),
               InputError);
  Matrix bad(3, 4);
  bad(1, 2) = std::numeric_limits<float>::infinity();
  EXPECT_THROW(tsne_transform(device_, reference, map, bad, options), InputError);
  options.perplexity = 11;
  EXPECT_THROW(tsne_transform(device_, reference, map, Matrix(3, 4), options), UsageError);
  options.perplexity = 5;
  options.learning_rate = 0;
  EXPECT_THROW(tsne_transform(device_, reference, map, Matrix(3, 4), options), UsageError);
}

TEST_F(TsneTest, PartsClustersAndCentresTheMap) {
  const Matrix x = clusters(200, 10, 2, 5);
  for (const TsneStart start : {TsneStart::pca, TsneStart::random}) {
    TsneOptions options;
    options.start = start;
    options.iterations = 300;
    const TsneResult result = tsne(device_, x, options);
    double sums[2][2] = {};
    double total[2] = {};
    for (std::int64_t i = 0; i < 200; ++i) {
      for (std::int64_t c = 0; c < 2; ++c) {
        sums[i % 2][c] += result.map(i, c) / 100;
        total[c] += result.map(i, c) / 200;
      }
    }
    const double between = std::hypot(sums[0][0] - sums[1][0], sums[0][1] - sums[1][1]);
    EXPECT_GT(between, result.span / 4);
    EXPECT_NEAR(total[0], 0.0, 1e-4 * result.span);
    EXPECT_NEAR(total[1], 0.0, 1e-4 * result.span);
  }
}

TEST_F(TsneTest, WithoutIterationsGivesTheStart) {
  const Matrix x = clusters(100, 6, 3, 8);
  TsneOptions options;
  options.iterations = 0;
  for (const TsneStart start : {TsneStart::pca, TsneStart::random}) {
    options.start = start;
    const TsneResult result = tsne(device_, x, options);
    double squares = 0;
    for (std::int64_t i = 0; i < 100; ++i)
      squares += static_cast<double>(result.map(i, 0)) * result.map(i, 0);
    const double deviation = std::sqrt(squares / 100);
    if (start == TsneStart::pca) {
      EXPECT_NEAR(deviation, 1e-4, 3e-6);  // the jitter is a hundredth of it
    } else {
      EXPECT_NEAR(deviation, 1e-4, 2.5e-5);
    }
    options.seed = 1;
    EXPECT_NE(tsne(device_, x, options).map.values, result.map.values);
    options.seed = 0;
  }
  options.start = TsneStart::given;
  options.given_start = gaussian_start(100, 4, 2.0);
  EXPECT_EQ(tsne(device_, x, options).map.values, options.given_start.values);
  options.given_start(7, 0) = options.given_start(3, 0);
  options.given_start(7, 1) = options.given_start(3, 1);
  const Matrix parted = tsne(device_, x, options).map;
  EXPECT_EQ(parted(3, 0), options.given_start(3, 0));
  EXPECT_NE(parted(7, 0), options.given_start(3, 0));
  EXPECT_NEAR(parted(7, 0), options.given_start(3, 0), 0.1);
}

TEST_F(TsneTest, TwoAndThreePoints) {
  for (const std::int64_t n : {2, 3, 4}) {
    const Matrix x = clusters(n, 3, n, 9);
    for (const TsneStart start : {TsneStart::pca, TsneStart::random}) {
      TsneOptions options;
      options.start = start;
      options.perplexity = 1;
      options.iterations = 300;
      const TsneResult result = tsne(device_, x, options);
      EXPECT_TRUE(all_finite(result.map)) << n;
      EXPECT_TRUE(std::isfinite(result.kl_divergence)) << n;
      EXPECT_GT(smallest_distance(result.map), 0.0) << n;
      EXPECT_EQ(result.neighbours, std::min<std::int64_t>(n - 1, 3));
    }
  }
}

TEST_F(TsneTest, OnePointNoPointAndNoColumnAreRefused) {
  EXPECT_THROW(tsne(device_, Matrix(1, 3)), UsageError);
  EXPECT_THROW(tsne(device_, Matrix(0, 3)), UsageError);
  EXPECT_THROW(tsne(device_, Matrix(100, 0)), UsageError);
}

TEST_F(TsneTest, EqualPointsArePartedAndStayFinite) {
  for (const TsneStart start : {TsneStart::pca, TsneStart::random, TsneStart::given}) {
    Matrix x(60, 4);
    std::fill(x.values.begin(), x.values.end(), 3.0f);
    TsneOptions options;
    options.start = start;
    options.given_start = Matrix(60, 2);
    options.perplexity = 5;
    options.iterations = 500;
    const TsneResult result = tsne(device_, x, options);
    EXPECT_TRUE(all_finite(result.map));
    EXPECT_GT(smallest_distance(result.map), 0.0);
    EXPECT_TRUE(std::isfinite(result.kl_divergence));
  }
}

TEST_F(TsneTest, ManyDuplicatesOfAFewPoints) {
  parity::Random random(6);
  const std::vector<float> five = random.normals(5 * 6);
  Matrix x(10'000, 6);
  for (std::int64_t i = 0; i < x.rows; ++i)
    std::copy_n(five.begin() + i % 5 * 6, 6, x.row(i).begin());
  TsneOptions options;
  options.iterations = 30;
  options.exaggeration_iterations = 15;
  const TsneResult result = tsne(device_, x, options);
  EXPECT_TRUE(all_finite(result.map));
  EXPECT_TRUE(std::isfinite(result.kl_divergence));
}

TEST_F(TsneTest, FarOutliersAndExtremeScales) {
  for (const float outlier : {1e6f, 1e18f, 1e30f}) {
    Matrix x = clusters(120, 5, 3, 12);
    x(17, 2) = outlier;
    TsneOptions options;
    options.perplexity = 10;
    options.iterations = 200;
    const TsneResult result = tsne(device_, x, options);
    EXPECT_TRUE(all_finite(result.map)) << outlier;
    EXPECT_TRUE(std::isfinite(result.kl_divergence)) << outlier;
  }
  // P does not change with the scale of x, up to the ends of float32.
  const Matrix x = clusters(120, 5, 3, 13);
  TsneOptions options;
  options.perplexity = 10;
  options.iterations = 50;
  options.start = TsneStart::random;
  const TsneResult plain = tsne(device_, x, options);
  for (const int exponent : {-100, 100}) {
    Matrix scaled = x;
    for (float& value : scaled.values)
      value = std::ldexp(value, exponent);
    EXPECT_NEAR(tsne(device_, scaled, options).kl_divergence, plain.kl_divergence,
                0.01 * plain.kl_divergence)
        << exponent;
  }
}

TEST_F(TsneTest, PerplexityLimitsAreNamed) {
  EXPECT_DOUBLE_EQ(largest_perplexity(2), 1.0);
  EXPECT_DOUBLE_EQ(largest_perplexity(4), 1.0);
  EXPECT_DOUBLE_EQ(largest_perplexity(100), 33.0);
  EXPECT_EQ(affinity_neighbours(100, 33.0), 99);
  EXPECT_EQ(affinity_neighbours(10'000, 30.0), 90);
  EXPECT_EQ(affinity_neighbours(10'000, 30.4), 91);

  const Matrix x = clusters(50, 3, 2, 1);  // the largest is 16.3333
  TsneOptions options;
  options.iterations = 1;
  options.perplexity = 49.0 / 3.0;
  EXPECT_NO_THROW(tsne(device_, x, options));
  options.perplexity = 17;
  try {
    tsne(device_, x, options);
    FAIL() << "perplexity 17 of 50 points was taken";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("16.3333"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("50 points"), std::string::npos) << error.what();
  }
  for (const double bad : {0.5, 0.0, -3.0, std::nan("")}) {
    options.perplexity = bad;
    EXPECT_THROW(tsne(device_, x, options), UsageError) << bad;
  }
}

TEST_F(TsneTest, OptionsOutOfRangeAreRefused) {
  const Matrix x = clusters(40, 3, 2, 1);
  const auto refuse = [&](auto&& change) {
    TsneOptions options;
    options.perplexity = 5;
    options.iterations = 1;
    change(options);
    EXPECT_THROW(tsne(device_, x, options), UsageError);
  };
  refuse([](TsneOptions& o) { o.iterations = -1; });
  refuse([](TsneOptions& o) { o.exaggeration_iterations = -1; });
  refuse([](TsneOptions& o) { o.early_exaggeration = 0; });
  refuse([](TsneOptions& o) { o.momentum = 1; });
  refuse([](TsneOptions& o) { o.early_momentum = -0.1; });
  refuse([](TsneOptions& o) { o.learning_rate = -1; });
  refuse([](TsneOptions& o) { o.learning_rate = std::nan(""); });
  refuse([](TsneOptions& o) { o.max_step = 0; });
}

TEST_F(TsneTest, BadDataIsRefused) {
  Matrix x = clusters(40, 3, 2, 1);
  TsneOptions options;
  options.perplexity = 5;
  options.iterations = 1;
  options.start = TsneStart::given;
  options.given_start = Matrix(39, 2);
  EXPECT_THROW(tsne(device_, x, options), InputError);
  options.given_start = gaussian_start(40, 1, 1);
  options.given_start(3, 1) = std::numeric_limits<float>::infinity();
  EXPECT_THROW(tsne(device_, x, options), InputError);
  options.start = TsneStart::pca;
  x(11, 2) = std::numeric_limits<float>::quiet_NaN();
  try {
    tsne(device_, x, options);
    FAIL() << "NaN was taken";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("row 11, column 2"), std::string::npos)
        << error.what();
  }
}

TEST_F(TsneTest, ARunawayLearningRateIsReported) {
  const Matrix x = clusters(40, 3, 2, 1);
  TsneOptions options;
  options.perplexity = 5;
  options.learning_rate = 1e38;
  options.max_step = std::numeric_limits<double>::infinity();
  EXPECT_THROW(tsne(device_, x, options), NumericsError);
}

TEST_F(TsneTest, ProgressCanInterrupt) {
  const Matrix x = clusters(100, 3, 2, 1);
  TsneOptions options;
  int last = 0;
  options.progress = [&](const TsneProgress& progress) {
    EXPECT_GT(progress.iteration, last);
    EXPECT_EQ(progress.iterations, 1000);
    last = progress.iteration;
    return last < 200;
  };
  EXPECT_THROW(tsne(device_, x, options), Interrupted);
  EXPECT_GE(last, 200);
  EXPECT_LT(last, 1000);
}

TEST_F(TsneTest, IsTheSameAgain) {
  const Matrix x = clusters(700, 6, 5, 14);
  for (const TsneMethod method : {TsneMethod::exact, TsneMethod::tree, TsneMethod::fft}) {
    TsneOptions options;
    options.iterations = 120;
    options.exaggeration_iterations = 60;
    options.method = method;
    const TsneResult a = tsne(device_, x, options);
    const TsneResult b = tsne(device_, x, options);
    EXPECT_EQ(a.map.values, b.map.values);
    EXPECT_EQ(a.kl_divergence, b.kl_divergence);
  }
}

TEST(TsneMethods, HaveNames) {
  for (const TsneMethod method :
       {TsneMethod::automatic, TsneMethod::exact, TsneMethod::tree, TsneMethod::fft})
    EXPECT_EQ(parse_tsne_method(name_of(method)), method);
  EXPECT_THROW(parse_tsne_method("fast"), UsageError);
}

}  // namespace
}  // namespace hourglass
