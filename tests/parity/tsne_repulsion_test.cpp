// Repulsion: force[i] = sum over j != i of q_ij^2 (y_i - y_j) and the partition, by every pair, by
// the tree and by the grid.
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"
#include "tests/oracle/tsne_cases.hpp"

namespace hourglass::parity {
namespace {

/// Root mean square over the points; no bound on a single one but that it is a number.
constexpr Tolerance one_percent{.absolute = 1e30, .norm = 0.01};

class TsneRepulsion : public BackendTest {
 protected:
  struct Result {
    std::vector<double> force;
    double partition = 0.0;
  };

  static MapBounds bounds_of(const std::vector<float>& map, std::int64_t dims) {
    MapBounds bounds;
    for (std::size_t i = 0; i < map.size(); ++i) {
      const std::size_t c = i % static_cast<std::size_t>(dims);
      const bool first = i < static_cast<std::size_t>(dims);
      bounds.low[c] = first ? map[i] : std::min(bounds.low[c], map[i]);
      bounds.high[c] = first ? map[i] : std::max(bounds.high[c], map[i]);
    }
    return bounds;
  }

  Result evaluate(Trial& trial, RepulsionMethod method, std::int64_t dims,
                  const std::vector<float>& map) {
    const std::int64_t n = static_cast<std::int64_t>(map.size()) / dims;
    auto y = trial.input(map);
    auto force = trial.output<float>(dims * n);
    auto partition = trial.output<double>(1);
    trial.run([&](Backend& backend) {
      const auto repulsion = backend.make_repulsion(method, n, dims);
      repulsion->prepare(bounds_of(map, dims));
      repulsion->evaluate(y.matrix(n, dims), force.matrix(n, dims), partition.data());
      backend.synchronize();  // before its workspace goes
    });
    return {widen(force.values()), partition.values()[0]};
  }

  /// Sums of float32 terms: errors relative to what is summed.
  void check_exact(Trial trial, std::int64_t dims, const std::vector<float>& map) {
    const std::int64_t n = static_cast<std::int64_t>(map.size()) / dims;
    const Result got = evaluate(trial, RepulsionMethod::exact, dims, map);
    const oracle::Matrix64 wide(n, dims, map);
    const oracle::RepulsionSum want = oracle::repulsion(wide);
    oracle::Matrix64 magnitudes(n, dims);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        double d2 = 0.0;
        for (std::int64_t c = 0; c < dims; ++c)
          d2 += (wide(i, c) - wide(j, c)) * (wide(i, c) - wide(j, c));
        const double q = 1.0 / (1.0 + d2);
        for (std::int64_t c = 0; c < dims; ++c)
          magnitudes(i, c) += q * q * std::abs(wide(i, c) - wide(j, c));
      }
    }
    trial.expect_close("force", got.force, want.force,
                       {.absolute = 3e-6, .relative = 1e-6, .scale = &magnitudes});
    EXPECT_NEAR(got.partition, want.partition, 2e-6 * want.partition) << trial.context();
  }

  /// The promise to the user: 1 % of the force, root mean square over the points.
  void check_approximation(Trial trial, RepulsionMethod method, std::int64_t dims,
                           const std::vector<float>& map) {
    const std::int64_t n = static_cast<std::int64_t>(map.size()) / dims;
    const Result got = evaluate(trial, method, dims, map);
    const oracle::RepulsionSum want = oracle::repulsion(oracle::Matrix64(n, dims, map));
    // Forces that cancel out (points on a grid at rest) are compared with what one neighbour
    // exerts.
    trial.expect_close("force", got.force, want.force, one_percent);
    // The grid knows a point's own part of the partition, 1, within 0.2 %, and takes off 1.
    const double own = method == RepulsionMethod::fft ? 2e-3 * static_cast<double>(n) : 0.0;
    EXPECT_NEAR(got.partition, want.partition, 1e-3 * want.partition + own) << trial.context();
  }
  void check_tree(Trial trial, std::int64_t dims, const std::vector<float>& map) {
    check_approximation(std::move(trial), RepulsionMethod::tree, dims, map);
  }

  [[nodiscard]] bool has_tree() {
    try {
      return backend().make_repulsion(RepulsionMethod::tree, 10, 2) != nullptr;
    } catch (const std::exception&) {
      return false;
    }
  }

  static std::string describe(MapShape shape, std::int64_t n, double span, std::int64_t dims = 2) {
    return map_name(shape) + " of " + std::to_string(n) + ", span " + std::to_string(span) + ", " +
           std::to_string(dims) + "-D";
  }
};
HOURGLASS_FOR_EVERY_BACKEND(TsneRepulsion);

/// The tree is a method of the CPU alone.
class TsneTree : public TsneRepulsion {};

