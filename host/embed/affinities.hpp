// The affinities P of t-SNE, from rows of features to a sparse symmetric matrix in device memory.
#pragma once

#include <cstdint>

#include "hourglass/matrix.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

struct Affinities {
  Buffer<std::int64_t> offsets;
  Buffer<std::int32_t> columns;
  Buffer<float> values;
  std::int64_t rows = 0;
  int neighbours = 0;  ///< k
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

/// P from the exact k nearest rows of x. Throws UsageError as check_perplexity does, InputError
/// that names the place of a NaN or infinite value. P does not change when all of x is multiplied
/// by a number, so values near the ends of float32's range are scaled by a power of two before
/// they are squared.
Affinities compute_affinities(const char* who, Backend& backend, const Matrix& x,
                              double perplexity);

}  // namespace hourglass
