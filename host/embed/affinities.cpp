#include "host/embed/affinities.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "host/embed/approximate_neighbours.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

// Indices are 32 bits wide, and blocks of rows are rounded up.
constexpr std::int64_t most_points = std::numeric_limits<std::int32_t>::max() - 255;

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

/// The rows of x, each divided by its length.
Matrix unit_rows(const char* who, const Matrix& x) {
  Matrix unit(x.rows, x.columns);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    double square = 0;
    for (const float value : x.row(i))
      square += static_cast<double>(value) * static_cast<double>(value);
    if (square == 0) {
      throw InputError(fmt::format(
          "{}: row {} is all zeros, which has no direction: expected rows of a length for the "
          "metric cosine",
          who, i));
    }
    const double factor = 1.0 / std::sqrt(square);
    for (std::int64_t d = 0; d < x.columns; ++d)
      unit(i, d) = static_cast<float>(factor * static_cast<double>(x(i, d)));
  }
  return unit;
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

NeighbourMethod parse_neighbour_method(std::string_view name) {
  if (name == "auto") return NeighbourMethod::automatic;
  if (name == "exact") return NeighbourMethod::exact;
  if (name == "approximate") return NeighbourMethod::approximate;
  throw UsageError(
      fmt::format("neighbours: method \"{}\"; expected auto, exact or approximate", name));
}

std::string_view name_of(NeighbourMethod method) {
  switch (method) {
    case NeighbourMethod::exact:
      return "exact";
    case NeighbourMethod::approximate:
      return "approximate";
    case NeighbourMethod::automatic:
      break;
  }
  return "auto";
}

Metric parse_metric(std::string_view name) {
  if (name == "euclidean") return Metric::euclidean;
  if (name == "cosine") return Metric::cosine;
  throw UsageError(fmt::format("metric \"{}\"; expected euclidean or cosine", name));
}

std::string_view name_of(Metric metric) {
  return metric == Metric::cosine ? "cosine" : "euclidean";
}

NeighbourMethod best_neighbour_search(bool on_host, std::int64_t points, std::int64_t k) {
  // Seconds of one thread (AVX-512), k = 90, exact / approximate with a recall of 0.99: 20,000 x
  // 784 digits 4.5 / 7.7; 70,000 x 50, their components 3.7 / 2.8; 300,000 x 50 in 60 clusters 51
  // / 8.6. Both costs grow alike with the columns, so the points alone decide. The exact search
  // multiplies each pair of rows once, the other some pairs twice: in digits, which have no clear
  // clusters, a half of all at 20,000 and a quarter at 70,000. Missing a hundredth of the
  // neighbours is not worth a few seconds: the exact search is kept while it takes less than about
  // half a minute. On a GPU it is kept always, since the other has not been measured there.
  constexpr std::int64_t fewest_points = 200'000;
  return on_host && points >= fewest_points && k <= points / 100 ? NeighbourMethod::approximate
                                                                 : NeighbourMethod::exact;
}

Neighbours find_neighbours(const char* who, Backend& backend, const Matrix& x, std::int64_t k,
                           const NeighbourOptions& options) {
  if (x.columns < 1) throw UsageError(fmt::format("{}: the points have no columns", who));
  if (x.rows > most_points) {
    throw UsageError(fmt::format("{}: {} points; at most 2^31 - 256 can be searched", who, x.rows));
  }
  const std::int64_t n = x.rows;
  const BackendInfo device = backend.info();
  Neighbours result;
  result.rows = n;
  result.k = k;
  result.method = options.method == NeighbourMethod::automatic
                      ? best_neighbour_search(device.backend == "cpu", n, k)
                      : options.method;
  const bool exact = result.method == NeighbourMethod::exact;
  const bool cosine = options.metric == Metric::cosine;
  const float largest = largest_magnitude(who, x);
  const float factor = cosine ? 1.0f : range_factor(largest);
  Matrix changed;  // a copy, where the host needs one that is not x
  if (cosine) {
    changed = unit_rows(who, x);
  } else if (!exact && factor != 1.0f) {
    changed = x;
    for (float& value : changed.values)
      value *= factor;
  }
  const bool scale = changed.rows == 0;
  const Matrix& rows = scale ? x : changed;
  Buffer<float> points;
  if (exact) {
    points = Buffer<float>(backend, n * x.columns);
    upload_scaled(backend, rows.values, scale ? factor : 1.0f, points);
    changed = {};
  }

  const Range range(backend, "neighbours");
  const Clock::time_point search = Clock::now();
  if (exact) {
    const ConstMat view = std::as_const(points).matrix(n, x.columns);
    result.index = Buffer<std::int32_t>(backend, n * k);
    result.squared_distance = Buffer<float>(backend, n * k);
    backend.nearest_neighbours(view, view, true, result.index.matrix(n, k),
                               result.squared_distance.matrix(n, k));
    backend.synchronize();
  } else {
    const ApproximateNeighbours found =
        approximate_neighbours(backend, rows, k, {.seed = options.seed});
    result.recall = found.recall;
    result.index = Buffer<std::int32_t>(backend, std::span<const std::int32_t>(found.index));
    result.squared_distance =
        Buffer<float>(backend, std::span<const float>(found.squared_distance));
  }
  result.seconds = seconds_since(search);
  return result;
}