std::vector<BackendUnderTest> backends_with_a_tree() {
  std::vector<BackendUnderTest> backends = backends_under_test();
  std::erase_if(backends,
                [](const BackendUnderTest& backend) { return !backend.name.starts_with("cpu"); });
  return backends;
}
INSTANTIATE_TEST_SUITE_P(On, TsneTree, testing::ValuesIn(backends_with_a_tree()), backend_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TsneTree);  // where only others are under test

TEST_P(TsneRepulsion, TheTreeIsRefusedWhereThereIsNone) {
  EXPECT_EQ(has_tree(), GetParam().name.starts_with("cpu"));
  EXPECT_EQ(has_tree(), backend().info().tree);
}

TEST_P(TsneRepulsion, ExactMatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t n : edge_sizes(emulated())) {
    if (n > 1000) continue;
    for (const MapShape shape : {MapShape::clusters, MapShape::duplicates, MapShape::outlier}) {
      for (const double span : {1e-4, 5.0, 50.0, 200.0}) {
        for (const std::int64_t dims : {2, 3}) {
          Random random(++seed);
          Trial trial = this->trial(seed, describe(shape, n, span, dims));
          trial.set_skew(any_skew(seed, 2));
          check_exact(trial, dims, random_map(shape, n, span, random, dims));
        }
      }
    }
  }
}

TEST_P(TsneRepulsion, ExactOfManyPoints) {
  Random random(60);
  const std::int64_t n = emulated() ? 700 : 5000;
  check_exact(trial(60, describe(MapShape::clusters, n, 50.0)), 2,
              random_map(MapShape::clusters, n, 50.0, random));
}

TEST_P(TsneRepulsion, ExactOfOneOrOfEqualPoints) {
  for (const std::int64_t n : {1, 2, 33}) {
    Trial trial = this->trial(0, std::to_string(n) + " equal points");
    const Result got = evaluate(trial, RepulsionMethod::exact, 2,
                                std::vector<float>(static_cast<std::size_t>(2 * n), 0.7f));
    EXPECT_EQ(got.force, std::vector<double>(static_cast<std::size_t>(2 * n), 0.0))
        << trial.context();
    EXPECT_NEAR(got.partition, static_cast<double>(n * (n - 1)), 1e-9) << trial.context();
  }
}

TEST_P(TsneTree, IsWithinOnePercent) {
  std::uint64_t seed = 0;
  for (const MapShape shape : map_shapes) {
    for (const double span : {1e-4, 5.0, 50.0, 100.0, 200.0, 400.0}) {
      for (const std::int64_t dims : {2, 3}) {
        Random random(++seed);
        check_tree(trial(seed, describe(shape, 1500, span, dims)), dims,
                   random_map(shape, 1500, span, random, dims));
      }
    }
  }
}

TEST_P(TsneTree, IsWithinOnePercentOfManyPoints) {
  std::uint64_t seed = 100;
  for (const double span : {1e-4, 5.0, 50.0, 100.0, 200.0, 400.0}) {
    for (const MapShape shape : {MapShape::blob, MapShape::clusters, MapShape::outlier}) {
      for (const std::int64_t dims : {2, 3}) {
        if (dims == 3 && span > 5.0 && shape != MapShape::clusters) continue;
        Random random(++seed);
        check_tree(trial(seed, describe(shape, 4000, span, dims)), dims,
                   random_map(shape, 4000, span, random, dims));
      }
    }
  }
}

TEST_P(TsneTree, TakesAnyNumberOfPoints) {
  std::uint64_t seed = 200;
  for (const std::int64_t n : {1, 2, 3, 4, 15, 16, 17, 31, 32, 33, 255, 256, 257, 785}) {
    for (const MapShape shape : {MapShape::clusters, MapShape::duplicates, MapShape::line}) {
      Random random(++seed);
      Trial trial = this->trial(seed, describe(shape, n, 20.0));
      trial.set_skew(any_skew(seed, 2));
      const std::int64_t dims = 2 + static_cast<std::int64_t>(seed % 2);
      check_tree(trial, dims, random_map(shape, n, 20.0, random, dims));
    }
  }
}

TEST_P(TsneTree, OfEqualPointsIsStill) {
  for (const std::int64_t n : {1, 2, 1000}) {
    for (const float at : {0.0f, 0.7f, -1e6f}) {
      Trial trial = this->trial(0, std::to_string(n) + " points at " + std::to_string(at));
      const Result got = evaluate(trial, RepulsionMethod::tree, 2,
                                  std::vector<float>(static_cast<std::size_t>(2 * n), at));
      trial.expect_close("force", got.force, oracle::Matrix64(n, 2), {.absolute = 1e-3});
      const auto pairs = static_cast<double>(n * (n - 1));
      EXPECT_NEAR(got.partition, pairs, 1e-3 * pairs) << trial.context();
    }
  }
}

