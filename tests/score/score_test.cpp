// Every score against plain loops in float64, and its edges.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/score/neighbourhood.hpp"
#include "host/score/rank_table.hpp"
#include "hourglass/error.hpp"
#include "hourglass/scores.hpp"
#include "tests/oracle/neighbours.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"

namespace hourglass {
namespace {

using oracle::Matrix64;

Matrix64 widened(const Matrix& x) {
  return {x.rows, x.columns, x.values};
}

struct Sample {
  Matrix x;
  std::vector<std::int32_t> labels;
};

/// Overlapping Gaussian classes, labels drawn at random: no order that a split could hide in.
Sample classes_of(std::int64_t rows, std::int64_t columns, std::int32_t classes, std::uint64_t seed,
                  double distance = 2.0) {
  parity::Random random(seed);
  const std::vector<float> centres = random.normals(classes * columns, distance);
  Sample sample{Matrix(rows, columns), {}};
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto label = static_cast<std::int32_t>(random.below(classes));
    sample.labels.push_back(label);
    for (std::int64_t j = 0; j < columns; ++j) {
      sample.x(i, j) = centres[static_cast<std::size_t>(label * columns + j)] +
                       static_cast<float>(random.normal());
    }
  }
  return sample;
}

class Score : public testing::Test {
 protected:
  Device device_ = Device::open("cpu", 2);
};

TEST_F(Score, OneNearestNeighbourMatchesTheOracle) {
  for (const std::int64_t rows : {2, 3, 31, 257, 400}) {
    const Sample s = classes_of(rows, 5, 4, 10 + static_cast<std::uint64_t>(rows));
    EXPECT_EQ(one_nn_leave_one_out_accuracy(device_, s.x, s.labels),
              oracle::one_nn_accuracy(widened(s.x), s.labels))
        << rows;
    const auto half = rows / 2;
    const Matrix64 all = widened(s.x);
    const auto split = s.x.values.begin() + half * 5;
    const Matrix64 train(half, 5, std::vector<float>(s.x.values.begin(), split));
    const Matrix64 test(rows - half, 5, std::vector<float>(split, s.x.values.end()));
    const std::vector<std::int32_t> train_labels(s.labels.begin(), s.labels.begin() + half);
    const std::vector<std::int32_t> test_labels(s.labels.begin() + half, s.labels.end());
    EXPECT_EQ(one_nn_split_accuracy(device_, s.x, s.labels),
              oracle::one_nn_accuracy(train, train_labels, test, test_labels))
        << rows;
  }
}

TEST_F(Score, OneNearestNeighbourRefusesWhatDoesNotFit) {
  const Sample s = classes_of(10, 3, 2, 1);
  EXPECT_THROW((void)one_nn_leave_one_out_accuracy(device_, s.x, Labels(s.labels).first(9)),
               UsageError);
  EXPECT_THROW((void)one_nn_split_accuracy(device_, Matrix(1, 3), Labels(s.labels).first(1)),
               UsageError);
  EXPECT_THROW(
      (void)one_nn_accuracy(device_, s.x, s.labels, Matrix(2, 4), Labels(s.labels).first(2)),
      UsageError);
}

TEST_F(Score, TrustworthinessMatchesTheOracle) {
  for (const int k : {1, 5, 12}) {
    const Sample s = classes_of(120, 6, 3, 7);
    Matrix map(120, 2);
    for (std::int64_t i = 0; i < map.rows; ++i) {
      map(i, 0) = s.x(i, 0);
      map(i, 1) = s.x(i, 1);
    }
    EXPECT_NEAR(trustworthiness(device_, s.x, map, k),
                oracle::trustworthiness(widened(s.x), widened(map), k), 1e-12)
        << k;
    EXPECT_EQ(trustworthiness(device_, s.x, s.x, k), 1.0);
  }
}

TEST_F(Score, ATableOfRanksGivesTheSameTrustworthiness) {
  for (const std::int64_t rows : {2, 25, 130, 700}) {
    Sample s = classes_of(rows, 40, 4, 21);
    // Equal rows and equal distances: ranks go by index there.
    std::copy_n(s.x.row(0).begin(), 40, s.x.row(rows - 1).begin());
    ASSERT_TRUE(RankTable::is_worthwhile(device_, rows));
    const RankTable ranks(device_, s.x);
    for (const std::int64_t columns : {1, 2, 17}) {
      const Matrix map = classes_of(rows, columns, 4, 22).x;
      for (const int k : {1, 12}) {
        if (2 * k >= rows) continue;
        EXPECT_EQ(ranks.trustworthiness(device_, map, k), trustworthiness(device_, s.x, map, k))
            << rows << " rows, map of " << columns << " columns, " << k << " neighbours";
      }
    }
    EXPECT_THROW((void)ranks.trustworthiness(device_, Matrix(rows + 1, 2), 1), UsageError);
    EXPECT_THROW((void)ranks.trustworthiness(device_, Matrix(rows, 2), 0), UsageError);
    EXPECT_THROW((void)ranks.trustworthiness(device_, Matrix(rows, 2), 350), UsageError);
  }
  EXPECT_THROW(RankTable(device_, Matrix(1, 2)), UsageError);
  EXPECT_THROW(RankTable(device_, Matrix(RankTable::most_rows + 1, 1)), UsageError);
  EXPECT_FALSE(RankTable::is_worthwhile(device_, RankTable::most_rows + 1));
}

TEST_F(Score, TrustworthinessRefusesHalfTheRows) {
  const Sample s = classes_of(24, 2, 2, 3);
  EXPECT_NO_THROW((void)trustworthiness(device_, s.x, s.x, 11));
  EXPECT_THROW((void)trustworthiness(device_, s.x, s.x, 12), UsageError);
  EXPECT_THROW((void)trustworthiness(device_, s.x, s.x, 0), UsageError);
  EXPECT_THROW((void)trustworthiness(device_, s.x, Matrix(23, 2), 3), UsageError);
}

TEST_F(Score, NeighbourPreservationMatchesTheOracle) {
  const Sample a = classes_of(90, 4, 3, 11);
  Sample b = a;
  parity::Random random(12);
  for (float& value : b.x.values)
    value += static_cast<float>(random.normal());
  for (const int k : {1, 7, 30, 89}) {
    const auto near_a = oracle::nearest_neighbours(widened(a.x), widened(a.x), true, k).index;
    const auto near_b = oracle::nearest_neighbours(widened(b.x), widened(b.x), true, k).index;
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < 90; ++i) {
      for (std::int64_t j = 0; j < k; ++j) {
        kept += std::count(near_b.begin() + i * k, near_b.begin() + (i + 1) * k,
                           near_a[static_cast<std::size_t>(i * k + j)]);
      }
    }
    EXPECT_DOUBLE_EQ(neighbour_preservation(device_, a.x, b.x, k),
                     static_cast<double>(kept) / static_cast<double>(90 * k))
        << k;
  }
  EXPECT_EQ(neighbour_preservation(device_, a.x, a.x, 5), 1.0);
  EXPECT_THROW((void)neighbour_preservation(device_, a.x, b.x, 90), UsageError);
}

