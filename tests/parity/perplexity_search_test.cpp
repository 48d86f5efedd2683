// perplexity_search: the precision of every row, checked in float64 from what came back.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"

namespace hourglass::parity {
namespace {

struct Found {
  std::vector<double> conditional;
  std::vector<double> precision;
};

class PerplexitySearch : public BackendTest {
 protected:
  Found search(Trial& trial, Shape shape, const std::vector<float>& distances, double perplexity) {
    auto squared_distance = trial.input(distances);
    auto conditional = trial.output<float>(shape.rows * shape.columns);
    auto precision = trial.output<float>(shape.rows);
    trial.run([&](Backend& backend) {
      backend.perplexity_search(squared_distance.matrix(shape.rows, shape.columns),
                                static_cast<float>(perplexity),
                                conditional.matrix(shape.rows, shape.columns), precision.span());
    });
    return {widen(conditional.values()), widen(precision.values())};
  }

  /// Every row: the entropy at its precision, computed in float64, is within 1e-5 of
  /// ln(perplexity); its distribution is the one of that precision and sums to 1.
  void check(Trial& trial, Shape shape, const std::vector<float>& distances, double perplexity) {
    const Found found = search(trial, shape, distances, perplexity);
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      const auto row = distances.begin() + i * shape.columns;
      const std::vector<double> d(row, row + shape.columns);
      const std::string where = trial.context() + ", row " + std::to_string(i);
      const double precision = found.precision[i];
      ASSERT_TRUE(std::isfinite(precision) && precision > 0.0) << where << ": " << precision;
      const std::vector<double> want = oracle::conditional_row(d, precision);
      ASSERT_NEAR(oracle::entropy(want), std::log(perplexity), 1e-5) << where;
      const auto got_row = found.conditional.begin() + i * shape.columns;
      const std::vector<double> got(got_row, got_row + shape.columns);
      ASSERT_NEAR(oracle::entropy(got), std::log(perplexity), 1.2e-5) << where;
      double sum = 0.0;
      for (const double p : got)
        sum += p;
      ASSERT_NEAR(sum, 1.0, 1e-6) << where;
      ASSERT_EQ(differences(got, oracle::Matrix64(1, shape.columns, want),
                            {.absolute = 1e-7, .relative = 2e-5}),
                "")
          << where;
    }
  }

  static std::vector<float> random_distances(Shape shape, double scale, Random& random) {
    std::vector<float> distances;
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      std::vector<float> row = random.uniforms(shape.columns, 0.2 * scale, scale);
      std::sort(row.begin(), row.end());
      distances.insert(distances.end(), row.begin(), row.end());
    }
    return distances;
  }
};
HOURGLASS_FOR_EVERY_BACKEND(PerplexitySearch);

TEST_P(PerplexitySearch, MeetsTheEntropy) {
  std::uint64_t seed = 0;
  for (const auto& [shape, perplexity] : std::vector<std::pair<Shape, double>>{{{1, 3}, 1.5},
                                                                               {{33, 90}, 30.0},
                                                                               {{257, 31}, 10.0},
                                                                               {{31, 32}, 5.0},
                                                                               {{32, 33}, 11.0},
                                                                               {{5, 257}, 85.0},
                                                                               {{3, 784}, 100.0},
                                                                               {{3, 90}, 1.05},
                                                                               {{3, 90}, 89.0}}) {
    Random random(++seed);
    Trial trial = this->trial(seed, shape);
    trial.set_skew(any_skew(seed, 2));
    check(trial, shape, random_distances(shape, 1.0, random), perplexity);
  }
}

TEST_P(PerplexitySearch, MeetsItAtEveryScaleOfDistance) {
  const Shape shape{5, 90};
  for (const double scale : {1e-30, 1e-20, 1e-10, 1e-4, 1.0, 1e4, 1e10, 1e20, 1e30}) {
    Random random(17);
    Trial trial = this->trial(17, "5x90, distances to " + std::to_string(std::log10(scale)));
    check(trial, shape, random_distances(shape, scale, random), 30.0);
  }
}

TEST_P(PerplexitySearch, MeetsItWhereOneNeighbourIsFarNearerOrFarther) {
  const Shape shape{3, 90};
  for (const double extreme : {0.0, 1e-12, 1e12, std::numeric_limits<double>::infinity()}) {
    Random random(18);
    std::vector<float> distances = random_distances(shape, 1.0, random);
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      const std::int64_t at = extreme < 1.0 ? 0 : shape.columns - 1;
      distances[i * shape.columns + at] = static_cast<float>(extreme);
    }
    Trial trial = this->trial(18, shape);
    check(trial, shape, distances, 30.0);
  }
}

TEST_P(PerplexitySearch, MeetsItWhereDistancesDifferLittle) {
  // All within a thousandth of their size: exp(-precision d) alone would underflow.
  const Shape shape{3, 90};
  Random random(19);
  std::vector<float> distances = random.uniforms(shape.rows * shape.columns, 1000.0, 1001.0);
  Trial trial = this->trial(19, shape);
  check(trial, shape, distances, 10.0);
}

TEST_P(PerplexitySearch, OfEqualDistancesIsUniform) {
  for (const float distance : {0.0f, 1e-30f, 2.5f, 1e30f}) {
    const Shape shape{4, 33};
    Trial trial = this->trial(0, "4x33 of " + std::to_string(distance));
    const Found found = search(trial, shape, std::vector<float>(4 * 33, distance), 11.0);
    for (const double p : found.conditional)
      ASSERT_NEAR(p, 1.0 / 33.0, 1e-8) << trial.context();
    for (const double b : found.precision)
      ASSERT_TRUE(std::isfinite(b)) << trial.context();
  }
}

TEST_P(PerplexitySearch, OfMoreNearestTiesThanThePerplexityStaysFinite) {
  // 40 duplicates at distance 0 hold the entropy at ln 40 or more: the nearest that can be had to
  // ln 30 spreads the row over them.
  const Shape shape{2, 90};
  std::vector<float> distances(2 * 90, 1.0f);
  for (std::int64_t i = 0; i < 2; ++i) {
    std::fill_n(distances.begin() + i * 90, 40, 0.0f);
  }
  Trial trial = this->trial(0, shape);
  const Found found = search(trial, shape, distances, 30.0);
  for (std::size_t a = 0; a < found.conditional.size(); ++a) {
    ASSERT_NEAR(found.conditional[a], a % 90 < 40 ? 1.0 / 40.0 : 0.0, 1e-5)
        << trial.context() << ", element " << a;
  }
  for (const double b : found.precision)
    ASSERT_TRUE(std::isfinite(b)) << trial.context();
}

TEST_P(PerplexitySearch, OfNothingIsNone) {
  Trial trial = this->trial(0, Shape{0, 5});
  EXPECT_TRUE(search(trial, {0, 5}, {}, 2.0).precision.empty());
}

TEST_P(PerplexitySearch, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 128);
  const auto call = [&](Shape conditional, std::int64_t precision) {
    backend().perplexity_search({memory.data(), 4, 6}, 2.0f,
                                {memory.data() + 32, conditional.rows, conditional.columns},
                                memory.span(64, precision));
  };
  expect_refused("perplexity_search", [&] { call({4, 5}, 4); });
  expect_refused("perplexity_search", [&] { call({3, 6}, 4); });
  expect_refused("perplexity_search", [&] { call({4, 6}, 3); });
}

}  // namespace
}  // namespace hourglass::parity
