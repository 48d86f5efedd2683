// Neighbours kept and trustworthiness of a map over some of its rows, each against all.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "host/score/common.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/scores.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

constexpr int trusted = 12;  ///< neighbours of the trustworthiness

using Rows = std::span<const std::int64_t>;

Matrix take(const Matrix& x, Rows rows) {
  Matrix taken(static_cast<std::int64_t>(rows.size()), x.columns);
  for (std::size_t a = 0; a < rows.size(); ++a) {
    const auto row = x.row(rows[a]);
    std::copy(row.begin(), row.end(), taken.row(static_cast<std::int64_t>(a)).begin());
  }
  return taken;
}

/// The k nearest other rows of `all` for some of its rows. A row is looked for among all, itself
/// with them, and then left out: of rows equal to it those with a lower index come before it.
std::vector<std::int32_t> nearest_others(Backend& backend, ConstMat queries, ConstMat all,
                                         Rows rows, std::int64_t k) {
  const std::int64_t count = queries.rows;
  Buffer<std::int32_t> index(backend, count * (k + 1));
  Buffer<float> distance(backend, count * (k + 1));
  backend.nearest_neighbours(queries, all, false, index.matrix(count, k + 1),
                             distance.matrix(count, k + 1));
  const std::vector<std::int32_t> found = index.download();
  std::vector<std::int32_t> others;
  others.reserve(static_cast<std::size_t>(count * k));
  for (std::int64_t a = 0; a < count; ++a) {
    std::int64_t taken = 0;
    for (std::int64_t b = a * (k + 1); b < (a + 1) * (k + 1) && taken < k; ++b) {
      const std::int32_t j = found[static_cast<std::size_t>(b)];
      if (j == rows[static_cast<std::size_t>(a)]) continue;
      others.push_back(j);
      ++taken;
    }
  }
  return others;
}

/// How many of the first `k` of every list of a, of `length` each, are among the first k of b's.
std::int64_t shared(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b,
                    std::int64_t length, std::int64_t k) {
  std::int64_t count = 0;
  for (std::size_t at = 0; at < a.size(); at += static_cast<std::size_t>(length)) {
    const auto theirs = b.begin() + static_cast<std::ptrdiff_t>(at);
    for (std::size_t i = at; i < at + static_cast<std::size_t>(k); ++i)
      count += std::find(theirs, theirs + k, a[i]) != theirs + k;
  }
  return count;
}

/// (distance, index): the order of neighbours.
using Key = std::pair<double, std::int64_t>;

double squared_distance(const Matrix& x, std::int64_t i, std::int64_t j) {
  const auto a = x.row(i), b = x.row(j);
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) {
    const double d = static_cast<double>(a[c]) - b[c];
    sum += d * d;
  }
  return sum;
}

double square_of(std::span<const float> row) {
  double sum = 0;
  for (const float value : row)
    sum += static_cast<double>(value) * value;
  return sum;
}

/// The ranks of one row's listed neighbours among all other rows. Most rows are placed by
/// |a - b|^2 = |a|^2 + |b|^2 - 2 a b with a product in float32; those that its rounding could
/// misplace, by their differences in float64.
class RankedRow {
 public:
  RankedRow(const Matrix& x, std::int64_t row, std::span<const std::int32_t> neighbours)
      : x_(x), row_(row) {
    for (std::size_t a = 0; a < keys_.size(); ++a)
      keys_[a] = {squared_distance(x, row, neighbours[a]), neighbours[a]};
    std::sort(keys_.begin(), keys_.end());
  }

  /// Rows with least_share() (|a|^2 + |b|^2) - 2 a b above farthest() come after all of the listed.
  [[nodiscard]] double least_share() const {
    return 1.0 - static_cast<double>(x_.columns) * 0x1p-23;
  }
  [[nodiscard]] double farthest() const { return keys_.back().first + least_band; }

  void count(std::int64_t other, double square, double other_square, double product) {
    if (other == row_) return;
    const double approximate = square + other_square - 2.0 * product;
    // A float32 product of D terms is off by D 2^-24 |a| |b| at most, and 2 |a| |b| is below the
    // sum of the squares: twice that.
    const double band = (1.0 - least_share()) * (square + other_square) + least_band;
    const bool finite = std::isfinite(approximate);
    std::size_t nearer = 0;  // keys that come before this one
    bool certain = finite;
    for (; certain && nearer < keys_.size(); ++nearer) {
      const double difference = keys_[nearer].first - approximate;
      if (difference > band) break;
      certain = difference < -band;
    }
    if (!certain) {
      const Key key{squared_distance(x_, row_, other), other};
      nearer = static_cast<std::size_t>(std::upper_bound(keys_.begin(), keys_.end(), key) -
                                        keys_.begin());
    }
    if (nearer < keys_.size()) ++before_[nearer];
  }

