// Points of a map: rows of two coordinates, read as one 64-bit word where the map is aligned to
// that.
#pragma once

#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {

using Point = Pack<float, 2>;  // value[0], value[1]

/// `pairs`: the map is aligned to 8 bytes.
__device__ __forceinline__ Point load_point(const float* map, std::int64_t i, bool pairs) {
  if (pairs) return load_pack<2>(map + 2 * i);
  return {{map[2 * i], map[2 * i + 1]}};
}

__device__ __forceinline__ void store_point(float* map, std::int64_t i, bool pairs,
                                            const Point& point) {
  if (pairs) {
    store_pack(map + 2 * i, point);
  } else {
    map[2 * i] = point.value[0];
    map[2 * i + 1] = point.value[1];
  }
}

template <class... Pointers>
bool points_in_pairs(const Pointers*... maps) {
  return (aligned_to(8, maps) && ...);
}

}  // namespace hourglass::cuda