TEST_F(Score, MapFiguresOfAllRowsAreThoseOfTheFullFunctions) {
  const Sample s = classes_of(1500, 6, 5, 17);
  Matrix map(1500, 2);
  parity::Random random(3);
  for (std::int64_t i = 0; i < map.rows; ++i) {
    for (std::int64_t c = 0; c < 2; ++c)
      map(i, c) = s.x(i, c) + 0.5f * static_cast<float>(random.normal());
  }
  const MapFigures figures = map_figures(device_, s.x, map);
  EXPECT_EQ(figures.sample, 1500);
  EXPECT_NEAR(figures.neighbour_preservation_10.value(),
              neighbour_preservation(device_, s.x, map, 10), 1e-5);
  EXPECT_NEAR(figures.neighbour_preservation_30.value(),
              neighbour_preservation(device_, s.x, map, 30), 1e-5);
  EXPECT_NEAR(figures.trustworthiness.value(), trustworthiness(device_, s.x, map, 12), 1e-7);
  // Far from the origin products say little of distances.
  Matrix far = s.x;
  for (float& value : far.values)
    value = std::round(16.0f * value) + 4096.0f;
  Matrix near = far;
  for (float& value : near.values)
    value -= 4096.0f;
  EXPECT_EQ(map_figures(device_, far, map).trustworthiness,
            map_figures(device_, near, map).trustworthiness);
  EXPECT_NEAR(map_figures(device_, far, map).trustworthiness.value(),
              trustworthiness(device_, far, map, 12), 1e-12);
  const MapFigures itself = map_figures(device_, s.x, s.x);
  EXPECT_EQ(itself.neighbour_preservation_30, 1.0);
  EXPECT_EQ(itself.trustworthiness, 1.0);
}

