// Points in the order of a Morton curve, for the tree and for locality.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cpu/thread_pool.hpp"

namespace hourglass::cpu {

/// The box of the rows of y (N x 2 or N x 3, N >= 1), and whether all are finite; where not, the
/// box means nothing.
struct FoundBounds {
  MapBounds bounds;
  bool finite = true;
};
FoundBounds find_bounds(ThreadPool& pool, ConstMat y);

/// Sorts the rows of y by morton_code within `bounds`, equal codes by index. keys, on return: the
/// code above, the index in the lower 32 bits. `spare` is workspace. y must be finite.
void morton_sort(ConstMat y, const MapBounds& bounds, std::vector<std::uint64_t>& keys,
                 std::vector<std::uint64_t>& spare);

[[nodiscard]] inline std::uint32_t code_of(std::uint64_t key) {
  return static_cast<std::uint32_t>(key >> 32);
}
[[nodiscard]] inline std::int64_t index_of(std::uint64_t key) {
  return static_cast<std::int64_t>(key & 0xffffffffu);
}

}  // namespace hourglass::cpu