Neighbours given_neighbours(const char* who, Backend& backend, const NeighbourTable& table,
                            std::int64_t k) {
  if (table.k < k) {
    throw UsageError(
        fmt::format("{}: {} neighbours of each point are given, {} are needed: 3 times "
                    "the perplexity",
                    who, table.k, k));
  }
  const Clock::time_point start = Clock::now();
  const std::int64_t n = table.rows;
  float largest = 0;
  for (std::int64_t i = 0; i < n; ++i)
    largest = std::max(largest, table.distance[static_cast<std::size_t>(i * table.k + k - 1)]);
  const float factor = range_factor(largest);
  std::vector<std::int32_t> index;
  std::vector<float> squared;
  index.reserve(static_cast<std::size_t>(n * k));
  squared.reserve(index.capacity());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t a = i * table.k; a < i * table.k + k; ++a) {
      const float distance = factor * table.distance[static_cast<std::size_t>(a)];
      index.push_back(table.index[static_cast<std::size_t>(a)]);
      squared.push_back(distance * distance);
    }
  }
  Neighbours result;
  result.rows = n;
  result.k = k;
  result.index = Buffer<std::int32_t>(backend, std::span<const std::int32_t>(index));
  result.squared_distance = Buffer<float>(backend, std::span<const float>(squared));
  result.seconds = seconds_since(start);
  return result;
}

Affinities affinities_from_neighbours(const char* who, Backend& backend, Neighbours neighbours,
                                      double perplexity) {
  const std::int64_t n = neighbours.rows;
  const std::int64_t k = neighbours.k;
  if (!(perplexity >= 1.0 && perplexity <= static_cast<double>(k))) {
    throw UsageError(
        fmt::format("{}: perplexity {}; of {} neighbours expected 1 to {}", who, perplexity, k, k));
  }
  Affinities result;
  result.rows = n;
  result.neighbours = static_cast<int>(k);
  result.perplexity = perplexity;
  result.method = neighbours.method;
  result.recall = neighbours.recall;
  result.neighbours_seconds = neighbours.seconds;

  const Range range(backend, "affinities");
  const Clock::time_point start = Clock::now();
  Buffer<float> conditional(backend, n * k);
  Buffer<float> precision(backend, n);
  backend.perplexity_search(std::as_const(neighbours.squared_distance).matrix(n, k),
                            static_cast<float>(perplexity), conditional.matrix(n, k),
                            precision.span());
  neighbours.squared_distance = {};
  result.offsets = Buffer<std::int64_t>(backend, n + 1);
  result.columns = Buffer<std::int32_t>(backend, 2 * n * k);
  result.values = Buffer<float>(backend, 2 * n * k);
  backend.symmetrise(
      std::as_const(neighbours.index).matrix(n, k), conditional.matrix(n, k),
      {result.offsets.data(), result.columns.data(), result.values.data(), n, 2 * n * k});
  backend.synchronize();
  result.affinities_seconds = seconds_since(start);
  return result;
}

Affinities compute_affinities(const char* who, Backend& backend, const Matrix& x, double perplexity,
                              const NeighbourOptions& options) {
  check_perplexity(who, x.rows, perplexity);
  return affinities_from_neighbours(
      who, backend,
      find_neighbours(who, backend, x, affinity_neighbours(x.rows, perplexity), options),
      perplexity);
}

}  // namespace hourglass
