// Repulsion: force[i] = sum over j != i of q_ij^2 (y_i - y_j) and the partition, by every pair and
// by the tree.
#include <cmath>
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

  Result evaluate(Trial& trial, RepulsionMethod method, std::int64_t n,
                  const std::vector<float>& map) {
    auto y = trial.input(map);
    auto force = trial.output<float>(2 * n);
    auto partition = trial.output<double>(1);
    trial.run([&](Backend& backend) {
      backend.make_repulsion(method, n)->evaluate(y.matrix(n, 2), force.matrix(n, 2),
                                                  partition.data());
    });
    return {widen(force.values()), partition.values()[0]};
  }

  /// Sums of float32 terms: errors relative to what is summed.
  void check_exact(Trial trial, const std::vector<float>& map) {
    const auto n = static_cast<std::int64_t>(map.size() / 2);
    const Result got = evaluate(trial, RepulsionMethod::exact, n, map);
    const oracle::Matrix64 wide(n, 2, map);
    const oracle::RepulsionSum want = oracle::repulsion(wide);
    oracle::Matrix64 magnitudes(n, 2);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const double a = wide(i, 0) - wide(j, 0);
        const double b = wide(i, 1) - wide(j, 1);
        const double q = 1.0 / (1.0 + a * a + b * b);
        magnitudes(i, 0) += q * q * std::abs(a);
        magnitudes(i, 1) += q * q * std::abs(b);
      }
    }
    trial.expect_close("force", got.force, want.force,
                       {.absolute = 3e-6, .relative = 1e-6, .scale = &magnitudes});
    EXPECT_NEAR(got.partition, want.partition, 2e-6 * want.partition) << trial.context();
  }

  /// The promise to the user: 1 % of the force, root mean square over the points.
  void check_tree(Trial trial, const std::vector<float>& map) {
    const auto n = static_cast<std::int64_t>(map.size() / 2);
    const Result got = evaluate(trial, RepulsionMethod::tree, n, map);
    const oracle::RepulsionSum want = oracle::repulsion(oracle::Matrix64(n, 2, map));
    // Forces that cancel out (points on a grid at rest) are compared with what one neighbour
    // exerts.
    trial.expect_close("force", got.force, want.force, {.absolute = 1e30, .norm = 0.01});
    EXPECT_NEAR(got.partition, want.partition, 1e-3 * want.partition) << trial.context();
  }

  [[nodiscard]] bool has_tree() {
    try {
      return backend().make_repulsion(RepulsionMethod::tree, 10) != nullptr;
    } catch (const std::exception&) {
      return false;
    }
  }

  static std::string describe(MapShape shape, std::int64_t n, double span) {
    return map_name(shape) + " of " + std::to_string(n) + ", span " + std::to_string(span);
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
}

TEST_P(TsneRepulsion, ExactMatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const std::int64_t n : edge_sizes(emulated())) {
    if (n > 1000) continue;
    for (const MapShape shape : {MapShape::clusters, MapShape::duplicates, MapShape::outlier}) {
      for (const double span : {1e-4, 5.0, 50.0, 200.0}) {
        Random random(++seed);
        Trial trial = this->trial(seed, describe(shape, n, span));
        trial.set_skew(any_skew(seed, 2));
        check_exact(trial, random_map(shape, n, span, random));
      }
    }
  }
}

TEST_P(TsneRepulsion, ExactOfManyPoints) {
  Random random(60);
  const std::int64_t n = emulated() ? 700 : 5000;
  check_exact(trial(60, describe(MapShape::clusters, n, 50.0)),
              random_map(MapShape::clusters, n, 50.0, random));
}

