// Sorting by one block, in shared or in global memory.
#pragma once

#include <cstdint>

namespace hourglass::cuda {

/// Sorts keys[0 .. size), size < 2^30, ascending by all `threads` threads of the block; ends with a
/// barrier.
///
/// Bitonic sort (Batcher 1968) in the form whose comparators all point the same way: the first step
/// of each merge compares mirrored places, the others places a stride apart. A size that is no
/// power of two is then the same as one filled up with keys that are greater than all, which no
/// comparator would move, so comparators beyond the end are left out. log2(size)^2 / 2 steps, each
/// a barrier.
template <int threads>
__device__ __forceinline__ void block_sort(std::uint64_t* keys, int size) {
  const auto order = [&](int low, int high) {
    if (high >= size) return;
    const std::uint64_t a = keys[low];
    const std::uint64_t b = keys[high];
    if (a > b) {
      keys[low] = b;
      keys[high] = a;
    }
  };
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.x);
  for (int log_run = 1; (1 << (log_run - 1)) < size; ++log_run) {
    // Sorted runs of 2^(log_run - 1) become runs of 2^log_run.
    const int run = 1 << log_run;
    const int pairs = (size + run - 1) / run * (run / 2);
    for (int pair = thread; pair < pairs; pair += threads) {
      const int start = (pair >> (log_run - 1)) << log_run;
      const int place = pair & (run / 2 - 1);
      order(start + place, start + run - 1 - place);
    }
    __syncthreads();
    for (int log_stride = log_run - 2; log_stride >= 0; --log_stride) {
      const int stride = 1 << log_stride;
      for (int pair = thread; pair < pairs; pair += threads) {
        const int low = ((pair >> log_stride) << (log_stride + 1)) | (pair & (stride - 1));
        order(low, low + stride);
      }
      __syncthreads();
    }
  }
}

}  // namespace hourglass::cuda
