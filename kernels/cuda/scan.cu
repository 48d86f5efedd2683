// exclusive_scan: offsets[i] = sum of the counts before i, 64-bit, and the total at the end.
//
// Shapes: counts N, offsets N + 1. Bytes: 8 N read, 8 N written; FLOP: none, 2 N integer additions.
// Launch: three kernels: the sum of each block of 2,048 counts; one
// block scans those sums; each block scans its counts from there.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/scan.hpp"

namespace hourglass::cuda {
namespace {

constexpr int scan_threads = 256;
constexpr int scan_rounds = 8;
constexpr std::int64_t scan_block = std::int64_t{scan_threads} * scan_rounds;
constexpr int base_threads = 1024;

__global__ void __launch_bounds__(scan_threads)
    block_total_kernel(const int* __restrict__ counts, std::int64_t size,
                       std::int64_t* __restrict__ totals) {
  const std::int64_t first = std::int64_t{blockIdx.x} * scan_block;
  std::int64_t sum = 0;
#pragma unroll
  for (int round = 0; round < scan_rounds; ++round) {
    const std::int64_t at = first + round * scan_threads + threadIdx.x;
    if (at < size) sum += counts[at];
  }
  sum = block_sum<scan_threads>(sum);
  if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

/// One block: totals become the sums before them; *all is the sum of all.
__global__ void __launch_bounds__(base_threads)
    block_base_kernel(std::int64_t blocks, std::int64_t* __restrict__ totals,
                      std::int64_t* __restrict__ all) {
  std::int64_t base = 0;
  for (std::int64_t first = 0; first < blocks; first += base_threads) {
    const std::int64_t at = first + threadIdx.x;
    std::int64_t round_total = 0;
    const std::int64_t before =
        block_exclusive_sum<base_threads>(at < blocks ? totals[at] : std::int64_t{0}, &round_total);
    if (at < blocks) totals[at] = base + before;
    base += round_total;
  }
  if (threadIdx.x == 0) *all = base;
}

__global__ void __launch_bounds__(scan_threads)
    block_scan_kernel(const int* __restrict__ counts, std::int64_t size,
                      const std::int64_t* __restrict__ bases, std::int64_t* __restrict__ offsets) {
  const std::int64_t first = std::int64_t{blockIdx.x} * scan_block;
  std::int64_t base = bases[blockIdx.x];
  for (int round = 0; round < scan_rounds; ++round) {
    const std::int64_t at = first + round * scan_threads + threadIdx.x;
    std::int64_t round_total = 0;
    const std::int64_t before = block_exclusive_sum<scan_threads>(
        at < size ? std::int64_t{counts[at]} : std::int64_t{0}, &round_total);
    if (at < size) offsets[at] = base + before;
    base += round_total;
  }
}

}  // namespace

std::int64_t scan_workspace(std::int64_t size) {
  return ceil_div(size, scan_block);
}

void exclusive_scan(cudaStream_t stream, const int* counts, std::int64_t size,
                    std::int64_t* offsets, std::int64_t* workspace) {
  const std::int64_t blocks = scan_workspace(size);
  if (blocks > 0) {
    launch("block_total_kernel", block_total_kernel,
           {.grid = static_cast<unsigned>(blocks), .block = scan_threads}, stream, counts, size,
           workspace);
  }
  launch("block_base_kernel", block_base_kernel, {.grid = 1, .block = base_threads}, stream, blocks,
         workspace, offsets + size);
  if (blocks > 0) {
    launch("block_scan_kernel", block_scan_kernel,
           {.grid = static_cast<unsigned>(blocks), .block = scan_threads}, stream, counts, size,
           workspace, offsets);
  }
}

}  // namespace hourglass::cuda
