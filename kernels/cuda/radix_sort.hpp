// Sorting by the whole device.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace hourglass::cuda {

/// Elements of workspace that radix_sort() needs.
struct RadixWorkspace {
  std::int64_t counts = 0;   ///< int
  std::int64_t offsets = 0;  ///< int64
  std::int64_t scan = 0;     ///< int64
};
RadixWorkspace radix_workspace(std::int64_t size);

/// Sorts keys[0 .. size) ascending by their upper 32 bits; keys that agree in these stay in order.
/// `other` holds as many; what is in it is lost.
void radix_sort(cudaStream_t stream, std::uint64_t* keys, std::uint64_t* other, std::int64_t size,
                int* counts, std::int64_t* offsets, std::int64_t* scan);

}  // namespace hourglass::cuda
