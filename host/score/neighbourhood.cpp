// How much of the neighbourhoods of the data a map keeps.
#include "host/score/neighbourhood.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "host/score/common.hpp"
#include "host/score/rank_table.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/scores.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

constexpr int trusted = 12;  ///< neighbours of the trustworthiness in neighbourhood_figures()

Buffer<std::int32_t> neighbours_of(Backend& backend, ConstMat x, std::int64_t k) {
  Buffer<std::int32_t> index(backend, x.rows * k);
  Buffer<float> distance(backend, x.rows * k);
  backend.nearest_neighbours(x, x, true, index.matrix(x.rows, k), distance.matrix(x.rows, k));
  return index;
}

/// From the sum over the map's neighbours of what their ranks in x exceed k by.
double trustworthiness_of(std::int64_t excess, std::int64_t n, std::int64_t k) {
  const double scale =
      static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(2 * n - 3 * k - 1);
  return 1.0 - 2.0 * static_cast<double>(excess) / scale;
}

/// The sum over the listed neighbours, k a row, of what their ranks in x exceed k by.
std::int64_t excess_of_ranks(Backend& backend, ConstMat x, const Buffer<std::int32_t>& neighbours,
                             std::int64_t k) {
  Buffer<std::int32_t> rank(backend, x.rows * k);
  backend.neighbour_ranks(x, neighbours.matrix(x.rows, k), rank.matrix(x.rows, k));
  std::int64_t excess = 0;
  for (const std::int32_t r : rank.download())
    excess += std::max<std::int64_t>(0, r - k);
  return excess;
}

/// Of lists of `length` neighbours the first `count` of each.
std::vector<std::int32_t> first_of(const std::vector<std::int32_t>& lists, std::int64_t length,
                                   std::int64_t count) {
  std::vector<std::int32_t> first;
  first.reserve(lists.size() / static_cast<std::size_t>(length) * static_cast<std::size_t>(count));
  for (auto list = lists.begin(); list != lists.end(); list += length)
    first.insert(first.end(), list, list + count);
  return first;
}

/// The share of every list of k in `a` that are in the list of `b` for the same row.
double share_kept(std::vector<std::int32_t> a, std::vector<std::int32_t> b, std::int64_t k) {
  std::int64_t kept = 0;
  for (auto p = a.begin(), q = b.begin(); p != a.end();) {
    const auto p_end = p + k, q_end = q + k;
    std::sort(p, p_end);
    std::sort(q, q_end);
    while (p != p_end && q != q_end) {
      if (*p == *q) ++kept;
      const bool advance_p = *p <= *q;
      const bool advance_q = *q <= *p;
      p += advance_p;
      q += advance_q;
    }
    p = p_end;
    q = q_end;
  }
  return static_cast<double>(kept) / static_cast<double>(a.size());
}

}  // namespace

double trustworthiness(Device& device, const Matrix& x, const Matrix& map, int neighbours) {
  check_same_rows("trustworthiness", x, map);
  check_trustworthiness(x.rows, neighbours);
  trustworthiness_memory(device.info(), x, map, neighbours).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "trustworthiness");
  const std::int64_t n = x.rows;
  const std::int64_t k = neighbours;
  const Buffer<float> map_rows(backend, std::span<const float>(map.values));
  const Buffer<float> rows(backend, std::span<const float>(x.values));
  const Buffer<std::int32_t> index = neighbours_of(backend, map_rows.matrix(n, map.columns), k);
  return trustworthiness_of(excess_of_ranks(backend, rows.matrix(n, x.columns), index, k), n, k);
}