TEST_F(Score, NeighbourhoodFiguresAreThoseOfTheFunctions) {
  for (const std::int64_t rows : {11, 25, 30, 31, 700}) {
    const Matrix x = classes_of(rows, 33, 5, 17).x;
    Matrix map = classes_of(rows, 2, 5, 18).x;
    for (std::int64_t i = 0; i < rows; i += 2)
      std::copy_n(x.row(i).begin(), 2, map.row(i).begin());
    const MapFigures figures = neighbourhood_figures(device_, x, map);
    EXPECT_EQ(figures.sample, rows);
    EXPECT_EQ(figures.neighbour_preservation_10, neighbour_preservation(device_, x, map, 10));
    ASSERT_EQ(figures.neighbour_preservation_30.has_value(), rows > 30);
    if (rows > 30) {
      EXPECT_EQ(figures.neighbour_preservation_30, neighbour_preservation(device_, x, map, 30));
    }
    ASSERT_EQ(figures.trustworthiness.has_value(), rows > 24);
    if (rows > 24) {
      EXPECT_EQ(figures.trustworthiness, trustworthiness(device_, x, map, 12));
    }
  }
  for (const std::int64_t rows : {0, 1, 2, 10}) {
    const MapFigures few = neighbourhood_figures(device_, Matrix(rows, 3), Matrix(rows, 2));
    EXPECT_FALSE(few.neighbour_preservation_10 || few.neighbour_preservation_30 ||
                 few.trustworthiness);
  }
  EXPECT_THROW((void)neighbourhood_figures(device_, Matrix(4, 3), Matrix(5, 2)), UsageError);
}

TEST_F(Score, MapFiguresOfASampleAreMeansOverItsRows) {
  const std::int64_t n = 1003, sample = 37;
  const Sample s = classes_of(n, 4, 5, 19);
  Matrix map(n, 2);
  parity::Random random(5);
  for (float& value : map.values)
    value = static_cast<float>(random.normal());
  for (std::int64_t i = 0; i < n; i += 2)
    map(i, 0) = s.x(i, 0);
  const auto near = oracle::nearest_neighbours(widened(s.x), widened(s.x), true, n - 1).index;
  const auto in_map = oracle::nearest_neighbours(widened(map), widened(map), true, 30).index;
  double kept = 0, excess = 0;
  for (std::int64_t a = 0; a < sample; ++a) {
    const std::int64_t i = a * n / sample;
    const auto row = near.begin() + i * (n - 1);
    for (std::int64_t b = 0; b < 30; ++b) {
      const auto rank =
          std::find(row, row + n - 1, in_map[static_cast<std::size_t>(i * 30 + b)]) - row + 1;
      kept += rank <= 30 ? 1 : 0;
      if (b < 12) excess += static_cast<double>(std::max<std::ptrdiff_t>(0, rank - 12));
    }
  }
  const MapFigures figures = map_figures(device_, s.x, map, sample);
  EXPECT_EQ(figures.sample, sample);
  EXPECT_NEAR(figures.neighbour_preservation_30.value(), kept / (30.0 * sample), 1e-12);
  EXPECT_NEAR(figures.trustworthiness.value(),
              1.0 - 2.0 * excess / (sample * 12.0 * (2.0 * n - 37.0)), 1e-6);
}

