// radix_sort: 64-bit keys by their upper 32 bits, equal ones in the order in which they stood; four
// passes of eight bits, the lowest first (least significant digit; Knuth, vol. 3, 5.2.5).
//
// Shapes: keys N, the lower half of each whatever it stands for. Bytes: 24 N a pass, 96 N in all,
// and 2 kB a pass and 2,048 keys for the counts. FLOP: none. Bound by bandwidth; for 10,000 keys by
// its 20 launches. Launch: a block of 256 threads has 2,048 keys in each pass. It counts its digits
// (integer atomics in shared memory); a scan of the counts, digit by digit and in each block by
// block, gives the place of each block's first key of a digit; then the block goes through its keys
// again, 256 at a time, and a key's place follows from the lanes of its warp that have the same
// digit (by ballots, one a bit) and the counts of the warps before. So the order in which atomics
// happen leaves no trace.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/radix_sort.hpp"
#include "kernels/cuda/scan.hpp"

namespace hourglass::cuda {
namespace {

constexpr int digit_bits = 8;
constexpr int digits = 1 << digit_bits;
constexpr int first_bit = 32;
constexpr int last_bit = 64;
constexpr int radix_threads = 256;
constexpr int radix_warps = radix_threads / warp_size;
static_assert(radix_threads == digits, "a thread counts a digit");
constexpr std::int64_t block_keys = round_limit(2048, 512);

__device__ __forceinline__ int digit_of(std::uint64_t key, int shift) {
  return static_cast<int>((key >> shift) & (digits - 1));
}

/// counts[digit blocks + block].
__global__ void __launch_bounds__(radix_threads)
    digit_count_kernel(const std::uint64_t* __restrict__ keys, std::int64_t size, int shift,
                       int* __restrict__ counts) {
  __shared__ int count[digits];
  const int thread = static_cast<int>(threadIdx.x);
  count[thread] = 0;
  __syncthreads();
  const std::int64_t first = std::int64_t{blockIdx.x} * block_keys;
  const std::int64_t end = first + block_keys < size ? first + block_keys : size;
  for (std::int64_t at = first + thread; at < end; at += radix_threads)
    atomicAdd(&count[digit_of(keys[at], shift)], 1);
  __syncthreads();
  counts[std::int64_t{thread} * gridDim.x + blockIdx.x] = count[thread];
}

__global__ void __launch_bounds__(radix_threads)
    digit_scatter_kernel(const std::uint64_t* __restrict__ keys, std::int64_t size, int shift,
                         const std::int64_t* __restrict__ offsets,
                         std::uint64_t* __restrict__ sorted) {
  // Of each digit: keys in each warp, then the places of its first in each.
  __shared__ int warp_counts[radix_warps][digits];
  __shared__ std::int64_t warp_places[radix_warps][digits];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % warp_size;
  const int warp = thread / warp_size;
  const unsigned lanes_before = (1u << lane) - 1u;
  std::int64_t next = offsets[std::int64_t{thread} * gridDim.x + blockIdx.x];  // of digit `thread`
  const std::int64_t first = std::int64_t{blockIdx.x} * block_keys;
  const std::int64_t end = first + block_keys < size ? first + block_keys : size;
#pragma unroll 1
  for (std::int64_t round = first; round < end; round += radix_threads) {
#pragma unroll
    for (int w = 0; w < radix_warps; ++w)
      warp_counts[w][thread] = 0;
    __syncthreads();
    const std::int64_t at = round + thread;
    const bool holds = at < end;
    const std::uint64_t key = holds ? keys[at] : 0;
    const int digit = digit_of(key, shift);
    unsigned same = __ballot_sync(full_mask, holds);
#pragma unroll
    for (int bit = 0; bit < digit_bits; ++bit) {
      const bool set = (digit >> bit & 1) != 0;
      const unsigned with = __ballot_sync(full_mask, set);
      same &= set ? with : ~with;
    }
    const int rank = __popc(same & lanes_before);
    if (holds && rank == 0) warp_counts[warp][digit] = __popc(same);
    __syncthreads();
#pragma unroll
    for (int w = 0; w < radix_warps; ++w) {
      warp_places[w][thread] = next;
      next += warp_counts[w][thread];
    }
    __syncthreads();
    if (holds) sorted[warp_places[warp][digit] + rank] = key;
  }
}

}  // namespace

RadixWorkspace radix_workspace(std::int64_t size) {
  const std::int64_t counts = digits * ceil_div(size, block_keys);
  return {counts, counts + 1, scan_workspace(counts)};
}

void radix_sort(cudaStream_t stream, std::uint64_t* keys, std::uint64_t* other, std::int64_t size,
                int* counts, std::int64_t* offsets, std::int64_t* scan) {
  static_assert((last_bit - first_bit) / digit_bits % 2 == 0, "the last pass ends in `keys`");
  if (size == 0) return;
  const LaunchShape shape{.grid = static_cast<unsigned>(ceil_div(size, block_keys)),
                          .block = radix_threads};
  for (int shift = first_bit; shift < last_bit; shift += digit_bits) {
    launch("digit_count_kernel", digit_count_kernel, shape, stream, keys, size, shift, counts);
    exclusive_scan(stream, counts, radix_workspace(size).counts, offsets, scan);
    launch("digit_scatter_kernel", digit_scatter_kernel, shape, stream, keys, size, shift, offsets,
           other);
    std::swap(keys, other);
  }
}

}  // namespace hourglass::cuda
