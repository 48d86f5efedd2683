#include "tests/oracle/neighbours.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace hourglass::oracle {
namespace {

using Candidate = std::pair<double, std::int32_t>;  // compares by distance, then by index

std::vector<Candidate> sorted_others(const Matrix64& queries, std::int64_t i,
                                     const Matrix64& references, bool same) {
  std::vector<Candidate> candidates;
  for (std::int64_t j = 0; j < references.rows; ++j) {
    if (same && i == j) continue;
    candidates.emplace_back(squared_distance(queries, i, references, j),
                            static_cast<std::int32_t>(j));
  }
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

}  // namespace

double squared_distance(const Matrix64& a, std::int64_t i, const Matrix64& b, std::int64_t j) {
  double sum = 0.0;
  for (std::int64_t d = 0; d < a.columns; ++d) {
    const double difference = a(i, d) - b(j, d);
    sum += difference * difference;
  }
  return sum;
}

Neighbours nearest_neighbours(const Matrix64& queries, const Matrix64& references, bool same,
                              std::int64_t k) {
  Neighbours result{{}, Matrix64(queries.rows, k)};
  for (std::int64_t i = 0; i < queries.rows; ++i) {
    const std::vector<Candidate> candidates = sorted_others(queries, i, references, same);
    for (std::int64_t a = 0; a < k; ++a) {
      result.squared_distance(i, a) = candidates[a].first;
      result.index.push_back(candidates[a].second);
    }
  }
  return result;
}

std::vector<std::int32_t> neighbour_ranks(const Matrix64& x,
                                          const std::vector<std::int32_t>& neighbours,
                                          std::int64_t per_row) {
  std::vector<std::int32_t> ranks;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const std::vector<Candidate> candidates = sorted_others(x, i, x, true);
    std::vector<std::int32_t> place(static_cast<std::size_t>(x.rows), 0);
    for (std::size_t a = 0; a < candidates.size(); ++a) {
      place[candidates[a].second] = static_cast<std::int32_t>(a + 1);
    }
    for (std::int64_t a = 0; a < per_row; ++a)
      ranks.push_back(place[neighbours[i * per_row + a]]);
  }
  return ranks;
}

double trustworthiness(const Matrix64& x, const Matrix64& map, std::int64_t k) {
  const Neighbours in_map = nearest_neighbours(map, map, true, k);
  double sum = 0.0;
  for (const std::int32_t rank : neighbour_ranks(x, in_map.index, k)) {
    if (rank > k) sum += static_cast<double>(rank - k);
  }
  const auto n = static_cast<double>(x.rows);
  const auto neighbours = static_cast<double>(k);
  return 1.0 - 2.0 / (n * neighbours * (2.0 * n - 3.0 * neighbours - 1.0)) * sum;
}

Matrix64 class_distance_sums(const Matrix64& x, const std::vector<std::int32_t>& labels,
                             std::int64_t classes) {
  Matrix64 sums(x.rows, classes);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.rows; ++j) {
      if (labels[j] < 0 || labels[j] >= classes) continue;
      sums(i, labels[j]) += std::sqrt(squared_distance(x, i, x, j));
    }
  }
  return sums;
}

double silhouette(const Matrix64& x, const std::vector<std::int32_t>& labels) {
  const std::int64_t classes = *std::max_element(labels.begin(), labels.end()) + 1;
  std::vector<std::int64_t> members(static_cast<std::size_t>(classes), 0);
  for (const std::int32_t label : labels)
    ++members[label];
  const Matrix64 sums = class_distance_sums(x, labels, classes);
  double total = 0.0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const std::int32_t own = labels[i];
    if (members[own] < 2) continue;
    const double a = sums(i, own) / static_cast<double>(members[own] - 1);
    double b = std::numeric_limits<double>::infinity();
    for (std::int64_t c = 0; c < classes; ++c) {
      if (c != own && members[c] > 0) {
        b = std::min(b, sums(i, c) / static_cast<double>(members[c]));
      }
    }
    if (std::max(a, b) > 0.0) total += (b - a) / std::max(a, b);
  }
  return total / static_cast<double>(x.rows);
}

double one_nn_accuracy(const Matrix64& x, const std::vector<std::int32_t>& labels) {
  const Neighbours nearest = nearest_neighbours(x, x, true, 1);
  double right = 0.0;
  for (std::int64_t i = 0; i < x.rows; ++i)
    right += labels[nearest.index[i]] == labels[i];
  return right / static_cast<double>(x.rows);
}

double one_nn_accuracy(const Matrix64& train, const std::vector<std::int32_t>& train_labels,
                       const Matrix64& test, const std::vector<std::int32_t>& test_labels) {
  const Neighbours nearest = nearest_neighbours(test, train, false, 1);
  double right = 0.0;
  for (std::int64_t i = 0; i < test.rows; ++i) {
    right += train_labels[nearest.index[i]] == test_labels[i];
  }
  return right / static_cast<double>(test.rows);
}

}  // namespace hourglass::oracle
