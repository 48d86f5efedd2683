// tsne_attraction: force[i] = sum over j of p_ij q_ij (y_i - y_j).
#include <cmath>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"
#include "tests/oracle/tsne_cases.hpp"

namespace hourglass::parity {
namespace {

std::vector<float> narrow(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

class TsneAttraction : public BackendTest {
 protected:
  void compare(Trial trial, const oracle::Affinities& p, const std::vector<float>& map) {
    const std::int64_t n = p.rows();
    const auto entries = static_cast<std::int64_t>(p.values.size());
    auto offsets = trial.input(p.offsets);
    auto columns = trial.input(p.columns);
    auto values = trial.input(narrow(p.values));
    auto y = trial.input(map);
    auto force = trial.output<float>(2 * n);
    trial.run([&](Backend& backend) {
      backend.tsne_attraction({offsets.data(), columns.data(), values.data(), n, entries},
                              y.matrix(n, 2), force.matrix(n, 2));
    });
    const oracle::Matrix64 wide(n, 2, map);
    oracle::Matrix64 magnitudes(n, 2);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t e = p.offsets[i]; e < p.offsets[i + 1]; ++e) {
        const double a = wide(i, 0) - wide(p.columns[e], 0);
        const double b = wide(i, 1) - wide(p.columns[e], 1);
        const double pq = p.values[e] / (1.0 + a * a + b * b);
        magnitudes(i, 0) += pq * std::abs(a);
        magnitudes(i, 1) += pq * std::abs(b);
      }
    }
    trial.expect_close("force", force, oracle::attraction(p, wide),
                       {.absolute = 2e-6, .relative = 2e-6, .scale = &magnitudes});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(TsneAttraction);

TEST_P(TsneAttraction, MatchesTheOracle) {
  std::vector<Shape> cases = {{2, 1}, {31, 30}, {33, 5}, {257, 31}};
  if (!emulated()) cases.insert(cases.end(), {{785, 90}, {256, 255}});
  std::uint64_t seed = 0;
  for (const Shape c : cases) {
    for (const MapShape shape : {MapShape::blob, MapShape::duplicates, MapShape::outlier}) {
      for (const double span : {1e-4, 5.0, 200.0}) {
        Random random(++seed);
        const oracle::Affinities p = random_affinities(c.rows, c.columns, random);
        Trial trial = this->trial(
            seed, std::to_string(c.rows) + "x" + std::to_string(c.columns) + " " + map_name(shape));
        trial.set_skew(any_skew(seed, 2));
        compare(trial, p, random_map(shape, c.rows, span, random));
      }
    }
  }
}

TEST_P(TsneAttraction, OfRowsWithoutNeighboursIsZero) {
  const oracle::Affinities p{{0, 0, 1, 2, 2}, {2, 1}, {0.5, 0.5}};
  compare(trial(0, "4 points"), p, {1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_P(TsneAttraction, OfNothingIsNone) {
  compare(trial(0, "0 points"), {{0}, {}, {}}, {});
}

TEST_P(TsneAttraction, RefusesShapesThatDoNotFit) {
  Buffer<std::int64_t> offsets(backend(), 8);
  Buffer<std::int32_t> columns(backend(), 8);
  Buffer<float> values(backend(), 64);
  offsets.zero();
  const auto call = [&](Shape y, Shape force) {
    backend().tsne_attraction({offsets.data(), columns.data(), values.data(), 4, 8},
                              {values.data() + 16, y.rows, y.columns},
                              {values.data() + 32, force.rows, force.columns});
  };
  expect_refused("tsne_attraction", [&] { call({3, 2}, {3, 2}); });
  expect_refused("tsne_attraction", [&] { call({4, 3}, {4, 3}); });
  expect_refused("tsne_attraction", [&] { call({4, 2}, {3, 2}); });
}

}  // namespace
}  // namespace hourglass::parity
