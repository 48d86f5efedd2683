// The t-SNE driver against the float64 definition, and everything that can go wrong with its input.
#include "hourglass/tsne.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/embed/affinities.hpp"
#include "hourglass/error.hpp"
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
  state.step = Matrix64(start.rows, 2);
  state.gains = Matrix64(start.rows, 2, 1.0);
  for (int i = 0; i < options.iterations; ++i) {
    const bool early = i < options.exaggeration_iterations;
    const oracle::RepulsionSum repulsion = oracle::repulsion(state.y);
    oracle::tsne_update(oracle::attraction(p, state.y), repulsion.force, repulsion.partition,
                        {early ? options.early_exaggeration : 1.0, early ? early_rate : rate,
                         early ? options.early_momentum : options.momentum, options.max_step},
                        state);
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
  }
  EXPECT_NEAR(exact / want, 1.0, 0.01);
  EXPECT_NEAR(tree / want, 1.0, 0.01);
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
  for (const TsneMethod method : {TsneMethod::exact, TsneMethod::tree}) {
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
  for (const TsneMethod method : {TsneMethod::automatic, TsneMethod::exact, TsneMethod::tree})
    EXPECT_EQ(parse_tsne_method(name_of(method)), method);
  EXPECT_THROW(parse_tsne_method("fast"), UsageError);
}

}  // namespace
}  // namespace hourglass