  /// Sum over the neighbours of what their ranks exceed `trusted` by.
  [[nodiscard]] std::int64_t excess() const {
    std::int64_t rank = 1, sum = 0;
    for (const std::int64_t before : before_) {
      rank += before;
      sum += std::max<std::int64_t>(0, rank - trusted);
    }
    return sum;
  }

 private:
  static constexpr double least_band = std::numeric_limits<float>::min();

  const Matrix& x_;
  std::int64_t row_;
  std::array<Key, trusted> keys_{};
  std::array<std::int64_t, trusted> before_{};  ///< rows between a key and the one before it
};

}  // namespace

MapFigures map_figures(Device& device, const Matrix& x, const Matrix& map, std::int64_t sample) {
  check_same_rows("map figures", x, map);
  const std::int64_t n = x.rows;
  MapFigures figures;
  figures.sample = figure_sample(n, sample);
  if (n < 2) return figures;
  map_figures_memory(device.info(), x, map, sample).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "map figures");
  const std::int64_t k = std::min<std::int64_t>(figure_neighbours, n - 1);
  const bool ranks = n > 2 * trusted;

  std::vector<double> squares(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    squares[static_cast<std::size_t>(i)] = square_of(x.row(i));
  const Buffer<float> all(backend, std::span<const float>(x.values));
  const Buffer<float> all_of_map(backend, std::span<const float>(map.values));
  const ConstMat points = all.matrix(n, x.columns);
  std::int64_t kept_10 = 0, kept_30 = 0, excess = 0;
  for (std::int64_t first = 0; first < figures.sample; first += figure_queries) {
    const std::int64_t count = std::min(figure_queries, figures.sample - first);
    std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
    for (std::int64_t a = 0; a < count; ++a)
      rows[static_cast<std::size_t>(a)] = (first + a) * n / figures.sample;
    const Buffer<float> queries(backend, std::span<const float>(take(x, rows).values));
    const ConstMat query_rows = queries.matrix(count, x.columns);
    const auto near = nearest_others(backend, query_rows, points, rows, k);
    const auto near_in_map = [&] {
      const Buffer<float> places(backend, std::span<const float>(take(map, rows).values));
      return nearest_others(backend, places.matrix(count, map.columns),
                            all_of_map.matrix(n, map.columns), rows, k);
    }();
    if (n > 10) kept_10 += shared(near, near_in_map, k, 10);
    if (n > 30) kept_30 += shared(near, near_in_map, k, 30);
    if (!ranks) continue;

    std::vector<RankedRow> ranked;
    ranked.reserve(rows.size());
    for (std::size_t a = 0; a < rows.size(); ++a) {
      ranked.emplace_back(x, rows[a],
                          std::span(near_in_map).subspan(a * static_cast<std::size_t>(k), trusted));
    }
    Buffer<float> products(backend, count * std::min(figure_references, n));
    for (std::int64_t begin = 0; begin < n; begin += figure_references) {
      const std::int64_t references = std::min(figure_references, n - begin);
      backend.gemm(Transpose::no, Transpose::yes, 1.0f, query_rows,
                   points.row_range(begin, references), 0.0f, products.matrix(count, references));
      const std::vector<float> product = products.download(count * references);
      for (std::int64_t a = 0; a < count; ++a) {
        RankedRow& row = ranked[static_cast<std::size_t>(a)];
        const double square = squares[static_cast<std::size_t>(rows[static_cast<std::size_t>(a)])];
        const double share = row.least_share(), farthest = row.farthest();
        for (std::int64_t b = 0; b < references; ++b) {
          const double other = squares[static_cast<std::size_t>(begin + b)];
          const double p = product[static_cast<std::size_t>(a * references + b)];
          if (share * (square + other) - 2.0 * p <= farthest || !std::isfinite(p))
            row.count(begin + b, square, other, p);
        }
      }
    }
    for (const RankedRow& row : ranked)
      excess += row.excess();
  }
  const auto over = static_cast<double>(figures.sample);
  if (n > 10) figures.neighbour_preservation_10 = static_cast<double>(kept_10) / (10.0 * over);
  if (n > 30) figures.neighbour_preservation_30 = static_cast<double>(kept_30) / (30.0 * over);
  if (ranks) {
    const double scale = over * trusted * static_cast<double>(2 * n - 3 * trusted - 1);
    figures.trustworthiness = 1.0 - 2.0 * static_cast<double>(excess) / scale;
  }
  return figures;
}

}  // namespace hourglass
