#include "host/embed/tsne_start.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "host/embed/pca_internal.hpp"
#include "hourglass/error.hpp"
#include "kernels/philox.hpp"

namespace hourglass {
namespace {

constexpr double start_deviation = 1e-4;
// Of a jitter that separates equal points, as a share of the start's deviation.
constexpr double jitter_share = 1e-2;

double column_deviation(const Matrix& y, std::int64_t column) {
  double sum = 0;
  for (std::int64_t i = 0; i < y.rows; ++i)
    sum += y(i, column);
  const double mean = sum / static_cast<double>(y.rows);
  double squares = 0;
  for (std::int64_t i = 0; i < y.rows; ++i) {
    const double d = y(i, column) - mean;
    squares += d * d;
  }
  return std::sqrt(squares / static_cast<double>(y.rows));
}

void add_normal(std::span<float> row, std::uint64_t seed, RandomStream stream, std::int64_t i,
                double deviation) {
  const Philox4 random =
      philox4x32(seed, static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(stream), 0);
  std::array<float, 4> normal{};
  normal_pair(random.v[0], random.v[1], normal[0], normal[1]);
  normal_pair(random.v[2], random.v[3], normal[2], normal[3]);
  for (std::size_t c = 0; c < row.size(); ++c)
    row[c] += static_cast<float>(deviation) * normal[c];
}

Matrix random_start(std::int64_t points, std::int64_t dimensions, std::uint64_t seed) {
  Matrix y(points, dimensions);
  for (std::int64_t i = 0; i < points; ++i)
    add_normal(y.row(i), seed, RandomStream::tsne_start, i, start_deviation);
  return y;
}

Matrix pca_start(Backend& backend, const Matrix& x, std::int64_t dimensions, std::uint64_t seed) {
  const std::int64_t components = std::min<std::int64_t>({dimensions, x.rows, x.columns});
  if (components == 0) return random_start(x.rows, dimensions, seed);
  const Matrix scores = transform_by_pca(backend, fit_pca(backend, x, components), x);
  const double deviation = column_deviation(scores, 0);
  if (!(deviation > 0) || !std::isfinite(deviation)) return random_start(x.rows, dimensions, seed);
  const double factor = start_deviation / deviation;
  Matrix y(x.rows, dimensions);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t c = 0; c < components; ++c)
      y(i, c) = static_cast<float>(factor * scores(i, c));
    // Equal points would start, and stay, in one place.
    add_normal(y.row(i), seed, RandomStream::tsne_jitter, i, jitter_share * start_deviation);
  }
  return y;
}

Matrix given_start(const TsneOptions& options, std::int64_t points) {
  const Matrix& given = options.given_start;
  if (given.rows != points || given.columns != options.dimensions) {
    throw InputError(fmt::format("t-SNE: the start is {} x {}; expected {} x {}", given.rows,
                                 given.columns, points, options.dimensions));
  }
  for (const float value : given.values) {
    if (!std::isfinite(value))
      throw InputError("t-SNE: the start holds NaN or infinite values; expected finite ones");
  }
  Matrix y = given;
  part_equal_rows(y, options.seed);
  return y;
}

}  // namespace

bool part_equal_rows(Matrix& y, std::uint64_t seed) {
  double deviation = 0;
  for (std::int64_t c = 0; c < y.columns; ++c)
    deviation = std::max(deviation, column_deviation(y, c));
  const double jitter = jitter_share * (deviation > 0 ? deviation : start_deviation);
  std::vector<std::int64_t> order(static_cast<std::size_t>(y.rows));
  std::iota(order.begin(), order.end(), 0);
  const auto compare = [&](std::int64_t a, std::int64_t b) {
    const auto row_a = y.row(a), row_b = y.row(b);
    return std::lexicographical_compare_three_way(row_a.begin(), row_a.end(), row_b.begin(),
                                                  row_b.end());
  };
  std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    const auto places = compare(a, b);
    return places != 0 ? places < 0 : a < b;
  });
  std::vector<std::int64_t> equal;
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (compare(order[i], order[i - 1]) == 0) equal.push_back(order[i]);
  }
  for (const std::int64_t i : equal)
    add_normal(y.row(i), seed, RandomStream::tsne_jitter, i, jitter);
  return !equal.empty();
}

Matrix make_tsne_start(Backend& backend, const Matrix& x, const TsneOptions& options) {
  switch (options.start) {
    case TsneStart::random:
      return random_start(x.rows, options.dimensions, options.seed);
    case TsneStart::given:
      return given_start(options, x.rows);
    case TsneStart::pca:
      break;
  }
  return pca_start(backend, x, options.dimensions, options.seed);
}

}  // namespace hourglass