TEST_F(Score, MapFiguresOfEqualAndOfFewRows) {
  const Matrix equal(60, 3);
  EXPECT_EQ(map_figures(device_, equal, Matrix(60, 2)).trustworthiness, 1.0);
  EXPECT_EQ(map_figures(device_, equal, Matrix(60, 2)).neighbour_preservation_10, 1.0);
  const Sample s = classes_of(31, 3, 2, 1);
  EXPECT_TRUE(map_figures(device_, s.x, s.x).neighbour_preservation_30.has_value());
  const Sample t = classes_of(24, 3, 2, 1);
  const MapFigures few = map_figures(device_, t.x, t.x);
  EXPECT_TRUE(few.neighbour_preservation_10.has_value());
  EXPECT_FALSE(few.neighbour_preservation_30.has_value());
  EXPECT_FALSE(few.trustworthiness.has_value());
  EXPECT_FALSE(map_figures(device_, Matrix(1, 3), Matrix(1, 2)).neighbour_preservation_10);
  EXPECT_THROW((void)map_figures(device_, t.x, Matrix(23, 2)), UsageError);
  EXPECT_THROW((void)map_figures(device_, t.x, t.x, -1), UsageError);
}

TEST_F(Score, SilhouetteMatchesTheOracle) {
  const Sample s = classes_of(150, 3, 5, 21);
  const Silhouette result = silhouette(device_, s.x, s.labels);
  EXPECT_NEAR(result.mean, oracle::silhouette(widened(s.x), s.labels), 1e-6);
  ASSERT_EQ(result.by_class.size(), 5u);
  double mean = 0;
  for (std::size_t c = 0; c < 5; ++c) {
    mean += result.by_class[c] *
            static_cast<double>(std::count(s.labels.begin(), s.labels.end(), static_cast<int>(c)));
  }
  EXPECT_NEAR(mean / 150, result.mean, 1e-12);
}

TEST_F(Score, SilhouetteOfSingleRowsSingleClassesAndEqualRows) {
  const Matrix x(4, 2);
  EXPECT_EQ(silhouette(device_, x, std::vector<std::int32_t>{0, 0, 1, 1}).mean, 0.0);
  const Sample s = classes_of(6, 2, 2, 5);
  EXPECT_EQ(silhouette(device_, s.x, std::vector<std::int32_t>{0, 0, 0, 0, 0, 0}).mean, 0.0);
  const Silhouette lone = silhouette(device_, s.x, std::vector<std::int32_t>{0, 0, 0, 0, 0, 3});
  ASSERT_EQ(lone.by_class.size(), 4u);
  EXPECT_EQ(lone.by_class[3], 0.0);
  EXPECT_THROW((void)silhouette(device_, s.x, std::vector<std::int32_t>{0, 0, 0, 0, 0, -1}),
               UsageError);
}

TEST_F(Score, ClassSeparationByHand) {
  // Two classes of two points each: centroids (0, 0) and (10, 0), spreads 1 and 2.
  Matrix x(4, 2);
  x.values = {0, 1, 0, -1, 8, 0, 12, 0};
  const ClassSeparation s = class_separation(x, std::vector<std::int32_t>{0, 0, 1, 1});
  EXPECT_DOUBLE_EQ(s.spread[0], 1.0);
  EXPECT_DOUBLE_EQ(s.spread[1], 2.0);
  EXPECT_DOUBLE_EQ(s.centroid_distance[1], 10.0);
  EXPECT_DOUBLE_EQ(s.centroid_distance[2], 10.0);
  EXPECT_DOUBLE_EQ(s.ratio(0, 1), 10.0 / 1.5);
  EXPECT_DOUBLE_EQ(s.mean_ratio, 10.0 / 1.5);
  EXPECT_DOUBLE_EQ(s.mean_gap, 7.0);
  // Squared distances from (5, 0): 26, 26, 9, 49.
  EXPECT_DOUBLE_EQ(s.radius, std::sqrt(110.0 / 4));
}

