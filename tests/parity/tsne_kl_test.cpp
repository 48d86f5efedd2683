// tsne_kl: the true Kullback-Leibler divergence, all of P and every pair of Q, float64.
#include <cmath>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"
#include "tests/oracle/tsne_cases.hpp"

namespace hourglass::parity {
namespace {

class TsneKl : public BackendTest {
 protected:
  void compare(Trial trial, const oracle::Affinities& p, const std::vector<float>& map) {
    const std::int64_t n = p.rows();
    const std::int64_t dims = static_cast<std::int64_t>(map.size()) / n;
    const auto entries = static_cast<std::int64_t>(p.values.size());
    auto offsets = trial.input(p.offsets);
    auto columns = trial.input(p.columns);
    auto values = trial.input(std::vector<float>(p.values.begin(), p.values.end()));
    auto y = trial.input(map);
    auto kl = trial.output<double>(1);
    auto given = trial.output<double>(1);
    const oracle::Matrix64 wide(n, dims, map);
    auto partition = trial.input(std::vector<double>{2.0 * oracle::repulsion(wide).partition});
    trial.run([&](Backend& backend) {
      const ConstCsrView affinities{offsets.data(), columns.data(), values.data(), n, entries};
      backend.tsne_kl(affinities, y.matrix(n, dims), nullptr, kl.data());
      backend.tsne_kl(affinities, y.matrix(n, dims), partition.data(), given.data());
    });
    double mass = 0.0;
    for (const double value : p.values)
      mass += value;
    // Twice the partition halves every q.
    trial.expect_close("kl of a given partition", given,
                       std::vector<double>{oracle::tsne_kl(p, wide) + mass * std::log(2.0)},
                       {.absolute = 1e-10, .relative = 1e-10});
    trial.expect_close("kl", kl, std::vector<double>{oracle::tsne_kl(p, wide)},
                       {.absolute = 1e-10, .relative = 1e-10});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(TsneKl);

TEST_P(TsneKl, MatchesTheOracle) {
  std::vector<Shape> cases = {{2, 1}, {31, 30}, {33, 5}, {257, 31}};
  if (!emulated()) cases.insert(cases.end(), {{785, 90}, {1030, 12}});
  std::uint64_t seed = 0;
  for (const Shape c : cases) {
    for (const MapShape shape : {MapShape::clusters, MapShape::duplicates, MapShape::outlier}) {
      for (const double span : {1e-4, 5.0, 200.0}) {
        for (const std::int64_t dims : {2, 3}) {
          Random random(++seed);
          const oracle::Affinities p = random_affinities(c.rows, c.columns, random);
          Trial trial =
              this->trial(seed, std::to_string(c.rows) + "x" + std::to_string(c.columns) + " " +
                                    map_name(shape) + ", " + std::to_string(dims) + "-D");
          trial.set_skew(any_skew(seed, 2));
          compare(trial, p, random_map(shape, c.rows, span, random, dims));
        }
      }
    }
  }
}

TEST_P(TsneKl, TakesNoAccountOfEntriesThatAreZero) {
  const oracle::Affinities p{{0, 2, 3, 4}, {1, 2, 0, 0}, {0.5, 0.0, 0.5, 0.0}};
  compare(trial(0, "3 points"), p, {0, 0, 1, 0, 0, 3});
}

TEST_P(TsneKl, RefusesShapesThatDoNotFit) {
  Buffer<std::int64_t> offsets(backend(), 8);
  Buffer<std::int32_t> columns(backend(), 8);
  Buffer<float> values(backend(), 32);
  Buffer<double> kl(backend(), 1);
  offsets.zero();
  for (const Shape y : {Shape{3, 2}, Shape{4, 1}, Shape{4, 4}}) {
    expect_refused("tsne_kl", [&] {
      backend().tsne_kl({offsets.data(), columns.data(), values.data(), 4, 8},
                        {values.data() + 8, y.rows, y.columns}, nullptr, kl.data());
    });
  }
}

}  // namespace
}  // namespace hourglass::parity
