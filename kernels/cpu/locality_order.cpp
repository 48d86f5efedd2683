// locality_order: the points along a Morton curve through the map's box.
//
// A radix sort of 64-bit keys, the code above the index: three passes of 11 bits over the code, 16
// bytes read and written a point in each; the sort is stable, so equal codes stay in order.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/morton_sort.hpp"
#include "kernels/math.hpp"

namespace hourglass::cpu {

FoundBounds find_bounds(ThreadPool& pool, ConstMat y) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto dims = static_cast<std::size_t>(y.columns);
  FoundBounds none;
  none.bounds.low.fill(infinity);
  none.bounds.high.fill(-infinity);
  std::vector<FoundBounds> parts(static_cast<std::size_t>(pool.threads()), none);
  pool.for_ranges(y.rows, 1024, 16384, [&](std::int64_t begin, std::int64_t end, int part) {
    FoundBounds found = none;
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::size_t c = 0; c < dims; ++c) {
        const float v = y.data[i * y.columns + static_cast<std::int64_t>(c)];
        found.finite &= std::isfinite(v);
        found.bounds.low[c] = std::min(found.bounds.low[c], v);
        found.bounds.high[c] = std::max(found.bounds.high[c], v);
      }
    }
    parts[static_cast<std::size_t>(part)] = found;
  });
  FoundBounds all = none;
  for (const FoundBounds& part : parts) {
    all.finite &= part.finite;
    for (std::size_t c = 0; c < dims; ++c) {
      all.bounds.low[c] = std::min(all.bounds.low[c], part.bounds.low[c]);
      all.bounds.high[c] = std::max(all.bounds.high[c], part.bounds.high[c]);
    }
  }
  for (std::size_t c = dims; c < 3; ++c)
    all.bounds.low[c] = all.bounds.high[c] = 0.0f;
  return all;
}

void morton_sort(ConstMat y, const MapBounds& bounds, std::vector<std::uint64_t>& keys,
                 std::vector<std::uint64_t>& spare) {
  const auto size = static_cast<std::size_t>(y.rows);
  keys.resize(size);
  spare.resize(size);
  const int cells = (1 << morton_bits(static_cast<int>(y.columns))) - 1;
  const float factor = static_cast<float>(cells) / std::max(bounds.span(), 1e-30f);
  const auto cell = [&](std::int64_t i, std::int64_t c) {
    return morton_cell(y.data[i * y.columns + c], bounds.low[static_cast<std::size_t>(c)], factor);
  };
  for (std::int64_t i = 0; i < y.rows; ++i) {
    const std::uint64_t code = y.columns == 2 ? morton_code(cell(i, 0), cell(i, 1))
                                              : morton_code(cell(i, 0), cell(i, 1), cell(i, 2));
    keys[static_cast<std::size_t>(i)] = (code << 32) | static_cast<std::uint64_t>(i);
  }
  constexpr int digit_bits = 11;
  constexpr std::uint64_t digits = std::uint64_t{1} << digit_bits;
  for (int shift = 32; shift < 64; shift += digit_bits) {
    std::array<std::size_t, digits + 1> begin{};
    for (const std::uint64_t key : keys)
      ++begin[((key >> shift) & (digits - 1)) + 1];
    for (std::size_t digit = 1; digit < begin.size(); ++digit)
      begin[digit] += begin[digit - 1];
    for (const std::uint64_t key : keys)
      spare[begin[(key >> shift) & (digits - 1)]++] = key;
    keys.swap(spare);
  }
}

void CpuBackend::locality_order(ConstMat y, std::span<std::int32_t> order) {
  require((y.columns == 2 || y.columns == 3) && static_cast<std::int64_t>(order.size()) == y.rows,
          "locality_order", "a place for every point of a map of two or three dimensions");
  if (y.rows == 0) return;
  const FoundBounds found = find_bounds(pool_, y);
  if (!found.finite) {  // no order is better than another
    for (std::size_t s = 0; s < order.size(); ++s)
      order[s] = static_cast<std::int32_t>(s);
    return;
  }
  std::vector<std::uint64_t> keys, spare;
  morton_sort(y, found.bounds, keys, spare);
  for (std::size_t s = 0; s < order.size(); ++s)
    order[s] = static_cast<std::int32_t>(index_of(keys[s]));
}

}  // namespace hourglass::cpu
