// Neighbours that another program has found, from .npy files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hourglass {

/// The k nearest other rows of each of N rows.
struct NeighbourTable {
  std::int64_t rows = 0;
  std::int64_t k = 0;
  std::vector<std::int32_t> index;  ///< N x k, ascending by (distance, index) in each row
  std::vector<float> distance;      ///< N x k, not squared
};

/// An N x k array of integers and one of float32 or float64 distances that are not squared: what
/// scikit-learn's kneighbors() and openTSNE's PrecomputedNeighbors have. A row's neighbours may
/// come in any order. Throws InputError that names the file, the row and the column of an index
/// outside 0 .. N - 1, of the row itself (kneighbors() without an argument leaves it out), one that
/// was there before, or a distance that is negative, infinite or NaN; and for shapes and types that
/// do not fit.
[[nodiscard]] NeighbourTable read_neighbours(const std::string& index_file,
                                             const std::string& distance_file);

/// The k nearest other rows by an N x N matrix of float32 or float64 distances, as scikit-learn's
/// metric="precomputed" takes; the diagonal is not looked at. It is read some rows at a time, so it
/// must be neither compressed nor a pipe. Throws InputError as above, and UsageError where k is not
/// in 1 .. N - 1.
[[nodiscard]] NeighbourTable read_distance_matrix(const std::string& file, std::int64_t k);

/// The points of a matrix of distances, without reading more than its header.
[[nodiscard]] std::int64_t distance_matrix_rows(const std::string& file);

}  // namespace hourglass
