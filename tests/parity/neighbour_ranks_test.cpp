// neighbour_ranks: the place that a given row takes among all others by distance.
#include "tests/oracle/neighbours.hpp"

#include <algorithm>

#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class NeighbourRanks : public BackendTest {
 protected:
  static std::vector<std::int32_t> random_neighbours(std::int64_t n, std::int64_t per_row,
                                                     Random& random) {
    std::vector<std::int32_t> neighbours;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t a = 0; a < per_row; ++a) {
        const std::int64_t j = random.below(n - 1);
        neighbours.push_back(static_cast<std::int32_t>(j < i ? j : j + 1));
      }
    }
    return neighbours;
  }

  std::vector<std::int32_t> ranks(Trial& trial, Shape shape, std::int64_t per_row,
                                  const std::vector<float>& values,
                                  const std::vector<std::int32_t>& neighbour_values) {
    auto x = trial.input(values);
    auto neighbours = trial.input(neighbour_values);
    auto rank = trial.output<std::int32_t>(shape.rows * per_row);
    trial.run([&](Backend& backend) {
      backend.neighbour_ranks(x.matrix(shape.rows, shape.columns),
                              neighbours.matrix(shape.rows, per_row),
                              rank.matrix(shape.rows, per_row));
    });
    return rank.values();
  }
};
HOURGLASS_FOR_EVERY_BACKEND(NeighbourRanks);

TEST_P(NeighbourRanks, MatchTheOracleUpToNearTies) {
  std::vector<std::pair<Shape, std::int64_t>> cases = {
      {{2, 1}, 1}, {{31, 33}, 30}, {{33, 2}, 12}, {{257, 32}, 5}, {{256, 31}, 1}};
  if (!emulated()) {
    cases.insert(cases.end(), {{{300, 785}, 12}, {{785, 50}, 12}, {{1100, 2}, 33}});
  }
  std::uint64_t seed = 0;
  for (const auto& [shape, per_row] : cases) {
    Random random(++seed);
    const std::vector<float> values = random.normals(shape.rows * shape.columns);
    const std::vector<std::int32_t> neighbours = random_neighbours(shape.rows, per_row, random);
    Trial trial = this->trial(seed, shape);
    trial.set_skew(any_skew(seed, 2));
    const std::vector<std::int32_t> got = ranks(trial, shape, per_row, values, neighbours);

    // Distances that are equal to 1e-5 may come in any order: the rank lies between the number of
    // rows that are surely nearer and the number that may be.
    const oracle::Matrix64 wide(shape.rows, shape.columns, values);
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      std::vector<double> distances;
      for (std::int64_t j = 0; j < shape.rows; ++j) {
        if (j != i) distances.push_back(oracle::squared_distance(wide, i, wide, j));
      }
      std::sort(distances.begin(), distances.end());
      for (std::int64_t a = 0; a < per_row; ++a) {
        const std::int32_t j = neighbours[i * per_row + a];
        const double d = oracle::squared_distance(wide, i, wide, j);
        const auto begin = distances.begin();
        const auto lowest = std::lower_bound(begin, distances.end(), d * (1 - 1e-5)) - begin + 1;
        const auto highest = std::upper_bound(begin, distances.end(), d * (1 + 1e-5)) - begin;
        ASSERT_TRUE(got[i * per_row + a] >= lowest && got[i * per_row + a] <= highest)
            << trial.context() << ": rank of " << j << " from " << i << " got "
            << got[i * per_row + a] << ", want " << lowest << " to " << highest;
      }
    }
  }
}

TEST_P(NeighbourRanks, BreakTiesByTheLowerIndex) {
  std::uint64_t seed = 10;
  for (const Shape shape : {Shape{64, 2}, Shape{257, 3}, Shape{33, 17}}) {
    Random random(++seed);
    std::vector<float> values;
    for (std::int64_t i = 0; i < shape.rows * shape.columns; ++i) {
      values.push_back(static_cast<float>(random.below(4)));
    }
    const std::vector<std::int32_t> neighbours = random_neighbours(shape.rows, 20, random);
    Trial trial = this->trial(seed, shape);
    const std::vector<std::int32_t> got = ranks(trial, shape, 20, values, neighbours);
    trial.expect_equal("rank", got,
                       oracle::neighbour_ranks(oracle::Matrix64(shape.rows, shape.columns, values),
                                               neighbours, 20),
                       20);
  }
}

TEST_P(NeighbourRanks, OfEqualPointsFollowTheIndex) {
  const Shape shape{70, 33};
  Random random(3);
  const std::vector<std::int32_t> neighbours = random_neighbours(shape.rows, 9, random);
  std::vector<std::int32_t> want;
  for (std::int64_t i = 0; i < shape.rows; ++i) {
    for (std::int64_t a = 0; a < 9; ++a) {
      const std::int32_t j = neighbours[i * 9 + a];
      want.push_back(j < i ? j + 1 : j);
    }
  }
  Trial trial = this->trial(3, shape);
  trial.expect_equal("rank", ranks(trial, shape, 9, std::vector<float>(70 * 33, 0.1f), neighbours),
                     want, 9);
}

TEST_P(NeighbourRanks, OfNothingAreNone) {
  Trial none = trial(0, Shape{3, 2});
  EXPECT_TRUE(ranks(none, {3, 2}, 0, std::vector<float>(6, 1.0f), {}).empty());
  Trial empty = trial(0, Shape{0, 2});
  EXPECT_TRUE(ranks(empty, {0, 2}, 4, {}, {}).empty());
}

TEST_P(NeighbourRanks, RefuseShapesThatDoNotFit) {
  Buffer<float> x(backend(), 12);
  Buffer<std::int32_t> memory(backend(), 64);
  const auto call = [&](Shape neighbours, Shape rank) {
    backend().neighbour_ranks(x.matrix(4, 3), {memory.data(), neighbours.rows, neighbours.columns},
                              {memory.data() + 32, rank.rows, rank.columns});
  };
  expect_refused("neighbour_ranks", [&] { call({3, 2}, {3, 2}); });
  expect_refused("neighbour_ranks", [&] { call({4, 2}, {4, 3}); });
  expect_refused("neighbour_ranks", [&] { call({4, 2}, {3, 2}); });
}

}  // namespace
}  // namespace hourglass::parity
