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

/// Whether this block is the last of `blocks` to come here; it then sees what the others wrote
/// before they did. All threads of each block must call it, once for a ticket in a launch.
__device__ __forceinline__ bool last_to_finish(unsigned* ticket, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();  // all threads of the block have written
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1u) == blocks - 1;
    if (last) *ticket = 0;  // for the next launch
    __threadfence();
  }
  __syncthreads();
  return last;
}

/// Adds up what thread 0 of each block of a launch brings, in the blocks' order: true in thread 0
/// of the last block to finish, whose value is then the sum, and false elsewhere. `totals` has a
/// place for each block. All `threads` threads of each must call it.
template <int threads>
__device__ __forceinline__ bool sum_over_blocks(double& value, double* totals, unsigned* ticket) {
  const unsigned blocks = gridDim.x * gridDim.y;
  if (threadIdx.x == 0) totals[blockIdx.y * gridDim.x + blockIdx.x] = value;
  if (!last_to_finish(ticket, blocks)) return false;
  double sum = 0.0;
#pragma unroll 1
  for (unsigned block = threadIdx.x; block < blocks; block += threads)
    sum += totals[block];
  value = block_sum<threads>(sum);
  return threadIdx.x == 0;
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