TEST_P(TsneRepulsion, TheGridIsWithinOnePercent) {
  std::uint64_t seed = 300;
  const std::int64_t n = emulated() ? 150 : 1500;
  std::vector<double> spans{1.0, 5.0, 50.0};
  if (!emulated()) spans.insert(spans.end(), {100.0, 200.0, 400.0});
  for (const MapShape shape : map_shapes) {
    // Where points stand on a lattice or on top of one another the forces cancel, and what is left
    // is less than what the grid knows (fft_grid.hpp).
    if (shape == MapShape::grid || shape == MapShape::duplicates) continue;
    for (const double span : spans) {
      if (shape != MapShape::clusters && span > (emulated() ? 10.0 : 50.0)) continue;
      Random random(++seed);
      const double outlier = std::min(3.0, 400.0 / span);
      check_approximation(trial(seed, describe(shape, n, span)), RepulsionMethod::fft, 2,
                          random_map(shape, n, span, random, 2, outlier));
    }
  }
}

TEST_P(TsneRepulsion, TheGridErrsByAThousandthOfANeighboursForce) {
  // At distance 1 / sqrt(3) a point exerts the most that one can, 3 sqrt(3) / 16. 1,500 points in
  // 21 places: all in one place err alike.
  constexpr double strongest = 0.3248;
  std::uint64_t seed = 350;
  const std::int64_t n = emulated() ? 150 : 1500;
  for (const MapShape shape : {MapShape::grid, MapShape::duplicates}) {
    for (const double span : {1.0, 5.0, emulated() ? 8.0 : 200.0}) {
      Random random(++seed);
      const std::vector<float> map = random_map(shape, n, span, random);
      Trial trial = this->trial(seed, describe(shape, n, span));
      const Result got = evaluate(trial, RepulsionMethod::fft, 2, map);
      const oracle::RepulsionSum want = oracle::repulsion(oracle::Matrix64(n, 2, map));
      double square = 0.0;
      for (const double value : want.force.values)
        square += value * value;
      const double alike = shape == MapShape::duplicates ? static_cast<double>(n) / 21.0 : 1.0;
      trial.expect_close("force", got.force, want.force,
                         {.absolute = 2e-3 * strongest * alike +
                                      0.01 * std::sqrt(square / static_cast<double>(n)) * 3.0});
    }
  }
}

TEST_P(TsneRepulsion, TheGridIsWithinOnePercentOfManyPoints) {
  std::uint64_t seed = 400;
  const std::int64_t n = emulated() ? 600 : 3000;
  std::vector<double> spans{5.0};
  if (!emulated()) spans.insert(spans.end(), {50.0, 100.0, 200.0, 400.0});
  for (const double span : spans) {
    for (const MapShape shape : {MapShape::blob, MapShape::clusters, MapShape::ring}) {
      Random random(++seed);
      check_approximation(trial(seed, describe(shape, n, span)), RepulsionMethod::fft, 2,
                          random_map(shape, n, span, random));
    }
  }
}

TEST_P(TsneRepulsion, TheGridTakesAnyNumberOfPoints) {
  std::uint64_t seed = 500;
  for (const std::int64_t n : edge_sizes(emulated())) {
    if (n < 2 || n > 1000) continue;
    Random random(++seed);
    Trial trial = this->trial(seed, describe(MapShape::clusters, n, 8.0));
    trial.set_skew(any_skew(seed, 2));
    check_approximation(trial, RepulsionMethod::fft, 2,
                        random_map(MapShape::clusters, n, 8.0, random));
  }
}

TEST_P(TsneRepulsion, TheGridLeavesAPointAlone) {
  for (const float at : {0.0f, 0.3f, -17.2f}) {
    Trial trial = this->trial(0, "a point at " + std::to_string(at));
    const Result got = evaluate(trial, RepulsionMethod::fft, 2, {at, 2.0f * at});
    trial.expect_close("force", got.force, oracle::Matrix64(1, 2), {.absolute = 1e-5});
    EXPECT_NEAR(got.partition, 0.0, 5e-3) << trial.context();
  }
}