RankTable::RankTable(Device& device, const Matrix& x) : rows_(x.rows) {
  check_rows("ranks", x, 2);
  if (rows_ > most_rows)
    throw UsageError(fmt::format("ranks: {} rows; at most {} fit a table", rows_, most_rows));
  Backend& backend = device.backend();
  const Range range(backend, "ranks");
  const Buffer<float> rows(backend, std::span<const float>(x.values));
  const std::vector<std::int32_t> order =
      neighbours_of(backend, rows.matrix(rows_, x.columns), rows_ - 1).download();
  rank_.resize(static_cast<std::size_t>(rows_ * rows_));
  const std::int32_t* next = order.data();
  for (std::int64_t i = 0; i < rows_; ++i) {
    std::uint16_t* rank = rank_.data() + i * rows_;
    for (std::int64_t place = 1; place < rows_; ++place)
      rank[*next++] = static_cast<std::uint16_t>(place);
  }
}

double RankTable::trustworthiness(Device& device, const Matrix& map, int neighbours) const {
  if (map.rows != rows_) {
    throw UsageError(
        fmt::format("trustworthiness: {} rows of data, {} rows of a map", rows_, map.rows));
  }
  check_trustworthiness(rows_, neighbours);
  Backend& backend = device.backend();
  const Range range(backend, "trustworthiness");
  const std::int64_t k = neighbours;
  const Buffer<float> map_rows(backend, std::span<const float>(map.values));
  const std::vector<std::int32_t> near =
      neighbours_of(backend, map_rows.matrix(rows_, map.columns), k).download();
  std::int64_t excess = 0;
  for (std::int64_t i = 0; i < rows_; ++i) {
    const std::uint16_t* rank = rank_.data() + i * rows_;
    for (std::int64_t a = i * k; a < (i + 1) * k; ++a)
      excess += std::max<std::int64_t>(0, rank[near[static_cast<std::size_t>(a)]] - k);
  }
  return trustworthiness_of(excess, rows_, k);
}

double neighbour_preservation(Device& device, const Matrix& x, const Matrix& map, int neighbours) {
  check_same_rows("neighbour preservation", x, map);
  check_preservation(x.rows, neighbours);
  neighbour_preservation_memory(device.info(), x, map, neighbours).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "neighbour preservation");
  const std::int64_t n = x.rows;
  const std::int64_t k = neighbours;
  const Buffer<float> rows(backend, std::span<const float>(x.values));
  const Buffer<float> map_rows(backend, std::span<const float>(map.values));
  auto near = neighbours_of(backend, rows.matrix(n, x.columns), k).download();
  auto near_in_map = neighbours_of(backend, map_rows.matrix(n, map.columns), k).download();
  return share_kept(std::move(near), std::move(near_in_map), k);
}

MapFigures neighbourhood_figures(Device& device, const Matrix& x, const Matrix& map) {
  check_same_rows("neighbourhood figures", x, map);
  const std::int64_t n = x.rows;
  MapFigures figures;
  figures.sample = n;
  const std::int64_t k = std::min<std::int64_t>(30, n - 1);
  if (k < 1) return figures;
  neighbour_preservation_memory(device.info(), x, map, static_cast<int>(k)).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "neighbourhood figures");
  const Buffer<float> rows(backend, std::span<const float>(x.values));
  const Buffer<float> map_rows(backend, std::span<const float>(map.values));
  auto near = neighbours_of(backend, rows.matrix(n, x.columns), k).download();
  auto near_in_map = neighbours_of(backend, map_rows.matrix(n, map.columns), k).download();
  if (n > 2 * trusted) {
    trustworthiness_memory(device.info(), x, map, trusted).check(device);
    const Buffer<std::int32_t> listed(
        backend, std::span<const std::int32_t>(first_of(near_in_map, k, trusted)));
    figures.trustworthiness = trustworthiness_of(
        excess_of_ranks(backend, rows.matrix(n, x.columns), listed, trusted), n, trusted);
  }
  if (n > 10) {
    figures.neighbour_preservation_10 =
        share_kept(first_of(near, k, 10), first_of(near_in_map, k, 10), 10);
  }
  if (n > 30)
    figures.neighbour_preservation_30 = share_kept(std::move(near), std::move(near_in_map), 30);
  return figures;
}

}  // namespace hourglass