TEST_F(Score, ClassSeparationLeavesOutClassesWithoutRows) {
  Matrix x(4, 1);
  x.values = {0, 2, 10, 14};
  const ClassSeparation s = class_separation(x, std::vector<std::int32_t>{1, 1, 4, 4});
  EXPECT_EQ(s.classes, 5);
  EXPECT_DOUBLE_EQ(s.mean_spread, 1.5);
  EXPECT_DOUBLE_EQ(s.mean_ratio, 11 / 1.5);
  EXPECT_DOUBLE_EQ(s.mean_gap, 8);
}

TEST_F(Score, ActivationFiguresByHand) {
  Matrix codes(4, 3);
  codes.values = {0, 1, -1, 0, 0, 2, 0, 3, 0, 0, 0, 0};
  const ActivationFigures f = activation_figures(codes, false);
  EXPECT_DOUBLE_EQ(f.mean, 5.0 / 12);
  EXPECT_DOUBLE_EQ(f.zero_share, 8.0 / 12);
  EXPECT_DOUBLE_EQ(f.negative_share, 1.0 / 12);
  EXPECT_EQ(f.dead_units, 1);
  EXPECT_EQ(f.unit_mean, (std::vector<double>{0, 1, 0.25}));
  EXPECT_EQ(f.unit_active_share, (std::vector<double>{0, 0.5, 0.25}));

  Matrix sigmoid(2, 3);
  sigmoid.values = {0.0005f, 0.4f, 0.9f, 0.0009f, 0.3f, 0.6f};
  const ActivationFigures g = activation_figures(sigmoid, true);
  EXPECT_EQ(g.dead_units, 1);
  EXPECT_EQ(g.unit_active_share, (std::vector<double>{0, 0, 1}));
}

/// Multinomial logistic regression by plain gradient descent with the exact step bound, float64:
/// slow, and certain.
double probe_oracle(const Matrix& train, Labels train_labels, const Matrix& test,
                    Labels test_labels, std::size_t classes) {
  const auto d = static_cast<std::size_t>(train.columns);
  std::vector<double> mean(d), sd(d);
  for (std::size_t j = 0; j < d; ++j) {
    for (std::int64_t i = 0; i < train.rows; ++i)
      mean[j] += train.row(i)[j];
    mean[j] /= static_cast<double>(train.rows);
    for (std::int64_t i = 0; i < train.rows; ++i)
      sd[j] += (train.row(i)[j] - mean[j]) * (train.row(i)[j] - mean[j]);
    sd[j] = std::sqrt(sd[j] / static_cast<double>(train.rows));
    if (sd[j] == 0) sd[j] = 1;
  }
  std::vector<double> w((d + 1) * classes);
  const auto scores = [&](const Matrix& x, std::int64_t i) {
    std::vector<double> z(classes);
    for (std::size_t c = 0; c < classes; ++c) {
      z[c] = w[d * classes + c];
      for (std::size_t j = 0; j < d; ++j)
        z[c] += (x.row(i)[j] - mean[j]) / sd[j] * w[j * classes + c];
    }
    return z;
  };
  const double step = 2.0 / static_cast<double>(d + 1);
  for (int iteration = 0; iteration < 20000; ++iteration) {
    std::vector<double> g(w.size());
    for (std::int64_t i = 0; i < train.rows; ++i) {
      std::vector<double> p = scores(train, i);
      const double largest = *std::max_element(p.begin(), p.end());
      double sum = 0;
      for (double& v : p)
        sum += v = std::exp(v - largest);
      for (std::size_t c = 0; c < classes; ++c) {
        const double r =
            p[c] / sum - (static_cast<std::size_t>(train_labels[static_cast<std::size_t>(i)]) == c);
        for (std::size_t j = 0; j < d; ++j)
          g[j * classes + c] += r * (train.row(i)[j] - mean[j]) / sd[j];
        g[d * classes + c] += r;
      }
    }
    for (std::size_t j = 0; j < w.size(); ++j) {
      g[j] /= static_cast<double>(train.rows);
      if (j < d * classes) g[j] += 1e-4 * w[j];
      w[j] -= step * g[j];
    }
  }
  double right = 0;
  for (std::int64_t i = 0; i < test.rows; ++i) {
    const std::vector<double> z = scores(test, i);
    right += std::max_element(z.begin(), z.end()) - z.begin() ==
             test_labels[static_cast<std::size_t>(i)];
  }
  return right / static_cast<double>(test.rows);
}

