// tsne_field: what repels new points from a map that stands still, every pair.
#include <cmath>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"
#include "tests/oracle/tsne_cases.hpp"

namespace hourglass::parity {
namespace {

class TsneField : public BackendTest {
 protected:
  void compare(Trial trial, std::int64_t dims, const std::vector<float>& targets,
               const std::vector<float>& sources) {
    const std::int64_t m = static_cast<std::int64_t>(targets.size()) / dims;
    const std::int64_t n = static_cast<std::int64_t>(sources.size()) / dims;
    auto t = trial.input(targets);
    auto s = trial.input(sources);
    auto force = trial.output<float>(dims * m);
    trial.run([&](Backend& backend) {
      backend.tsne_field(t.matrix(m, dims), s.matrix(n, dims), force.matrix(m, dims));
    });
    const oracle::Matrix64 wide_t(m, dims, targets), wide_s(n, dims, sources);
    oracle::Matrix64 magnitudes(m, dims);
    for (std::int64_t i = 0; i < m; ++i) {
      double partition = 0.0;
      for (std::int64_t j = 0; j < n; ++j) {
        double d2 = 0.0;
        for (std::int64_t c = 0; c < dims; ++c)
          d2 += (wide_t(i, c) - wide_s(j, c)) * (wide_t(i, c) - wide_s(j, c));
        const double q = 1.0 / (1.0 + d2);
        partition += q;
        for (std::int64_t c = 0; c < dims; ++c)
          magnitudes(i, c) += q * q * std::abs(wide_t(i, c) - wide_s(j, c));
      }
      for (std::int64_t c = 0; c < dims; ++c)
        magnitudes(i, c) /= partition > 0.0 ? partition : 1.0;
    }
    trial.expect_close("force", force, oracle::field(wide_t, wide_s),
                       {.absolute = 3e-6, .relative = 2e-6, .scale = &magnitudes});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(TsneField);

TEST_P(TsneField, MatchesTheOracle) {
  std::uint64_t seed = 0;
  std::vector<Shape> cases = {{1, 1}, {1, 33}, {31, 257}, {257, 31}, {33, 256}};
  if (!emulated()) cases.insert(cases.end(), {{5, 9000}, {785, 785}});
  for (const Shape c : cases) {
    for (const MapShape shape : {MapShape::clusters, MapShape::duplicates, MapShape::outlier}) {
      for (const double span : {1e-4, 5.0, 200.0}) {
        for (const std::int64_t dims : {2, 3}) {
          Random random(++seed);
          Trial trial =
              this->trial(seed, std::to_string(c.rows) + " among " + std::to_string(c.columns) +
                                    ", " + std::to_string(dims) + "-D");
          trial.set_skew(any_skew(seed, 2));
          compare(trial, dims, random_map(MapShape::blob, c.rows, span, random, dims),
                  random_map(shape, c.columns, span, random, dims));
        }
      }
    }
  }
}

TEST_P(TsneField, AtASourceItselfIsThatOfTheOthers) {
  compare(trial(0, "a point on a source"), 2, {1, 2}, {1, 2, 4, 6});
}

TEST_P(TsneField, OfNothingIsNone) {
  compare(trial(0, "0 targets"), 2, {}, {1, 2});
  compare(trial(0, "0 sources"), 2, {1, 2}, {});
}

TEST_P(TsneField, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  const auto call = [&](Shape targets, Shape sources, Shape force) {
    backend().tsne_field({memory.data(), targets.rows, targets.columns},
                         {memory.data() + 20, sources.rows, sources.columns},
                         {memory.data() + 40, force.rows, force.columns});
  };
  expect_refused("tsne_field", [&] { call({4, 2}, {3, 3}, {4, 2}); });
  expect_refused("tsne_field", [&] { call({4, 2}, {3, 2}, {3, 2}); });
  expect_refused("tsne_field", [&] { call({4, 1}, {3, 1}, {4, 1}); });
}

}  // namespace
}  // namespace hourglass::parity
