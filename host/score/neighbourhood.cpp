// How much of the neighbourhoods of the data a map keeps.
#include <algorithm>

#include "host/score/common.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/scores.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

Buffer<std::int32_t> neighbours_of(Backend& backend, ConstMat x, std::int64_t k) {
  Buffer<std::int32_t> index(backend, x.rows * k);
  Buffer<float> distance(backend, x.rows * k);
  backend.nearest_neighbours(x, x, true, index.matrix(x.rows, k), distance.matrix(x.rows, k));
  return index;
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
  Buffer<std::int32_t> rank(backend, n * k);
  backend.neighbour_ranks(rows.matrix(n, x.columns), index.matrix(n, k), rank.matrix(n, k));
  std::int64_t excess = 0;
  for (const std::int32_t r : rank.download())
    excess += std::max<std::int64_t>(0, r - k);
  const double scale =
      static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(2 * n - 3 * k - 1);
  return 1.0 - 2.0 * static_cast<double>(excess) / scale;
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
  std::vector<std::int32_t> near = neighbours_of(backend, rows.matrix(n, x.columns), k).download();
  std::vector<std::int32_t> near_in_map =
      neighbours_of(backend, map_rows.matrix(n, map.columns), k).download();
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto a = near.begin() + i * k;
    const auto b = near_in_map.begin() + i * k;
    std::sort(a, a + k);
    std::sort(b, b + k);
    for (auto p = a, q = b; p != a + k && q != b + k;) {
      if (*p == *q) ++kept;
      const bool advance_p = *p <= *q;
      const bool advance_q = *q <= *p;
      p += advance_p;
      q += advance_q;
    }
  }
  return static_cast<double>(kept) / static_cast<double>(n * k);
}

}  // namespace hourglass
