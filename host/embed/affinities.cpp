#include "host/embed/affinities.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

float largest_magnitude(const char* who, const Matrix& x) {
  float largest = 0;
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    if (!std::isfinite(x.values[i])) {
      const auto place = static_cast<std::int64_t>(i);
      throw InputError(fmt::format("{}: row {}, column {} is {}; expected finite values", who,
                                   place / x.columns, place % x.columns, x.values[i]));
    }
    largest = std::max(largest, std::abs(x.values[i]));
  }
  return largest;
}

/// A power of two that brings the squares of values up to `largest` into float32's range: 1 for
/// ordinary data. 2^50 leaves room for a million squared columns above and for ordinary values
/// beside a far outlier below.
float range_factor(float largest) {
  constexpr int most = 50;
  if (largest == 0) return 1.0f;
  const int exponent = std::ilogb(largest);
  if (exponent > most) return std::ldexp(1.0f, most - exponent);
  if (exponent < -most) return std::ldexp(1.0f, std::min(-exponent, 126));
  return 1.0f;
}

/// points = factor * values, without a second copy of them all on the host.
void upload_scaled(Backend& backend, const std::vector<float>& values, float factor,
                   Buffer<float>& points) {
  if (factor == 1.0f) {
    points.upload(values);
    return;
  }
  constexpr std::size_t block = std::size_t{1} << 20;
  std::vector<float> scaled;
  for (std::size_t first = 0; first < values.size(); first += block) {
    const std::span part = std::span(values).subspan(first, std::min(block, values.size() - first));
    scaled.assign(part.begin(), part.end());
    for (float& value : scaled)
      value *= factor;
    backend.upload(points.data() + first, scaled.data(), scaled.size() * sizeof(float));
  }
}

}  // namespace

double largest_perplexity(std::int64_t points) {
  return std::max(1.0, static_cast<double>(points - 1) / 3.0);
}

void check_perplexity(const char* who, std::int64_t points, double perplexity) {
  if (points < 2) throw UsageError(fmt::format("{}: {} point, at least 2 are needed", who, points));
  const double largest = largest_perplexity(points);
  if (!(perplexity >= 1.0)) {
    throw UsageError(
        fmt::format("{}: perplexity {} is below 1; expected 1 to {:g}", who, perplexity, largest));
  }
  if (perplexity > largest) {
    throw UsageError(
        fmt::format("{}: perplexity {} is too large for {} points; the largest legal one is {:g}",
                    who, perplexity, points, std::floor(largest * 1e4) / 1e4));
  }
}

std::int64_t affinity_neighbours(std::int64_t points, double perplexity) {
  return std::min(points - 1, static_cast<std::int64_t>(std::floor(3.0 * perplexity)));
}

Affinities compute_affinities(const char* who, Backend& backend, const Matrix& x,
                              double perplexity) {
  check_perplexity(who, x.rows, perplexity);
  if (x.columns < 1) throw UsageError(fmt::format("{}: the points have no columns", who));
  if (x.rows > std::numeric_limits<std::int32_t>::max()) {
    throw UsageError(fmt::format("{}: {} points; at most 2^31 - 1 can be embedded", who, x.rows));
  }
  const float factor = range_factor(largest_magnitude(who, x));
  Buffer<float> points(backend, std::max<std::int64_t>(x.rows * x.columns, 1));
  upload_scaled(backend, x.values, factor, points);

  Affinities result;
  const std::int64_t n = x.rows;
  const std::int64_t k = affinity_neighbours(n, perplexity);
  result.rows = n;
  result.neighbours = static_cast<int>(k);
  Buffer<std::int32_t> index(backend, n * k);
  Buffer<float> squared_distance(backend, n * k);
  {
    const Range range(backend, "neighbours");
    const Clock::time_point search = Clock::now();
    const ConstMat view = std::as_const(points).matrix(n, x.columns);
    backend.nearest_neighbours(view, view, true, index.matrix(n, k), squared_distance.matrix(n, k));
    backend.synchronize();
    result.neighbours_seconds = seconds_since(search);
  }
  points = {};  // what is no longer needed makes room for the affinities

  const Range range(backend, "affinities");
  const Clock::time_point start = Clock::now();
  Buffer<float> conditional(backend, n * k);
  Buffer<float> precision(backend, n);
  backend.perplexity_search(squared_distance.matrix(n, k), static_cast<float>(perplexity),
                            conditional.matrix(n, k), precision.span());
  squared_distance = {};
  result.offsets = Buffer<std::int64_t>(backend, n + 1);
  result.columns = Buffer<std::int32_t>(backend, 2 * n * k);
  result.values = Buffer<float>(backend, 2 * n * k);
  backend.symmetrise(
      index.matrix(n, k), conditional.matrix(n, k),
      {result.offsets.data(), result.columns.data(), result.values.data(), n, 2 * n * k});
  backend.synchronize();
  result.affinities_seconds = seconds_since(start);
  return result;
}

}  // namespace hourglass
