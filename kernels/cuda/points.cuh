// Points of a map: rows of two or three coordinates. Of two they are read as one 64-bit word where
// the map is aligned to that; rows of three are 12 bytes and no word, but a warp still reads whole
// lines of them.
#pragma once

#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {

template <int dimensions>
struct alignas(dimensions == 2 ? 8 : 4) Point {
  static_assert(dimensions == 2 || dimensions == 3);
  float value[dimensions];
};

/// `pairs`: the map is of two dimensions and aligned to 8 bytes.
template <int dimensions>
__device__ __forceinline__ Point<dimensions> load_point(const float* map, std::int64_t i,
                                                        [[maybe_unused]] bool pairs) {
  if constexpr (dimensions == 2) {
    if (pairs) return *reinterpret_cast<const Point<2>*>(map + 2 * i);
  }
  Point<dimensions> point;
#pragma unroll
  for (int c = 0; c < dimensions; ++c)
    point.value[c] = map[dimensions * i + c];
  return point;
}

template <int dimensions>
__device__ __forceinline__ void store_point(float* map, std::int64_t i, [[maybe_unused]] bool pairs,
                                            const Point<dimensions>& point) {
  if constexpr (dimensions == 2) {
    if (pairs) {
      *reinterpret_cast<Point<2>*>(map + 2 * i) = point;
      return;
    }
  }
#pragma unroll
  for (int c = 0; c < dimensions; ++c)
    map[dimensions * i + c] = point.value[c];
}

template <class... Pointers>
bool points_in_pairs(const Pointers*... maps) {
  return (aligned_to(8, maps) && ...);
}

inline bool map_dimensions(std::int64_t columns) {
  return columns == 2 || columns == 3;
}

}  // namespace hourglass::cuda
