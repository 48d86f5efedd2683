// symmetrise: P = (P_cond + P_cond^T) / (2 N) as compressed rows over the union of both edge sets,
// columns ascending.
//
// Shapes: index and conditional N x k; affinities of N rows and at most 2 N k entries, offsets of
// 64 bits. FLOP: an addition in float64 an edge and a division an entry. Bytes: about 80 N k in
// all, 16 N k of workspace; bound by bandwidth and the scattered writes of the reversed edges. An
// entry is one 64-bit key, column in the upper half, the bits of p in the lower: sorting the keys
// of a row puts its columns in order and the two directions of an edge side by side, the smaller p
// first in both rows. The order in which the scattered edges arrive thus leaves no trace, and p_ij
// and p_ji are the same sum in every bit.
//
// Launch: count (integer atomics), scan, fill, then a block a row sorts (in shared memory up to
// 2,048 edges; the few longer rows of hubs in place in global memory) and merges, scan again, copy
// to the compressed rows.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/scan.hpp"
#include "kernels/cuda/sort.cuh"

namespace hourglass::cuda {
namespace {

constexpr int edge_threads = 256;
constexpr std::int64_t edge_blocks = round_limit(4096, 3);
constexpr int merge_threads = 128;
constexpr std::int64_t merge_blocks = round_limit(8192, 3);
constexpr int shared_edges = static_cast<int>(round_limit(2048, 256));
constexpr int copy_threads = 256;
constexpr int copy_warps = copy_threads / warp_size;

__device__ __forceinline__ std::uint64_t edge_key(std::int32_t column, float p) {
  return (std::uint64_t{static_cast<std::uint32_t>(column)} << 32) |
         static_cast<std::uint32_t>(__float_as_int(p));
}
__device__ __forceinline__ std::int32_t column_of(std::uint64_t edge) {
  return static_cast<std::int32_t>(edge >> 32);
}
__device__ __forceinline__ float value_of(std::uint64_t edge) {
  return __int_as_float(static_cast<int>(edge & 0xffffffffu));
}

/// incoming[j] = edges that end in j.
__global__ void __launch_bounds__(edge_threads)
    count_incoming_kernel(const std::int32_t* __restrict__ index, std::int64_t edges,
                          int* __restrict__ incoming) {
  const std::int64_t stride = std::int64_t{gridDim.x} * edge_threads;
  for (std::int64_t e = std::int64_t{blockIdx.x} * edge_threads + threadIdx.x; e < edges;
       e += stride) {
    atomicAdd(&incoming[index[e]], 1);
  }
}

/// Row i of the unmerged edges begins at begin[i] + i k: first its own k edges, then those that end
/// in it. `arrived` begins as the counts of incoming edges and is counted down.
__global__ void __launch_bounds__(edge_threads)
    fill_edges_kernel(const std::int32_t* __restrict__ index, const float* __restrict__ conditional,
                      std::int64_t edges, std::int64_t k, const std::int64_t* __restrict__ begin,
                      int* __restrict__ arrived, std::uint64_t* __restrict__ unmerged) {
  const std::int64_t stride = std::int64_t{gridDim.x} * edge_threads;
  for (std::int64_t e = std::int64_t{blockIdx.x} * edge_threads + threadIdx.x; e < edges;
       e += stride) {
    const std::int64_t i = e / k;
    const std::int32_t j = index[e];
    const float p = conditional[e];
    unmerged[begin[i] + e] = edge_key(j, p);
    const int place = atomicAdd(&arrived[j], -1) - 1;
    unmerged[begin[j] + (std::int64_t{j} + 1) * k + place] =
        edge_key(static_cast<std::int32_t>(i), p);
  }
}

/// Sorts each row and adds the edges of equal columns, in place: the merged row begins where the
/// unmerged one did and has lengths[i] entries, whose value is now the affinity.
__global__ void __launch_bounds__(merge_threads)
    merge_rows_kernel(std::int64_t rows, std::int64_t k, const std::int64_t* __restrict__ begin,
                      double divisor, std::uint64_t* __restrict__ unmerged,
                      int* __restrict__ lengths) {
  __shared__ std::uint64_t sorted[shared_edges];
  const int thread = static_cast<int>(threadIdx.x);
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    std::uint64_t* edges = unmerged + begin[row] + row * k;
    const int size = static_cast<int>(begin[row + 1] - begin[row] + k);
    std::uint64_t* keys = edges;
    if (size <= shared_edges) {
      keys = sorted;
      for (int e = thread; e < size; e += merge_threads) {
        sorted[e] = edges[e];
      }
    }
    block_sort<merge_threads>(keys, size);
    // An entry is written at or before the first edge that it was made of, after all threads of the
    // round have read theirs; the column of the edge before the next round, which that round
    // compares with, it leaves as it is.
    int length = 0;
    for (int first = 0; first < size; first += merge_threads) {
      const int e = first + thread;
      const bool head = e < size && (e == 0 || column_of(keys[e]) != column_of(keys[e - 1]));
      std::uint64_t merged = 0;
      if (head) {
        const std::int32_t column = column_of(keys[e]);
        double sum = static_cast<double>(value_of(keys[e]));
        for (int next = e + 1; next < size && column_of(keys[next]) == column; ++next) {
          sum += static_cast<double>(value_of(keys[next]));
        }
        merged = edge_key(column, static_cast<float>(sum / divisor));
      }
      int heads = 0;
      const int place = block_exclusive_sum<merge_threads>(head ? 1 : 0, &heads);
      if (head) edges[length + place] = merged;
      length += heads;
      __syncthreads();
    }
    if (thread == 0) lengths[row] = length;
  }
}

__global__ void __launch_bounds__(copy_threads)
    copy_rows_kernel(std::int64_t rows, std::int64_t k, const std::int64_t* __restrict__ begin,
                     const std::uint64_t* __restrict__ merged,
                     const std::int64_t* __restrict__ offsets, std::int32_t* __restrict__ columns,
                     float* __restrict__ values) {
  const std::int64_t row = std::int64_t{blockIdx.x} * copy_warps + threadIdx.x / warp_size;
  if (row >= rows) return;
  const std::uint64_t* from = merged + begin[row] + row * k;
  const std::int64_t to = offsets[row];
  const std::int64_t size = offsets[row + 1] - to;
  for (std::int64_t e = threadIdx.x % warp_size; e < size; e += warp_size) {
    columns[to + e] = column_of(from[e]);
    values[to + e] = value_of(from[e]);
  }
}

}  // namespace