TEST_F(Score, LinearProbeMatchesGradientDescent) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    const Sample s = classes_of(160, 3, 4, seed, 1.0);
    Sample train{Matrix(80, 3), {s.labels.begin(), s.labels.begin() + 80}};
    Sample test{Matrix(80, 3), {s.labels.begin() + 80, s.labels.end()}};
    train.x.values.assign(s.x.values.begin(), s.x.values.begin() + 240);
    test.x.values.assign(s.x.values.begin() + 240, s.x.values.end());
    const double want = probe_oracle(train.x, train.labels, test.x, test.labels, 4);
    // One row on the border may fall to either side.
    EXPECT_NEAR(linear_probe_split_accuracy(device_, s.x, s.labels), want, 1.01 / 80) << seed;
  }
}

TEST_F(Score, LinearProbeEdges) {
  Matrix x(8, 2);
  x.values = {1, 7, 2, 7, 11, 7, 12, 7, 1, 7, 2, 7, 11, 7, 12, 7};
  const std::vector<std::int32_t> labels = {5, 5, -3, -3, 5, 5, -3, -3};
  // Any labels, a constant column, separable classes.
  EXPECT_EQ(linear_probe_split_accuracy(device_, x, labels), 1.0);
  // A class that was not seen is never right; one class alone is always guessed.
  EXPECT_EQ(
      linear_probe_split_accuracy(device_, x, std::vector<std::int32_t>{1, 1, 1, 1, 1, 1, 1, 2}),
      0.75);
  EXPECT_EQ(pair_accuracy(device_, x, labels, 5, -3), 1.0);
  EXPECT_THROW((void)pair_accuracy(device_, x, labels, 8, 9), UsageError);
}

TEST_F(Score, PairAccuracyLooksAtTheTwoClassesAlone) {
  Sample s = classes_of(300, 2, 3, 9, 0.1);
  for (std::int64_t i = 0; i < s.x.rows; ++i) {
    if (s.labels[static_cast<std::size_t>(i)] == 1) s.x(i, 0) += 100;
  }
  EXPECT_EQ(pair_accuracy(device_, s.x, s.labels, 1, 2), 1.0);
  EXPECT_LT(pair_accuracy(device_, s.x, s.labels, 0, 2), 0.75);
}

TEST_F(Score, KlDivergenceMatchesTheOracle) {
  const Sample s = classes_of(100, 4, 3, 31);
  parity::Random random(32);
  Matrix map(100, 2);
  map.values = random.normals(200, 3.0);
  const double want = oracle::tsne_kl(oracle::affinities_of(widened(s.x), 10), widened(map));
  EXPECT_NEAR(tsne_kl_divergence(device_, s.x, map, 10), want, 1e-4 * want);
  EXPECT_THROW((void)tsne_kl_divergence(device_, s.x, map, 34), UsageError);
  EXPECT_THROW((void)tsne_kl_divergence(device_, s.x, s.x, 10), UsageError);
}

}  // namespace
}  // namespace hourglass
