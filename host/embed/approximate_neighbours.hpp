// Approximate nearest neighbours, with the recall that was measured: each row is compared with the
// rows of the clusters nearest to its own only (an inverted file: Jegou, Douze and Schmid 2011).
//
// All arithmetic is Backend::nearest_neighbours: rows to the centroids of sqrt(N) clusters, for
// k-means; and all rows of a cluster to those of its nearest clusters. So the result is the same
// with any number of threads, and the search runs wherever the exact one does. How many rows must
// be looked at follows from a sample: of the exact neighbours of its rows it is known in which
// clusters they lie.
#pragma once

#include <cstdint>
#include <vector>

#include "hourglass/matrix.hpp"
#include "kernels/backend.hpp"

namespace hourglass {

/// Rows, at most, whose exact neighbours the recall is measured by.
inline constexpr std::int64_t approximate_sample_rows = 1000;

struct ApproximateOptions {
  std::uint64_t seed = 0;
  double wanted_recall = 0.99;
};

struct ApproximateNeighbours {
  std::vector<std::int32_t> index;      ///< N x k, ascending by (distance, index)
  std::vector<float> squared_distance;  ///< N x k, by differences
  /// Of the exact neighbours of the sample's rows the share that was looked at, and so found.
  double recall = 1;
  std::int64_t clusters = 0;
  double searched_rows = 0;  ///< that a row was compared with, on average
};

/// Clusters for so many rows.
[[nodiscard]] std::int64_t approximate_clusters(std::int64_t rows);

/// The k nearest other rows of each row of x, which are finite; 1 <= k <= N - 1.
[[nodiscard]] ApproximateNeighbours approximate_neighbours(Backend& backend, const Matrix& x,
                                                           std::int64_t k,
                                                           const ApproximateOptions& options);

}  // namespace hourglass
