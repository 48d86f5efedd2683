// nearest_neighbours: exact k nearest rows, ties by the lower index.
#include "tests/oracle/neighbours.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/cpu/backend.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

struct NeighbourCase {
  std::int64_t queries, references, columns, k;
  bool same;
};

class NearestNeighbours : public BackendTest {
 protected:
  /// `exact`: every distance is a small integer, so the indices must be the oracle's one by one.
  /// Otherwise float32 may order near ties either way: what is checked then is that every
  /// neighbour's true distance is that of its place, up to rounding.
  void compare(std::uint64_t seed, const NeighbourCase& c, const std::vector<float>& query_values,
               const std::vector<float>& reference_values, bool exact) {
    Trial trial =
        this->trial(seed, std::to_string(c.queries) + " of " + std::to_string(c.references) + "x" +
                              std::to_string(c.columns) + ", k " + std::to_string(c.k) +
                              (c.same ? ", same" : ""));
    trial.set_skew(any_skew(seed, 2));
    auto references = trial.input(reference_values);
    auto queries = c.same ? references : trial.input(query_values);
    auto index = trial.output<std::int32_t>(c.queries * c.k);
    auto distance = trial.output<float>(c.queries * c.k);
    trial.run([&](Backend& backend) {
      backend.nearest_neighbours(queries.matrix(c.queries, c.columns),
                                 references.matrix(c.references, c.columns), c.same,
                                 index.matrix(c.queries, c.k), distance.matrix(c.queries, c.k));
    });

    const oracle::Matrix64 wide_queries(c.queries, c.columns,
                                        c.same ? reference_values : query_values);
    const oracle::Matrix64 wide_references(c.references, c.columns, reference_values);
    const oracle::Neighbours want =
        oracle::nearest_neighbours(wide_queries, wide_references, c.same, c.k);
    trial.expect_close("squared_distance", distance, want.squared_distance, {.relative = 2e-6});
    const std::vector<std::int32_t> got = index.values();
    if (exact) {
      trial.expect_equal("index", got, want.index, c.k);
      return;
    }
    const std::vector<float> distances = distance.values();
    for (std::int64_t i = 0; i < c.queries; ++i) {
      std::set<std::int32_t> seen;
      for (std::int64_t a = 0; a < c.k; ++a) {
        const std::int32_t j = got[i * c.k + a];
        const std::string where =
            trial.context() + ": neighbour " + std::to_string(a) + " of row " + std::to_string(i);
        ASSERT_TRUE(j >= 0 && j < c.references) << where << " is " << j;
        ASSERT_TRUE(!c.same || j != i) << where << " is the row itself";
        ASSERT_TRUE(seen.insert(j).second) << where << " is listed twice: " << j;
        const double true_distance = oracle::squared_distance(wide_queries, i, wide_references, j);
        ASSERT_NEAR(true_distance, want.squared_distance(i, a), 2e-6 * true_distance)
            << where << " is " << j << ", want " << want.index[i * c.k + a];
        if (a > 0) {
          const float before = distances[i * c.k + a - 1];
          const float now = distances[i * c.k + a];
          ASSERT_TRUE(before < now || (before == now && got[i * c.k + a - 1] < j))
              << where << " is out of order";
        }
      }
    }
  }

  static std::vector<float> integers(std::int64_t count, int bound, Random& random) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values)
      value = static_cast<float>(random.below(bound));
    return values;
  }
};
HOURGLASS_FOR_EVERY_BACKEND(NearestNeighbours);

TEST_P(NearestNeighbours, MatchTheOracle) {
  std::vector<NeighbourCase> cases = {{2, 2, 1, 1, true},     {5, 5, 3, 4, true},
                                      {31, 31, 33, 30, true}, {33, 33, 31, 7, true},
                                      {1, 33, 32, 33, false}, {33, 1, 32, 1, false},
                                      {257, 257, 2, 1, true}, {32, 257, 31, 90, false}};
  if (!emulated()) {
    const NeighbourCase large[] = {{256, 256, 784, 90, true},  {785, 785, 33, 90, true},
                                   {255, 784, 257, 31, false}, {1200, 1200, 32, 96, true},
                                   {257, 2100, 50, 5, false},  {300, 300, 785, 299, true},
                                   {300, 300, 785, 149, true}, {40, 300, 33, 150, false}};
    cases.insert(cases.end(), std::begin(large), std::end(large));
  }
  std::uint64_t seed = 0;
  for (const NeighbourCase& c : cases) {
    Random random(++seed);
    compare(seed, c, random.normals(c.queries * c.columns),
            random.normals(c.references * c.columns), false);
  }
}

