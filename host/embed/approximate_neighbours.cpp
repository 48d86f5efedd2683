#include "host/embed/approximate_neighbours.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "host/train/permutation.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

constexpr int refinements = 4;  // of the centroids

/// rows order[begin .. end) of x, one after another on the device at `to`.
void upload_rows(Backend& backend, const Matrix& x, std::span<const std::int32_t> order,
                 float* to) {
  const std::int64_t block = std::max<std::int64_t>((std::int64_t{1} << 20) / x.columns, 1);
  std::vector<float> values;
  for (std::size_t first = 0; first < order.size(); first += static_cast<std::size_t>(block)) {
    const auto part =
        order.subspan(first, std::min(static_cast<std::size_t>(block), order.size() - first));
    values.clear();
    for (const std::int32_t row : part)
      values.insert(values.end(), x.row(row).begin(), x.row(row).end());
    backend.upload(to + static_cast<std::int64_t>(first) * x.columns, values.data(),
                   values.size() * sizeof(float));
  }
}

/// nearest[i] = the centroid that row i lies next to.
std::vector<std::int32_t> nearest_centroids(Backend& backend, ConstMat rows,
                                            const Matrix& centroids) {
  const Buffer<float> device(backend, std::span<const float>(centroids.values));
  Buffer<std::int32_t> index(backend, rows.rows);
  Buffer<float> distance(backend, rows.rows);
  backend.nearest_neighbours(rows, device.matrix(centroids.rows, centroids.columns), false,
                             index.matrix(rows.rows, 1), distance.matrix(rows.rows, 1));
  return index.download();
}

/// The mean of each cluster's rows; that of an empty one stays.
void move_centroids(const Matrix& x, const std::vector<std::int32_t>& cluster, Matrix& centroids) {
  std::vector<double> sums(centroids.values.size(), 0.0);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(centroids.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const auto c = static_cast<std::size_t>(cluster[static_cast<std::size_t>(i)]);
    ++sizes[c];
    double* sum = sums.data() + static_cast<std::int64_t>(c) * x.columns;
    const std::span<const float> row = x.row(i);
    for (std::size_t d = 0; d < row.size(); ++d)
      sum[d] += static_cast<double>(row[d]);
  }
  for (std::int64_t c = 0; c < centroids.rows; ++c) {
    const auto size = static_cast<double>(sizes[static_cast<std::size_t>(c)]);
    for (std::int64_t d = 0; size > 0 && d < x.columns; ++d) {
      centroids(c, d) =
          static_cast<float>(sums[static_cast<std::size_t>(c * x.columns + d)] / size);
    }
  }
}

/// The rows in the order of their clusters.
struct Clusters {
  std::vector<std::int32_t> of_row;  ///< N
  std::vector<std::int32_t> order;   ///< N rows; those of a cluster one after another, ascending
  std::vector<std::int64_t> first;   ///< C + 1: where each cluster begins
  /// C x C: the clusters by the distance of their centroids; each is the first of its own.
  std::vector<std::int32_t> nearest;

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(first.size()) - 1; }
  [[nodiscard]] std::int64_t size(std::int64_t cluster) const {
    return first[static_cast<std::size_t>(cluster) + 1] - first[static_cast<std::size_t>(cluster)];
  }
};

Clusters make_clusters(Backend& backend, const Matrix& x,
                       const std::vector<std::int32_t>& shuffled) {
  const std::int64_t n = x.rows;
  const std::int64_t count = approximate_clusters(n);
  Clusters clusters;
  Matrix centroids(count, x.columns);
  for (std::int64_t c = 0; c < count; ++c) {
    const std::span<const float> row = x.row(shuffled[static_cast<std::size_t>(c)]);
    std::copy(row.begin(), row.end(), centroids.row(c).begin());
  }
  {
    const Buffer<float> rows(backend, std::span<const float>(x.values));
    clusters.of_row = nearest_centroids(backend, rows.matrix(n, x.columns), centroids);
    for (int turn = 0; turn < refinements; ++turn) {
      move_centroids(x, clusters.of_row, centroids);
      clusters.of_row = nearest_centroids(backend, rows.matrix(n, x.columns), centroids);
    }
  }
  clusters.first.assign(static_cast<std::size_t>(count) + 1, 0);
  for (const std::int32_t cluster : clusters.of_row)
    ++clusters.first[static_cast<std::size_t>(cluster) + 1];
  std::partial_sum(clusters.first.begin(), clusters.first.end(), clusters.first.begin());
  std::vector<std::int64_t> next = clusters.first;
  clusters.order.resize(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto cluster = static_cast<std::size_t>(clusters.of_row[static_cast<std::size_t>(i)]);
    clusters.order[static_cast<std::size_t>(next[cluster]++)] = static_cast<std::int32_t>(i);
  }

  const Buffer<float> device(backend, std::span<const float>(centroids.values));
  Buffer<std::int32_t> index(backend, count * count);
  Buffer<float> distance(backend, count * count);
  const ConstMat view = device.matrix(count, x.columns);
  backend.nearest_neighbours(view, view, false, index.matrix(count, count),
                             distance.matrix(count, count));
  clusters.nearest = index.download();
  for (std::int64_t c = 0; c < count; ++c) {  // of equal centroids another may be first
    const auto row = clusters.nearest.begin() + c * count;
    std::rotate(row, std::find(row, row + count, static_cast<std::int32_t>(c)),
                std::find(row, row + count, static_cast<std::int32_t>(c)) + 1);
  }
  return clusters;
}