void CudaBackend::symmetrise(MatrixView<const std::int32_t> index, ConstMat conditional,
                             CsrView affinities) {
  const OperationRange range("symmetrise");
  constexpr const char* name = "symmetrise";
  const std::int64_t n = index.rows;
  const std::int64_t k = index.columns;
  const std::int64_t edges = n * k;
  require(conditional.rows == n && conditional.columns == k && affinities.rows == n, name,
          "index, conditional and affinities of as many rows");
  require(affinities.capacity >= 2 * edges, name, "room for 2 N k affinities");
  require(n + k < std::int64_t{1} << 30, name, "fewer than 2^30 points");
  if (n == 0) {
    if (affinities.offsets != nullptr) fill(affinities.offsets, 0, sizeof(std::int64_t));
    return;
  }
  Scratch::Region region =
      scratch_.reserve(padded<int>(n) + padded<std::int64_t>(n + 1) +
                       padded<std::int64_t>(scan_workspace(n)) + padded<std::uint64_t>(2 * edges));
  int* counts = region.take<int>(n);
  std::int64_t* begin = region.take<std::int64_t>(n + 1);
  std::int64_t* workspace = region.take<std::int64_t>(scan_workspace(n));
  std::uint64_t* unmerged = region.take<std::uint64_t>(2 * edges);

  fill(counts, 0, static_cast<std::size_t>(n) * sizeof(int));
  const LaunchShape each_edge{.grid = blocks_for(edges, edge_threads, edge_blocks),
                              .block = edge_threads};
  launch("count_incoming_kernel", count_incoming_kernel, each_edge, stream(), index.data, edges,
         counts);
  exclusive_scan(stream(), counts, n, begin, workspace);
  launch("fill_edges_kernel", fill_edges_kernel, each_edge, stream(), index.data, conditional.data,
         edges, k, begin, counts, unmerged);
  launch("merge_rows_kernel", merge_rows_kernel,
         {.grid = blocks_for(n, 1, merge_blocks), .block = merge_threads}, stream(), n, k, begin,
         2.0 * static_cast<double>(n), unmerged, counts);
  exclusive_scan(stream(), counts, n, affinities.offsets, workspace);
  launch("copy_rows_kernel", copy_rows_kernel,
         {.grid = blocks_for(n, copy_warps, std::int64_t{1} << 31), .block = copy_threads},
         stream(), n, k, begin, unmerged, affinities.offsets, affinities.columns,
         affinities.values);
}

}  // namespace hourglass::cuda