TEST_P(NearestNeighbours, BreakTiesByTheLowerIndex) {
  std::uint64_t seed = 20;
  for (const NeighbourCase& c : {NeighbourCase{64, 64, 2, 20, true},
                                 {emulated() ? 100 : 257, emulated() ? 100 : 257, 3, 31, true},
                                 {33, 300, 5, 33, false},
                                 {40, 40, 1, 39, true},
                                 {100, 257, 17, 8, false}}) {
    Random random(++seed);
    compare(seed, c, integers(c.queries * c.columns, 4, random),
            integers(c.references * c.columns, 4, random), true);
  }
}

TEST_P(NearestNeighbours, OfEqualPointsAreTheLowestIndices) {
  const std::int64_t n = emulated() ? 66 : 257;
  const std::vector<float> equal(static_cast<std::size_t>(n * 33), 0.1f);
  for (const std::int64_t k : {std::int64_t{1}, std::int64_t{9}, n - 1}) {
    compare(1, {n, n, 33, k, true}, {}, equal, true);
    compare(2, {5, n, 33, k, false}, std::vector<float>(5 * 33, 0.3f), equal, false);
  }
}

TEST_P(NearestNeighbours, FindDuplicates) {
  // Each point three times, in a shuffled order: its two copies lead its list, at distance 0
  // exactly.
  Random random(31);
  const std::int64_t n = emulated() ? 99 : 300, columns = 50;
  const std::vector<float> points = random.normals(n / 3 * columns, 10.0, 100.0);
  std::vector<float> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t from = i * 7 % (n / 3) * columns;
    values.insert(values.end(), points.begin() + from, points.begin() + from + columns);
  }
  compare(31, {n, n, columns, 2, true}, {}, values, true);
  compare(32, {n, n, columns, 10, true}, {}, values, false);
}

TEST_P(NearestNeighbours, OfManyDuplicatesAreTheLowestIndices) {
  // Three groups of equal points, each far larger than k: every one of a group is as near.
  const std::int64_t columns = 50, k = 9;
  for (const std::int64_t n : emulated() ? std::vector<std::int64_t>{34, 100}
                                         : std::vector<std::int64_t>{100, 257, 1101}) {
    Random random(34);
    const std::vector<float> points = random.normals(3 * columns, 3.0, 1.0);
    std::vector<float> values;
    std::vector<std::int32_t> want;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto from = points.begin() + i % 3 * columns;
      values.insert(values.end(), from, from + columns);
      for (std::int64_t j = i % 3, found = 0; found < k; j += 3) {
        if (j == i) continue;
        want.push_back(static_cast<std::int32_t>(j));
        ++found;
      }
    }
    Trial trial = this->trial(34, Shape{n, columns});
    auto x = trial.input(values);
    auto index = trial.output<std::int32_t>(n * k);
    auto distance = trial.output<float>(n * k);
    trial.run([&](Backend& backend) {
      backend.nearest_neighbours(x.matrix(n, columns), x.matrix(n, columns), true,
                                 index.matrix(n, k), distance.matrix(n, k));
    });
    EXPECT_EQ(distance.values(), std::vector<float>(static_cast<std::size_t>(n * k), 0.0f))
        << trial.context();
    trial.expect_equal("index", index.values(), want, k);
  }
}

