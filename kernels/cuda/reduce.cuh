// Sums within a warp and a block. The order is fixed by the block's size, so equal inputs give
// equal bits.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace hourglass::cuda {

/// The sum over the warp's 32 lanes, in every lane: the butterfly adds the same pairs everywhere,
/// so all lanes agree in every bit.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int offset = warp_size / 2; offset > 0; offset >>= 1) {
    value += __shfl_xor_sync(full_mask, value, offset);
  }
  return value;
}

/// The sum over a block of `threads` (a multiple of 32) threads, in thread 0. All threads must call
/// it.
template <int threads, class T>
__device__ __forceinline__ T block_sum(T value) {
  static_assert(threads % warp_size == 0 && threads <= 1024);
  constexpr int warps = threads / warp_size;
  __shared__ T sums[warps];
  const int thread = static_cast<int>(threadIdx.x);
  value = warp_sum(value);
  if (thread % warp_size == 0) sums[thread / warp_size] = value;
  __syncthreads();
  if (thread == 0) {
#pragma unroll
    for (int warp = 1; warp < warps; ++warp) {
      value += sums[warp];
    }
  }
  __syncthreads();  // the sums may be overwritten by the next call
  return value;
}

/// The sum of the values of the threads before this one; *total: the sum of all, in every thread.
/// All threads of a block of `threads` must call it.
template <int threads, class T>
__device__ __forceinline__ T block_exclusive_sum(T value, T* total) {
  static_assert(threads % warp_size == 0 && threads <= 1024);
  constexpr int warps = threads / warp_size;
  __shared__ T sums[warps];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % warp_size;
  T inclusive = value;
#pragma unroll
  for (int offset = 1; offset < warp_size; offset <<= 1) {
    const T before = __shfl_up_sync(full_mask, inclusive, static_cast<unsigned>(offset));
    if (lane >= offset) inclusive += before;
  }
  if (lane == warp_size - 1) sums[thread / warp_size] = inclusive;
  __syncthreads();
  T base = 0;
  T all = 0;
#pragma unroll
  for (int warp = 0; warp < warps; ++warp) {
    if (warp < thread / warp_size) base += sums[warp];
    all += sums[warp];
  }
  __syncthreads();
  *total = all;
  return base + inclusive - value;
}

}  // namespace hourglass::cuda
