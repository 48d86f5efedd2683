// symmetrise: P = (P_cond + P_cond^T) / (2 N), compressed rows, columns ascending.
#include <cmath>
#include <map>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"
#include "tests/oracle/tsne_cases.hpp"

namespace hourglass::parity {
namespace {

class Symmetrise : public BackendTest {
 protected:
  void compare(Trial trial, std::int64_t n, std::int64_t k,
               const std::vector<std::int32_t>& index_values,
               const std::vector<float>& conditional_values, std::int64_t spare) {
    auto index = trial.input(index_values);
    auto conditional = trial.input(conditional_values);
    const std::int64_t capacity = 2 * n * k + spare;
    auto offsets = trial.output<std::int64_t>(n + 1);
    auto columns = trial.output<std::int32_t>(capacity);
    auto values = trial.output<float>(capacity);
    trial.run([&](Backend& backend) {
      backend.symmetrise(index.matrix(n, k), conditional.matrix(n, k),
                         {offsets.data(), columns.data(), values.data(), n, capacity});
    });
    if (n == 0) return;

    const oracle::Affinities want =
        oracle::symmetrise(index_values, oracle::Matrix64(n, k, conditional_values));
    ASSERT_EQ(offsets.values(), want.offsets) << trial.context();
    const std::int64_t entries = want.offsets.back();
    std::vector<std::int32_t> got_columns = columns.values();
    got_columns.resize(static_cast<std::size_t>(entries));
    trial.expect_equal("columns", got_columns, want.columns, 0);
    std::vector<double> got_values = widen(values.values());
    got_values.resize(static_cast<std::size_t>(entries));
    trial.expect_close("values", got_values, oracle::Matrix64(1, entries, want.values),
                       {.absolute = 1e-44, .relative = 3e-7});

    double sum = 0.0;
    std::map<std::pair<std::int64_t, std::int64_t>, double> entry;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t e = want.offsets[i]; e < want.offsets[i + 1]; ++e) {
        sum += got_values[e];
        entry[{i, got_columns[e]}] = got_values[e];
      }
    }
    EXPECT_NEAR(sum, k > 0 ? 1.0 : 0.0, 1e-6) << trial.context();
    for (const auto& [place, value] : entry) {
      const auto mirrored = entry.find({place.second, place.first});
      ASSERT_TRUE(mirrored != entry.end() && mirrored->second == value)
          << trial.context() << ": not symmetric at " << place.first << ", " << place.second;
    }
  }

  static std::vector<float> distributions(std::int64_t n, std::int64_t k, Random& random) {
    std::vector<float> conditional = random.uniforms(n * k);
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = 0.0;
      for (std::int64_t a = 0; a < k; ++a)
        sum += conditional[i * k + a];
      for (std::int64_t a = 0; a < k; ++a) {
        conditional[i * k + a] = static_cast<float>(conditional[i * k + a] / sum);
      }
    }
    return conditional;
  }
};
HOURGLASS_FOR_EVERY_BACKEND(Symmetrise);

TEST_P(Symmetrise, MatchesTheOracle) {
  std::vector<Shape> cases = {{2, 1}, {3, 2}, {31, 30}, {33, 5}, {257, 32}, {256, 31}, {100, 1}};
  if (!emulated()) cases.insert(cases.end(), {{785, 90}, {1500, 33}});
  std::uint64_t seed = 0;
  for (const Shape c : cases) {
    for (const std::int64_t spare : {0, 5}) {
      Random random(++seed);
      Trial trial = this->trial(seed, c);
      trial.set_skew(any_skew(seed, 2));
      compare(trial, c.rows, c.columns, random_neighbours(c.rows, c.columns, random),
              distributions(c.rows, c.columns, random), spare);
    }
  }
}

TEST_P(Symmetrise, FillsTheCapacityWhereNoEdgeIsMutual) {
  // Point i points at the next three on a ring: 2 N k different entries.
  const std::int64_t n = 40, k = 3;
  std::vector<std::int32_t> index;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t a = 1; a <= k; ++a)
      index.push_back(static_cast<std::int32_t>((i + a) % n));
  }
  Random random(3);
  compare(trial(3, "40x3"), n, k, index, distributions(n, k, random), 0);
}

TEST_P(Symmetrise, TakesAHubThatEveryPointHasAsNeighbour) {
  const std::int64_t n = 300, k = 2;
  std::vector<std::int32_t> index;
  for (std::int64_t i = 0; i < n; ++i) {
    index.push_back(static_cast<std::int32_t>(i == 299 ? 5 : 299));
    index.push_back(static_cast<std::int32_t>((i + 1) % 299));
  }
  Random random(4);
  compare(trial(4, "300x2, a hub"), n, k, index, distributions(n, k, random), 0);
}

TEST_P(Symmetrise, TakesAHubOfMoreEdgesThanSharedMemoryHolds) {
  // Behind the hub's last edge, which leads to the last point, lies one of its neighbour's to the
  // same point: rows must not run into one another.
  const std::int64_t n = emulated() ? 700 : 5000;
  Random random(6);
  std::vector<std::int32_t> index(static_cast<std::size_t>(n), 0);
  index[0] = 1;
  index[1] = static_cast<std::int32_t>(n - 1);
  compare(trial(6, "a hub for all"), n, 1, index, distributions(n, 1, random), 0);
}

TEST_P(Symmetrise, OfMoreRowsThanABlockScans) {
  const std::int64_t n = 4200;
  Random random(5);
  std::vector<std::int32_t> index(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    index[static_cast<std::size_t>(i)] = static_cast<std::int32_t>((i + 1 + i % 7) % n);
  compare(trial(5, "4200x1"), n, 1, index, distributions(n, 1, random), 0);
}

TEST_P(Symmetrise, KeepsEdgesOfNoWeight) {
  compare(trial(0, "3x1"), 3, 1, {1, 2, 0}, {1.0f, 1.0f, 1.0f}, 0);
  compare(trial(0, "2x1, zero"), 3, 2, {1, 2, 2, 0, 0, 1}, {1.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f}, 0);
}

TEST_P(Symmetrise, OfNothingIsNone) {
  compare(trial(0, "0x0"), 0, 0, {}, {}, 0);
}

TEST_P(Symmetrise, RefusesShapesThatDoNotFit) {
  Buffer<std::int32_t> index(backend(), 64);
  Buffer<float> conditional(backend(), 64);
  Buffer<std::int64_t> offsets(backend(), 16);
  Buffer<std::int32_t> columns(backend(), 64);
  Buffer<float> values(backend(), 64);
  index.zero();
  conditional.zero();
  const auto call = [&](Shape p, std::int64_t rows, std::int64_t capacity) {
    backend().symmetrise(index.matrix(4, 2), conditional.matrix(p.rows, p.columns),
                         {offsets.data(), columns.data(), values.data(), rows, capacity});
  };
  expect_refused("symmetrise", [&] { call({4, 3}, 4, 16); });
  expect_refused("symmetrise", [&] { call({3, 2}, 4, 16); });
  expect_refused("symmetrise", [&] { call({4, 2}, 5, 16); });
  expect_refused("symmetrise", [&] { call({4, 2}, 4, 15); });
}

}  // namespace
}  // namespace hourglass::parity