TEST_P(NearestNeighbours, InTightClustersFarApartAreExact) {
  // No centring brings both clusters near the origin: |a|^2 + |b|^2 - 2 ab is off by some 1e-4 of
  // 3,200, and the distances within a cluster are smaller than that.
  const NeighbourCase c{200, 200, 32, 5, true};
  for (const double spread : {1e-2, 1e-3}) {
    Random random(35);
    std::vector<float> values;
    for (std::int64_t i = 0; i < c.references; ++i) {
      const std::vector<float> point = random.normals(c.columns, spread, i % 2 == 0 ? 10.0 : -10.0);
      values.insert(values.end(), point.begin(), point.end());
    }
    compare(35, c, {}, values, false);
  }
}

TEST_P(NearestNeighbours, OfPointsFarFromTheOriginDoNotSufferFromCancellation) {
  // Differences of some 0.01 beside coordinates of 8: |a|^2 + |b|^2 - 2 ab has an error of 1e-4.
  Random random(33);
  const NeighbourCase c{200, 200, 32, 1, true};
  std::vector<float> values;
  for (std::int64_t i = 0; i < c.references / 2; ++i) {
    const std::vector<float> point = random.normals(c.columns, 1.0, 8.0);
    values.insert(values.end(), point.begin(), point.end());
    for (const float coordinate : point) {
      values.push_back(coordinate + static_cast<float>(0.01 * random.normal()));
    }
  }
  compare(33, c, {}, values, false);
}

TEST_P(NearestNeighbours, OfRowsAmongThemselvesAreThoseOfQueries) {
  // Found in pairs, or one block of queries after the other; proven from products or done again by
  // differences: the same bits. Integers have ties, clusters far apart are hard to prove.
  for (const Shape& shape : emulated() ? std::vector<Shape>{{130, 17}}
                                       : std::vector<Shape>{{130, 17}, {700, 33}, {320, 300}}) {
    const std::int64_t n = shape.rows, columns = shape.columns, k = 20;
    Random random(36);
    std::vector<std::vector<float>> data(3);
    data[0] = random.normals(n * columns);
    data[1] = integers(n * columns, 2, random);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::vector<float> point = random.normals(columns, 2e-3, i % 3 == 0 ? 10.0 : -10.0);
      data[2].insert(data[2].end(), point.begin(), point.end());
    }
    for (const std::vector<float>& values : data) {
      Trial trial = this->trial(36, shape);
      auto x = trial.input(values);
      auto index = trial.output<std::int32_t>(n * k);
      auto distance = trial.output<float>(n * k);
      auto query_index = trial.output<std::int32_t>(n * (k + 1));
      auto query_distance = trial.output<float>(n * (k + 1));
      trial.run([&](Backend& backend) {
        backend.nearest_neighbours(x.matrix(n, columns), x.matrix(n, columns), true,
                                   index.matrix(n, k), distance.matrix(n, k));
        backend.nearest_neighbours(x.matrix(n, columns), x.matrix(n, columns), false,
                                   query_index.matrix(n, k + 1), query_distance.matrix(n, k + 1));
      });
      // Of the list with the row itself: the list without it, or without the last of equal rows.
      std::vector<std::int32_t> want_index;
      std::vector<float> want_distance;
      const std::vector<std::int32_t> found = query_index.values();
      const std::vector<float> distances = query_distance.values();
      for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t taken = 0;
        for (std::int64_t a = 0; a <= k && taken < k; ++a) {
          if (found[i * (k + 1) + a] == i) continue;
          want_index.push_back(found[i * (k + 1) + a]);
          want_distance.push_back(distances[i * (k + 1) + a]);
          ++taken;
        }
      }
      trial.expect_equal("index", index.values(), want_index, k);
      EXPECT_EQ(distance.values(), want_distance) << trial.context();
    }
  }
}

