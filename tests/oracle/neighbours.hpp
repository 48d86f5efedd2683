// The truth for neighbours and for the scores that are made of them: float64, every pair.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/oracle/matrix64.hpp"

namespace hourglass::oracle {

double squared_distance(const Matrix64& a, std::int64_t i, const Matrix64& b, std::int64_t j);

struct Neighbours {
  std::vector<std::int32_t> index;  ///< queries x k
  Matrix64 squared_distance;        ///< queries x k, ascending; ties by the lower index
};
Neighbours nearest_neighbours(const Matrix64& queries, const Matrix64& references, bool same,
                              std::int64_t k);

/// The rank (1 = nearest, ties by the lower index) among all other rows, by distance from row i, of
/// neighbours[i * per_row + a].
std::vector<std::int32_t> neighbour_ranks(const Matrix64& x,
                                          const std::vector<std::int32_t>& neighbours,
                                          std::int64_t per_row);

/// 1 - 2 / (N k (2N - 3k - 1)) * sum over i and its k neighbours j in the map of
/// max(0, rank of j in x - k)   (Venna and Kaski 2001).
double trustworthiness(const Matrix64& x, const Matrix64& map, std::int64_t k);

/// sums(i, c) = sum over the rows j of class c of |x_i - x_j|.
Matrix64 class_distance_sums(const Matrix64& x, const std::vector<std::int32_t>& labels,
                             std::int64_t classes);

/// Mean over the rows of (b - a) / max(a, b): a the mean distance to the others of the same class,
/// b the least mean distance to another class; 0 for the only row of its class (Rousseeuw 1987).
double silhouette(const Matrix64& x, const std::vector<std::int32_t>& labels);

/// Share of rows whose nearest other row has their label (leave one out).
double one_nn_accuracy(const Matrix64& x, const std::vector<std::int32_t>& labels);
/// Share of test rows whose nearest training row has their label.
double one_nn_accuracy(const Matrix64& train, const std::vector<std::int32_t>& train_labels,
                       const Matrix64& test, const std::vector<std::int32_t>& test_labels);

}  // namespace hourglass::oracle