/// The lists of some rows without the rows themselves, of k + 1 found each: where a row is not in
/// its own list, k + 1 equal ones are, of which the last is left out.
template <class Take>
void without_themselves(std::span<const std::int32_t> found, std::span<const float> distances,
                        std::span<const std::int32_t> rows, std::int64_t k, Take&& take) {
  for (std::size_t q = 0; q < rows.size(); ++q) {
    std::int64_t taken = 0;
    for (std::int64_t a = 0; taken < k; ++a) {
      const std::size_t at = q * static_cast<std::size_t>(k + 1) + static_cast<std::size_t>(a);
      if (found[at] == rows[q]) continue;
      take(q, taken++, found[at], distances[at]);
    }
  }
}

/// How many rows of the nearest clusters must be looked at so that of the exact neighbours of the
/// sample the wanted share is among them, and the share that then is.
std::pair<std::int64_t, double> rows_to_search(Backend& backend, const Matrix& x, ConstMat sorted,
                                               const Clusters& clusters,
                                               std::span<const std::int32_t> sample, std::int64_t k,
                                               double wanted) {
  const auto count = static_cast<std::int64_t>(sample.size());
  Buffer<float> queries(backend, count * x.columns);
  upload_rows(backend, x, sample, queries.data());
  Buffer<std::int32_t> index(backend, count * (k + 1));
  Buffer<float> distance(backend, count * (k + 1));
  backend.nearest_neighbours(std::as_const(queries).matrix(count, x.columns), sorted, false,
                             index.matrix(count, k + 1), distance.matrix(count, k + 1));
  std::vector<std::int32_t> found = index.download();
  for (std::int32_t& place : found)
    place = clusters.order[static_cast<std::size_t>(place)];

  // Of each neighbour the rows of all clusters before its own, and of that.
  std::vector<std::int64_t> needed;
  needed.reserve(static_cast<std::size_t>(count * k));
  std::vector<std::int64_t> rows_until(static_cast<std::size_t>(clusters.count()));
  std::size_t current = sample.size();
  without_themselves(
      found, distance.download(), sample, k,
      [&](std::size_t q, std::int64_t, std::int32_t other, float) {
        if (q != current) {
          current = q;
          const std::int64_t own = clusters.of_row[static_cast<std::size_t>(sample[q])];
          std::int64_t rows = 0;
          for (std::int64_t c = 0; c < clusters.count(); ++c) {
            const std::int32_t cluster =
                clusters.nearest[static_cast<std::size_t>(own * clusters.count() + c)];
            rows += clusters.size(cluster);
            rows_until[static_cast<std::size_t>(cluster)] = rows;
          }
        }
        needed.push_back(
            rows_until[static_cast<std::size_t>(clusters.of_row[static_cast<std::size_t>(other)])]);
      });
  const auto place = static_cast<std::ptrdiff_t>(
      std::clamp(std::ceil(wanted * static_cast<double>(needed.size())) - 1.0, 0.0,
                 static_cast<double>(needed.size() - 1)));
  std::nth_element(needed.begin(), needed.begin() + place, needed.end());
  const std::int64_t rows = needed[static_cast<std::size_t>(place)];
  const auto reached =
      std::count_if(needed.begin(), needed.end(), [&](std::int64_t n) { return n <= rows; });
  return {rows, static_cast<double>(reached) / static_cast<double>(needed.size())};
}

}  // namespace

std::int64_t approximate_clusters(std::int64_t rows) {
  const auto root = static_cast<std::int64_t>(std::sqrt(static_cast<double>(rows)));
  return std::clamp<std::int64_t>(root, 1, 4096);
}