TEST(NearestNeighboursOfTheCpu, AreTheSameWithAnyNumberOfThreads) {
  const std::int64_t n = 900, columns = 40, k = 30;
  Random random(37);
  std::vector<float> x = random.normals(n * columns);
  for (std::int64_t i = 0; i < 200 * columns; ++i)
    x[static_cast<std::size_t>(i)] = 5.0f + 1e-3f * x[static_cast<std::size_t>(i)];
  std::vector<std::int32_t> first_index;
  std::vector<float> first_distance;
  for (const int threads : {1, 2, 3, 5}) {
    cpu::CpuBackend backend(threads);
    std::vector<std::int32_t> index(n * k, -1);
    std::vector<float> distance(n * k, NAN);
    const ConstMat view{x.data(), n, columns};
    backend.nearest_neighbours(view, view, true, {index.data(), n, k}, {distance.data(), n, k});
    if (threads == 1) {
      first_index = index;
      first_distance = distance;
    }
    EXPECT_EQ(index, first_index) << threads << " threads";
    EXPECT_EQ(distance, first_distance) << threads << " threads";
  }
}

TEST_P(NearestNeighbours, OfRowsTooWideForOneTile) {
  // 2^19 columns (2^13 on the model, whose limits are smaller) make tiles of 32 rows on a GPU, and
  // 65 such rows are not centred at once. All rows are 1, 2, 1, 2, ..., each with one column raised
  // so that its distance from the query is known.
  const std::int64_t rows = 65, columns = std::int64_t{1} << (emulated() ? 13 : 19), k = 9;
  std::vector<float> query(static_cast<std::size_t>(columns));
  for (std::size_t d = 0; d < query.size(); ++d)
    query[d] = static_cast<float>(1 + d % 2);
  std::vector<float> values;
  std::vector<std::pair<float, std::int32_t>> want;
  for (std::int64_t i = 0; i < rows; ++i) {
    values.insert(values.end(), query.begin(), query.end());
    const auto raised = static_cast<float>(1 + i * 37 % rows);
    values[static_cast<std::size_t>(i * columns + 8191 * i % columns)] += raised;
    want.emplace_back(raised * raised, static_cast<std::int32_t>(i));
  }
  std::sort(want.begin(), want.end());
  Trial trial = this->trial(38, Shape{rows, columns});
  auto references = trial.input(values);
  auto queries = trial.input(query);
  auto index = trial.output<std::int32_t>(k);
  auto distance = trial.output<float>(k);
  trial.run([&](Backend& backend) {
    backend.nearest_neighbours(queries.matrix(1, columns), references.matrix(rows, columns), false,
                               index.matrix(1, k), distance.matrix(1, k));
  });
  for (std::size_t a = 0; a < static_cast<std::size_t>(k); ++a) {
    EXPECT_EQ(index.values()[a], want[a].second) << trial.context();
    EXPECT_EQ(distance.values()[a], want[a].first) << trial.context();
  }
}

TEST_P(NearestNeighbours, OfNothingAreNone) {
  compare(1, {0, 5, 3, 2, false}, {}, std::vector<float>(15, 1.0f), true);
  compare(1, {4, 5, 3, 0, false}, std::vector<float>(12, 1.0f), std::vector<float>(15, 1.0f), true);
}

TEST_P(NearestNeighbours, RefuseShapesThatDoNotFit) {
  Buffer<float> x(backend(), 64);
  Buffer<std::int32_t> index(backend(), 64);
  Buffer<float> distance(backend(), 64);
  const auto call = [&](Shape queries, Shape references, bool same, Shape found, Shape distances) {
    backend().nearest_neighbours(x.matrix(queries.rows, queries.columns),
                                 x.matrix(references.rows, references.columns), same,
                                 index.matrix(found.rows, found.columns),
                                 distance.matrix(distances.rows, distances.columns));
  };
  const char* name = "nearest_neighbours";
  expect_refused(name, [&] { call({4, 3}, {5, 2}, false, {4, 2}, {4, 2}); });
  expect_refused(name, [&] { call({4, 3}, {5, 3}, false, {5, 2}, {4, 2}); });
  expect_refused(name, [&] { call({4, 3}, {5, 3}, false, {4, 2}, {4, 3}); });
  expect_refused(name, [&] { call({4, 3}, {5, 3}, false, {4, 6}, {4, 6}); });
  expect_refused(name, [&] { call({5, 3}, {5, 3}, true, {5, 5}, {5, 5}); });
}

}  // namespace
}  // namespace hourglass::parity
