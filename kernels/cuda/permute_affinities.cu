// permute_affinities: row s of the result is row order[s] of the affinities, its entries in the
// same order, its columns numbered as the points are after the permutation.
//
// Shapes: affinities and result N rows, about 4 x perplexity entries each, offsets of 64 bits;
// order N. Bytes: 8 read and 8 written an entry, 4 gathered from the new numbers, which stay in the
// caches (4 N bytes); 40 a row. FLOP: none. Bound by bandwidth. Launch: a thread a row for its
// length and its point's new number; a scan; a warp a row to copy.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/scan.hpp"

namespace hourglass::cuda {
namespace {

constexpr int permute_threads = 256;
constexpr int permute_warps = permute_threads / warp_size;
constexpr std::int64_t length_blocks = round_limit(4096, 2);
constexpr std::int64_t copy_blocks = round_limit(16384, 3);

/// lengths[s] of the permuted rows; places[i] = s, where i = order[s].
__global__ void __launch_bounds__(permute_threads)
    permuted_lengths_kernel(const std::int64_t* __restrict__ offsets,
                            const std::int32_t* __restrict__ order, std::int64_t rows,
                            int* __restrict__ lengths, std::int32_t* __restrict__ places) {
  const std::int64_t stride = std::int64_t{gridDim.x} * permute_threads;
#pragma unroll 1
  for (std::int64_t s = std::int64_t{blockIdx.x} * permute_threads + threadIdx.x; s < rows;
       s += stride) {
    const std::int64_t i = order[s];
    lengths[s] = static_cast<int>(offsets[i + 1] - offsets[i]);
    places[i] = static_cast<std::int32_t>(s);
  }
}

__global__ void __launch_bounds__(permute_threads)
    permute_rows_kernel(const std::int64_t* __restrict__ offsets,
                        const std::int32_t* __restrict__ columns, const float* __restrict__ values,
                        const std::int32_t* __restrict__ order,
                        const std::int32_t* __restrict__ places, std::int64_t rows,
                        const std::int64_t* __restrict__ permuted_offsets,
                        std::int32_t* __restrict__ permuted_columns,
                        float* __restrict__ permuted_values) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t stride = std::int64_t{gridDim.x} * permute_warps;
#pragma unroll 1
  for (std::int64_t s = std::int64_t{blockIdx.x} * permute_warps + threadIdx.x / warp_size;
       s < rows; s += stride) {
    const std::int64_t from = offsets[order[s]];
    const std::int64_t to = permuted_offsets[s];
    const std::int64_t count = permuted_offsets[s + 1] - to;
#pragma unroll 4
    for (std::int64_t e = lane; e < count; e += warp_size) {
      permuted_columns[to + e] = places[columns[from + e]];
      permuted_values[to + e] = values[from + e];
    }
  }
}

}  // namespace

void CudaBackend::permute_affinities(ConstCsrView affinities, std::span<const std::int32_t> order,
                                     CsrView permuted) {
  const OperationRange range("permute_affinities");
  const std::int64_t n = affinities.rows;
  require(permuted.rows == n && static_cast<std::int64_t>(order.size()) == n, "permute_affinities",
          "an order and a matrix of as many rows");
  if (n == 0) {
    if (permuted.offsets != nullptr) fill(permuted.offsets, 0, sizeof(std::int64_t));
    return;
  }
  Scratch::Region region = scratch_.reserve(padded<int>(n) + padded<std::int32_t>(n) +
                                            padded<std::int64_t>(scan_workspace(n)));
  int* lengths = region.take<int>(n);
  std::int32_t* places = region.take<std::int32_t>(n);
  std::int64_t* scan = region.take<std::int64_t>(scan_workspace(n));
  launch("permuted_lengths_kernel", permuted_lengths_kernel,
         {.grid = blocks_for(n, permute_threads, length_blocks), .block = permute_threads},
         stream(), affinities.offsets, order.data(), n, lengths, places);
  exclusive_scan(stream(), lengths, n, permuted.offsets, scan);
  launch("permute_rows_kernel", permute_rows_kernel,
         {.grid = blocks_for(n, permute_warps, copy_blocks), .block = permute_threads}, stream(),
         affinities.offsets, affinities.columns, affinities.values, order.data(), places, n,
         permuted.offsets, permuted.columns, permuted.values);
}

}  // namespace hourglass::cuda