TEST_P(TsneRepulsion, TheGridIsNearEnoughWhereAllPointsAreOne) {
  // A map of the start's size lies in one place of one cell, where errors do not average: 2 %.
  Random random(501);
  const std::int64_t n = 150;
  for (const double span : {1e-4, 1e-2}) {
    const std::vector<float> map = random_map(MapShape::blob, n, span, random);
    Trial trial = this->trial(501, describe(MapShape::blob, n, span));
    const Result got = evaluate(trial, RepulsionMethod::fft, 2, map);
    const oracle::RepulsionSum want = oracle::repulsion(oracle::Matrix64(n, 2, map));
    trial.expect_close("force", got.force, want.force, {.absolute = 1e30, .norm = 0.02});
    EXPECT_NEAR(got.partition, want.partition, 5e-3 * want.partition) << trial.context();
  }
}

TEST_P(TsneRepulsion, TheGridSaysSoWhereAMapIsBeyondIt) {
  for (const float at :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e6f}) {
    std::vector<float> map = {0.0f, 0.0f, 1.0f, 1.0f, 2.0f, 0.5f};
    const MapBounds bounds = bounds_of(map, 2);
    map[3] = at;
    Trial trial = this->trial(0, "a point at " + std::to_string(at));
    auto y = trial.input(map);
    auto force = trial.output<float>(6);
    auto partition = trial.output<double>(1);
    trial.run([&](Backend& backend) {
      const auto repulsion = backend.make_repulsion(RepulsionMethod::fft, 3, 2);
      repulsion->prepare(bounds);
      repulsion->evaluate(y.matrix(3, 2), force.matrix(3, 2), partition.data());
      backend.synchronize();
    });
    EXPECT_TRUE(std::isnan(partition.values()[0])) << trial.context();
  }
}

TEST_P(TsneRepulsion, TheGridIsForTwoDimensions) {
  expect_refused("make_repulsion",
                 [&] { (void)backend().make_repulsion(RepulsionMethod::fft, 10, 3); });
  expect_refused("make_repulsion",
                 [&] { (void)backend().make_repulsion(RepulsionMethod::exact, 10, 4); });
}

TEST_P(TsneRepulsion, IsReusedOverAMovingMap) {
  // Workspaces keep state between calls (a tree its order, a grid its place): each result must
  // still be that of its map.
  Random random(7);
  const std::int64_t n = emulated() ? 130 : 400;
  std::vector<RepulsionMethod> methods{RepulsionMethod::exact, RepulsionMethod::fft};
  if (has_tree()) methods.push_back(RepulsionMethod::tree);
  for (const RepulsionMethod method : methods) {
    const std::unique_ptr<Repulsion> repulsion = backend().make_repulsion(method, n, 2);
    for (const double span : {2.0, 1.0, 30.0, 80.0, 3.0}) {
      const std::vector<float> map = random_map(MapShape::clusters, n, span, random);
      Trial trial = this->trial(7, describe(MapShape::clusters, n, span));
      auto y = trial.input(map);
      auto force = trial.output<float>(2 * n);
      auto partition = trial.output<double>(1);
      trial.run([&](Backend&) {
        repulsion->prepare(bounds_of(map, 2));
        repulsion->evaluate(y.matrix(n, 2), force.matrix(n, 2), partition.data());
      });
      const oracle::RepulsionSum want = oracle::repulsion(oracle::Matrix64(n, 2, map));
      trial.expect_close("force", force, want.force, one_percent);
      EXPECT_NEAR(partition.values()[0], want.partition, 2e-3 * want.partition) << trial.context();
    }
  }
}

TEST_P(TsneRepulsion, BestMethodCanBeMade) {
  for (const std::int64_t dims : {2, 3}) {
    for (const std::int64_t n : {1, 1000, 100000}) {
      for (const double span : {0.1, 10.0, 100.0, 1e6}) {
        const RepulsionMethod best = backend().best_repulsion(n, dims, span);
        EXPECT_NE(backend().make_repulsion(best, n, dims), nullptr) << n;
        if (span > 1e5) {
          EXPECT_NE(best, RepulsionMethod::fft) << n;
        }
      }
    }
  }
}

TEST_P(TsneRepulsion, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<double> partition(backend(), 1);
  memory.zero();
  std::vector<RepulsionMethod> methods{RepulsionMethod::exact, RepulsionMethod::fft};
  if (has_tree()) methods.push_back(RepulsionMethod::tree);
  for (const RepulsionMethod method : methods) {
    const std::unique_ptr<Repulsion> repulsion = backend().make_repulsion(method, 4, 2);
    const auto call = [&](Shape y, Shape force) {
      repulsion->evaluate({memory.data(), y.rows, y.columns},
                          {memory.data() + 32, force.rows, force.columns}, partition.data());
    };
    expect_refused("repulsion", [&] { call({5, 2}, {5, 2}); });
    expect_refused("repulsion", [&] { call({4, 3}, {4, 3}); });
    expect_refused("repulsion", [&] { call({4, 2}, {3, 2}); });
  }
}

}  // namespace
}  // namespace hourglass::parity
