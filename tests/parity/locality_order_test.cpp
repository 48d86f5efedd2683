// locality_order and permute_affinities: points in the order of a Morton curve.
#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"
#include "tests/oracle/tsne_cases.hpp"

namespace hourglass::parity {
namespace {

class LocalityOrder : public BackendTest {
 protected:
  std::vector<std::int32_t> order_of(Trial& trial, std::int64_t dims,
                                     const std::vector<float>& map) {
    const std::int64_t n = static_cast<std::int64_t>(map.size()) / dims;
    auto y = trial.input(map);
    auto order = trial.output<std::int32_t>(n);
    trial.run([&](Backend& backend) { backend.locality_order(y.matrix(n, dims), order.span()); });
    return order.values();
  }

  /// The code of a point, bit by bit.
  static std::vector<std::uint64_t> codes_of(std::int64_t dims, const std::vector<float>& map) {
    const std::size_t d = static_cast<std::size_t>(dims);
    std::vector<float> low(d, std::numeric_limits<float>::infinity());
    std::vector<float> high(d, -std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < map.size(); ++i) {
      low[i % d] = std::min(low[i % d], map[i]);
      high[i % d] = std::max(high[i % d], map[i]);
    }
    float span = 1e-30f;
    for (std::size_t c = 0; c < d; ++c)
      span = std::max(span, high[c] - low[c]);
    const int bits = dims == 2 ? 16 : 10;
    const float factor = static_cast<float>((1 << bits) - 1) / span;
    std::vector<std::uint64_t> codes;
    for (std::size_t i = 0; i < map.size(); i += d) {
      std::uint64_t code = 0;
      for (int b = 0; b < bits; ++b) {
        for (std::size_t c = 0; c < d; ++c) {
          const auto cell = static_cast<std::uint64_t>((map[i + c] - low[c]) * factor);
          code |= ((cell >> b) & 1u) << (static_cast<std::size_t>(b) * d + c);
        }
      }
      codes.push_back(code);
    }
    return codes;
  }
};
HOURGLASS_FOR_EVERY_BACKEND(LocalityOrder);

TEST_P(LocalityOrder, IsThatOfTheMortonCodes) {
  std::uint64_t seed = 0;
  std::vector<std::int64_t> sizes = edge_sizes(emulated());
  sizes.push_back(emulated() ? 1500 : 20000);
  for (const std::int64_t n : sizes) {
    if (n == 0) continue;
    for (const MapShape shape : {MapShape::clusters, MapShape::duplicates, MapShape::grid}) {
      for (const std::int64_t dims : {2, 3}) {
        Random random(++seed);
        const std::vector<float> map = random_map(shape, n, 30.0, random, dims);
        Trial trial = this->trial(seed, map_name(shape) + " of " + std::to_string(n) + ", " +
                                            std::to_string(dims) + "-D");
        trial.set_skew(any_skew(seed, 2));
        const std::vector<std::uint64_t> codes = codes_of(dims, map);
        std::vector<std::int32_t> want(static_cast<std::size_t>(n));
        std::iota(want.begin(), want.end(), 0);
        std::stable_sort(want.begin(), want.end(), [&](std::int32_t a, std::int32_t b) {
          return codes[static_cast<std::size_t>(a)] < codes[static_cast<std::size_t>(b)];
        });
        EXPECT_EQ(order_of(trial, dims, map), want) << trial.context();
      }
    }
  }
}

TEST_P(LocalityOrder, OfEqualPointsAndOfNothing) {
  Trial equal = this->trial(0, "5 equal points");
  EXPECT_EQ(order_of(equal, 2, std::vector<float>(10, 0.5f)),
            (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
  Trial none = this->trial(0, "0 points");
  EXPECT_TRUE(order_of(none, 2, {}).empty());
}

TEST_P(LocalityOrder, OfAMapThatIsNotFiniteIsSomeOrder) {
  std::vector<float> map = {0, 0, 1, 1, 2, 2, 3, 3};
  map[3] = std::numeric_limits<float>::quiet_NaN();
  Trial trial = this->trial(0, "a NaN among 4");
  std::vector<std::int32_t> order = order_of(trial, 2, map);
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, (std::vector<std::int32_t>{0, 1, 2, 3})) << trial.context();
}

TEST_P(LocalityOrder, RefusesShapesThatDoNotFit) {
  Buffer<float> y(backend(), 16);
  Buffer<std::int32_t> order(backend(), 8);
  y.zero();
  expect_refused("locality_order", [&] {
    backend().locality_order({y.data(), 4, 1}, order.span());
  });
  expect_refused("locality_order", [&] {
    backend().locality_order({y.data(), 4, 2}, order.span());
  });
}

class PermuteAffinities : public BackendTest {};
HOURGLASS_FOR_EVERY_BACKEND(PermuteAffinities);

TEST_P(PermuteAffinities, MovesRowsAndColumns) {
  std::vector<Shape> cases = {{1, 0}, {2, 1}, {33, 5}, {257, 31}};
  if (!emulated()) cases.push_back({3000, 20});
  std::uint64_t seed = 0;
  for (const Shape c : cases) {
    Random random(++seed);
    const oracle::Affinities p = c.columns > 0
                                     ? random_affinities(c.rows, c.columns, random)
                                     : oracle::Affinities{std::vector<std::int64_t>(2, 0), {}, {}};
    std::vector<std::int32_t> order(static_cast<std::size_t>(c.rows));
    std::iota(order.begin(), order.end(), 0);
    for (std::int64_t i = c.rows - 1; i > 0; --i)
      std::swap(order[static_cast<std::size_t>(i)],
                order[static_cast<std::size_t>(random.below(i + 1))]);
    std::vector<std::int32_t> place(order.size());
    for (std::size_t s = 0; s < order.size(); ++s)
      place[static_cast<std::size_t>(order[s])] = static_cast<std::int32_t>(s);

    const std::int64_t n = p.rows();
    const auto entries = static_cast<std::int64_t>(p.values.size());
    Trial trial = this->trial(seed, std::to_string(c.rows) + "x" + std::to_string(c.columns));
    auto offsets = trial.input(p.offsets);
    auto columns = trial.input(p.columns);
    auto values = trial.input(std::vector<float>(p.values.begin(), p.values.end()));
    auto permutation = trial.input(order);
    auto new_offsets = trial.output<std::int64_t>(n + 1);
    auto new_columns = trial.output<std::int32_t>(entries);
    auto new_values = trial.output<float>(entries);
    trial.run([&](Backend& backend) {
      backend.permute_affinities(
          {offsets.data(), columns.data(), values.data(), n, entries}, permutation.span(),
          {new_offsets.data(), new_columns.data(), new_values.data(), n, entries});
    });
    std::vector<std::int64_t> want_offsets{0};
    std::vector<std::int32_t> want_columns;
    std::vector<float> want_values;
    for (const std::int32_t i : order) {
      for (std::int64_t e = p.offsets[i]; e < p.offsets[i + 1]; ++e) {
        want_columns.push_back(place[static_cast<std::size_t>(p.columns[e])]);
        want_values.push_back(static_cast<float>(p.values[e]));
      }
      want_offsets.push_back(static_cast<std::int64_t>(want_columns.size()));
    }
    EXPECT_EQ(new_offsets.values(), want_offsets) << trial.context();
    EXPECT_EQ(new_columns.values(), want_columns) << trial.context();
    EXPECT_EQ(new_values.values(), want_values) << trial.context();
  }
}

TEST_P(PermuteAffinities, RefusesShapesThatDoNotFit) {
  Buffer<std::int64_t> offsets(backend(), 8);
  Buffer<std::int32_t> columns(backend(), 8);
  Buffer<float> values(backend(), 8);
  offsets.zero();
  const CsrView four{offsets.data(), columns.data(), values.data(), 4, 8};
  const CsrView three{offsets.data(), columns.data(), values.data(), 3, 8};
  expect_refused("permute_affinities", [&] {
    backend().permute_affinities(as_const(four), std::as_const(columns).span().first(4), three);
  });
  expect_refused("permute_affinities", [&] {
    backend().permute_affinities(as_const(four), std::as_const(columns).span().first(3), four);
  });
}

}  // namespace
}  // namespace hourglass::parity