TEST_P(TsneRepulsion, ExactOfOneOrOfEqualPoints) {
  for (const std::int64_t n : {1, 2, 33}) {
    Trial trial = this->trial(0, std::to_string(n) + " equal points");
    const Result got = evaluate(trial, RepulsionMethod::exact, n,
                                std::vector<float>(static_cast<std::size_t>(2 * n), 0.7f));
    EXPECT_EQ(got.force, std::vector<double>(static_cast<std::size_t>(2 * n), 0.0))
        << trial.context();
    EXPECT_NEAR(got.partition, static_cast<double>(n * (n - 1)), 1e-9) << trial.context();
  }
}

TEST_P(TsneTree, IsWithinOnePercent) {
  std::uint64_t seed = 0;
  for (const MapShape shape : map_shapes) {
    for (const double span : {1e-4, 5.0, 50.0, 200.0}) {
      Random random(++seed);
      check_tree(trial(seed, describe(shape, 1500, span)), random_map(shape, 1500, span, random));
    }
  }
}

TEST_P(TsneTree, IsWithinOnePercentOfManyPoints) {
  std::uint64_t seed = 100;
  for (const double span : {1e-4, 5.0, 50.0, 200.0}) {
    for (const MapShape shape : {MapShape::blob, MapShape::clusters, MapShape::outlier}) {
      Random random(++seed);
      check_tree(trial(seed, describe(shape, 5000, span)), random_map(shape, 5000, span, random));
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
      check_tree(trial, random_map(shape, n, 20.0, random));
    }
  }
}

TEST_P(TsneTree, OfEqualPointsIsStill) {
  for (const std::int64_t n : {1, 2, 1000}) {
    for (const float at : {0.0f, 0.7f, -1e6f}) {
      Trial trial = this->trial(0, std::to_string(n) + " points at " + std::to_string(at));
      const Result got = evaluate(trial, RepulsionMethod::tree, n,
                                  std::vector<float>(static_cast<std::size_t>(2 * n), at));
      trial.expect_close("force", got.force, oracle::Matrix64(n, 2), {.absolute = 1e-3});
      const auto pairs = static_cast<double>(n * (n - 1));
      EXPECT_NEAR(got.partition, pairs, 1e-3 * pairs) << trial.context();
    }
  }
}

TEST_P(TsneRepulsion, IsReusedOverAMovingMap) {
  // Workspaces keep state between calls (a tree its order): each result must still be that of its
  // map.
  Random random(7);
  const std::int64_t n = 400;
  std::vector<RepulsionMethod> methods{RepulsionMethod::exact};
  if (has_tree()) methods.push_back(RepulsionMethod::tree);
  for (const RepulsionMethod method : methods) {
    const std::unique_ptr<Repulsion> repulsion = backend().make_repulsion(method, n);
    for (const double span : {1e-4, 1.0, 30.0, 200.0, 3.0}) {
      const std::vector<float> map = random_map(MapShape::clusters, n, span, random);
      Trial trial = this->trial(7, describe(MapShape::clusters, n, span));
      auto y = trial.input(map);
      auto force = trial.output<float>(2 * n);
      auto partition = trial.output<double>(1);
      trial.run([&](Backend&) {
        repulsion->evaluate(y.matrix(n, 2), force.matrix(n, 2), partition.data());
      });
      const oracle::RepulsionSum want = oracle::repulsion(oracle::Matrix64(n, 2, map));
      trial.expect_close("force", force, want.force, one_percent);
      EXPECT_NEAR(partition.values()[0], want.partition, 1e-3 * want.partition) << trial.context();
    }
  }
}

TEST_P(TsneRepulsion, BestMethodCanBeMade) {
  for (const std::int64_t n : {1, 1000, 100000}) {
    EXPECT_NE(backend().make_repulsion(backend().best_repulsion(n), n), nullptr) << n;
  }
}

TEST_P(TsneRepulsion, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<double> partition(backend(), 1);
  memory.zero();
  std::vector<RepulsionMethod> methods{RepulsionMethod::exact};
  if (has_tree()) methods.push_back(RepulsionMethod::tree);
  for (const RepulsionMethod method : methods) {
    const std::unique_ptr<Repulsion> repulsion = backend().make_repulsion(method, 4);
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
