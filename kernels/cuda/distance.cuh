// The distance by which neighbours are ordered, and the order itself.
//
// Every decision about who is nearer is made by one number: the squared Euclidean distance by
// differences, summed in float64 in the order of the columns and rounded to float32 once. It is the
// correctly rounded distance for all that float64 can tell apart, symmetric, and the same in every
// kernel, so neighbours and ranks agree without exception.
#pragma once

#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {

/// |a - b|^2 as above. `quads`: both rows may be read four elements at a time.
__device__ __forceinline__ float exact_squared_distance(const float* __restrict__ a,
                                                        const float* __restrict__ b,
                                                        std::int64_t columns, bool quads) {
  double sum = 0.0;
  if (quads) {
    for (std::int64_t d = 0; d < columns; d += 4) {
      const Pack<float, 4> p = load_pack<4>(a + d);
      const Pack<float, 4> q = load_pack<4>(b + d);
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        const double difference = static_cast<double>(p.value[v]) - static_cast<double>(q.value[v]);
        sum = fma(difference, difference, sum);
      }
    }
  } else {
    for (std::int64_t d = 0; d < columns; ++d) {
      const double difference = static_cast<double>(a[d]) - static_cast<double>(b[d]);
      sum = fma(difference, difference, sum);
    }
  }
  return static_cast<float>(sum);
}

/// Greater than the key of any candidate.
inline constexpr std::uint64_t no_key = ~std::uint64_t{0};

/// A key whose order as an integer is the order by distance, then by index. NaN comes after
/// infinity.
__device__ __forceinline__ std::uint64_t order_key(float distance, std::int32_t index) {
  const auto bits = static_cast<std::uint32_t>(__float_as_int(distance));
  std::uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  if (distance != distance) ordered = 0xffffffffu;
  return (std::uint64_t{ordered} << 32) | static_cast<std::uint32_t>(index);
}

__device__ __forceinline__ float distance_of(std::uint64_t key) {
  const auto ordered = static_cast<std::uint32_t>(key >> 32);
  const std::uint32_t bits = (ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered;
  return __int_as_float(static_cast<int>(bits));
}

__device__ __forceinline__ std::int32_t index_of(std::uint64_t key) {
  return static_cast<std::int32_t>(key & 0xffffffffu);
}

}  // namespace hourglass::cuda