ApproximateNeighbours approximate_neighbours(Backend& backend, const Matrix& x, std::int64_t k,
                                             const ApproximateOptions& options) {
  const std::int64_t n = x.rows;
  const std::int64_t columns = x.columns;
  std::vector<std::int32_t> shuffled;
  {
    Shuffle shuffle(n);
    shuffle.permute(options.seed, 0);
    shuffled.assign(shuffle.order().begin(), shuffle.order().end());
  }
  const Clusters clusters = make_clusters(backend, x, shuffled);
  ApproximateNeighbours result;
  result.clusters = clusters.count();

  Buffer<float> rows(backend, n * columns);
  upload_rows(backend, x, clusters.order, rows.data());
  const ConstMat sorted = std::as_const(rows).matrix(n, columns);
  // Those that became centroids lie in the middle of clusters: the sample is taken from the end.
  const std::int64_t samples = std::min(n, approximate_sample_rows);
  const auto [wanted_rows, recall] = rows_to_search(
      backend, x, sorted, clusters, std::span(shuffled).last(static_cast<std::size_t>(samples)), k,
      options.wanted_recall);
  result.recall = recall;
  shuffled = {};

  result.index.resize(static_cast<std::size_t>(n * k));
  result.squared_distance.resize(result.index.size());
  Buffer<float> references;
  Buffer<std::int32_t> index;
  Buffer<float> distance;
  std::vector<std::int32_t> ids;
  std::vector<std::pair<float, std::int32_t>> list(static_cast<std::size_t>(k));
  double compared = 0;
  for (std::int64_t c = 0; c < clusters.count(); ++c) {
    const std::int64_t queries = clusters.size(c);
    if (queries == 0) continue;
    const std::int64_t first = clusters.first[static_cast<std::size_t>(c)];
    // Clusters while they begin before the rows that were wanted, as they were counted.
    std::int64_t count = 0;
    std::vector<std::int32_t> taken;
    for (std::int64_t a = 0; a < clusters.count(); ++a) {
      const std::int32_t other =
          clusters.nearest[static_cast<std::size_t>(c * clusters.count() + a)];
      if (a > 0 && count + clusters.size(other) > wanted_rows && count > k) break;
      if (clusters.size(other) == 0) continue;
      taken.push_back(other);
      count += clusters.size(other);
    }
    if (references.size() < count * columns) {
      references = {};
      references = Buffer<float>(backend, std::min(count + count / 4, n) * columns);
    }
    if (index.size() < queries * (k + 1)) {
      index = {};
      distance = {};
      index = Buffer<std::int32_t>(backend, queries * (k + 1));
      distance = Buffer<float>(backend, queries * (k + 1));
    }
    ids.clear();
    for (const std::int32_t other : taken) {
      const std::int64_t from = clusters.first[static_cast<std::size_t>(other)];
      const std::int64_t size = clusters.size(other);
      backend.copy(references.data() + static_cast<std::int64_t>(ids.size()) * columns,
                   sorted.data + from * columns,
                   static_cast<std::size_t>(size * columns) * sizeof(float));
      ids.insert(ids.end(), clusters.order.begin() + from, clusters.order.begin() + from + size);
    }
    backend.nearest_neighbours({sorted.data + first * columns, queries, columns},
                               std::as_const(references).matrix(count, columns), false,
                               index.matrix(queries, k + 1), distance.matrix(queries, k + 1));
    compared += static_cast<double>(queries) * static_cast<double>(count);

    std::vector<std::int32_t> found = index.download(queries * (k + 1));
    for (std::int32_t& place : found)
      place = ids[static_cast<std::size_t>(place)];
    const auto own =
        std::span(clusters.order)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(queries));
    without_themselves(found, distance.download(queries * (k + 1)), own, k,
                       [&](std::size_t q, std::int64_t a, std::int32_t other, float apart) {
                         list[static_cast<std::size_t>(a)] = {apart, other};
                         if (a + 1 < k) return;
                         std::sort(list.begin(),
                                   list.end());  // of equal distances they came by their clusters
                         for (std::int64_t at = own[q] * k; const auto& [value, neighbour] : list) {
                           result.squared_distance[static_cast<std::size_t>(at)] = value;
                           result.index[static_cast<std::size_t>(at++)] = neighbour;
                         }
                       });
  }
  result.searched_rows = compared / static_cast<double>(n);
  return result;
}

}  // namespace hourglass
