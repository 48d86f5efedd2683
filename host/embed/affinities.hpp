// The affinities P of t-SNE, from rows of features or from given neighbours to a sparse symmetric
// matrix in device memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "host/data/neighbour_file.hpp"
#include "hourglass/matrix.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

enum class NeighbourMethod {
  automatic,   ///< best_neighbour_search()
  exact,       ///< every pair
  approximate  ///< among near clusters, with a measured recall (approximate_neighbours.hpp)
};
/// "auto", "exact" or "approximate"; UsageError for another word.
[[nodiscard]] NeighbourMethod parse_neighbour_method(std::string_view name);
[[nodiscard]] std::string_view name_of(NeighbourMethod method);

enum class Metric {
  euclidean,
  /// Rows are scaled to unit length before all else, so that d^2 = |a - b|^2 = 2 - 2 cos(a, b).
  cosine
};
/// "euclidean" or "cosine"; UsageError for another word.
[[nodiscard]] Metric parse_metric(std::string_view name);
[[nodiscard]] std::string_view name_of(Metric metric);

struct NeighbourOptions {
  NeighbourMethod method = NeighbourMethod::automatic;
  Metric metric = Metric::euclidean;
  std::uint64_t seed = 0;  ///< of the approximate search: of its clusters and its sample
};

/// The k nearest other rows of each row.
struct Neighbours {
  Buffer<std::int32_t> index;      ///< N x k, on the device
  Buffer<float> squared_distance;  ///< N x k, ascending in each row; up to one common factor
  std::int64_t rows = 0;
  std::int64_t k = 0;
  NeighbourMethod method = NeighbourMethod::exact;  ///< that was used; exact for given ones
  double recall = 1;                                ///< measured on a sample where approximate
  double seconds = 0;
};

struct Affinities {
  Buffer<std::int64_t> offsets;
  Buffer<std::int32_t> columns;
  Buffer<float> values;
  std::int64_t rows = 0;
  int neighbours = 0;  ///< k
  double perplexity = 0;
  NeighbourMethod method = NeighbourMethod::exact;  ///< by which the neighbours were found
  double recall = 1;                                ///< of that
  double neighbours_seconds = 0;
  double affinities_seconds = 0;

  [[nodiscard]] ConstCsrView view() const {
    return {offsets.data(), columns.data(), values.data(), rows, values.size()};
  }
};

/// The largest perplexity that `points` points allow: (N - 1) / 3, so that the 3 x perplexity
/// neighbours exist; 1 for 2 to 4 points, where a single neighbour is the whole neighbourhood.
double largest_perplexity(std::int64_t points);

/// Throws UsageError, starting with `who`, where there are fewer than 2 points or the perplexity is
/// not in [1, largest_perplexity(points)].
void check_perplexity(const char* who, std::int64_t points, double perplexity);

/// k = min(N - 1, floor(3 perplexity)).
std::int64_t affinity_neighbours(std::int64_t points, double perplexity);

/// The search that `automatic` takes: on the host (`on_host`) the approximate one from 200,000
/// points on, where k is at most a hundredth of them; else the exact one.
[[nodiscard]] NeighbourMethod best_neighbour_search(bool on_host, std::int64_t points,
                                                    std::int64_t k);

/// The k nearest other rows of each row of x, 1 <= k <= N - 1. Distances do not change their order
/// when all of x is multiplied by a number, so values near the ends of float32's range are scaled
/// by a power of two before they are squared. Throws UsageError where there are no columns or 2^31
/// points, InputError that names the place of a NaN or infinite value, or of a row of zeros, which
/// has no direction, under the metric cosine.
[[nodiscard]] Neighbours find_neighbours(const char* who, Backend& backend, const Matrix& x,
                                         std::int64_t k, const NeighbourOptions& options);

/// The k nearest of neighbours that were read from a file. Throws UsageError where these are fewer
/// than k.
[[nodiscard]] Neighbours given_neighbours(const char* who, Backend& backend,
                                          const NeighbourTable& table, std::int64_t k);

/// P of neighbours, whose memory is given back on the way. Throws UsageError where the perplexity
/// is not in [1, k].
[[nodiscard]] Affinities affinities_from_neighbours(const char* who, Backend& backend,
                                                    Neighbours neighbours, double perplexity);

/// Both steps at once, with k = affinity_neighbours(). Throws what they throw, and UsageError as
/// check_perplexity does.
Affinities compute_affinities(const char* who, Backend& backend, const Matrix& x, double perplexity,
                              const NeighbourOptions& options = {.method = NeighbourMethod::exact});

}  // namespace hourglass
