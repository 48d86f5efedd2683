// class_distance_sums: sums[i, c] = sum over the rows j with labels[j] = c of |x_i - x_j|, float64.
// Silhouettes are made of these (Rousseeuw 1987).
//
// Shapes: x N x D, labels N in [0, C) (rows with other labels belong to no class), sums N x C.
// FLOP: 3 N^2 D and a square root a pair. Bytes: N^2 D / 16 through shared-memory tiles. Bound by
// the float32 units. Launch: the rows of each class are listed in ascending order (a count, a scan,
// and a block a class that packs its members); then a block for 64 rows and one class takes the
// class in tiles of 64. A block sees one class only, so its sums stay in registers, in float64,
// until the end, and are added in a fixed order: no partial sums, no atomics on them.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/difference_tile.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/scan.hpp"

namespace hourglass::cuda {
namespace {

constexpr int member_threads = 256;
constexpr std::int64_t member_blocks = round_limit(1024, 3);

__global__ void __launch_bounds__(member_threads)
    count_members_kernel(const std::int32_t* __restrict__ labels, std::int64_t rows, int classes,
                         int* __restrict__ counts) {
  const std::int64_t stride = std::int64_t{gridDim.x} * member_threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * member_threads + threadIdx.x; i < rows;
       i += stride) {
    if (labels[i] >= 0 && labels[i] < classes) atomicAdd(&counts[labels[i]], 1);
  }
}

/// members[begin[c] ...] = the rows of class c, ascending; a block a class.
__global__ void __launch_bounds__(member_threads)
    list_members_kernel(const std::int32_t* __restrict__ labels, std::int64_t rows,
                        const std::int64_t* __restrict__ begin,
                        std::int32_t* __restrict__ members) {
  std::int64_t next = begin[blockIdx.x];
  for (std::int64_t first = 0; first < rows; first += member_threads) {
    const std::int64_t i = first + threadIdx.x;
    const bool member = i < rows && labels[i] == static_cast<std::int32_t>(blockIdx.x);
    int found = 0;
    const int place = block_exclusive_sum<member_threads>(member ? 1 : 0, &found);
    if (member) members[next + place] = static_cast<std::int32_t>(i);
    next += found;
  }
}

__global__ void __launch_bounds__(tile_threads)
    class_sums_kernel(const float* __restrict__ x, std::int64_t rows, std::int64_t columns,
                      bool quads, std::int64_t row_tiles, const std::int64_t* __restrict__ begin,
                      const std::int32_t* __restrict__ members, std::int64_t classes,
                      double* __restrict__ sums) {
  __shared__ DifferenceTile tile;
  const std::int64_t first_row = std::int64_t{blockIdx.x} % row_tiles * tile_rows;
  const std::int64_t c = std::int64_t{blockIdx.x} / row_tiles;
  const std::int64_t end = begin[c + 1];
  const PairPlace place;
  double total[pair_rows] = {};
  for (std::int64_t first = begin[c]; first < end; first += tile_rows) {
    float sum[pair_rows][pair_rows];
    squared_differences(
        tile, columns, quads,
        [&](int i) { return first_row + i < rows ? x + (first_row + i) * columns : nullptr; },
        [&](int j) { return first + j < end ? x + members[first + j] * columns : nullptr; }, sum);
#pragma unroll
    for (int i = 0; i < pair_rows; ++i) {
#pragma unroll
      for (int j = 0; j < pair_rows; ++j) {
        if (first + place.b + j < end) total[i] += static_cast<double>(sqrtf(sum[i][j]));
      }
    }
  }
  // The 16 threads that share their rows are neighbouring lanes.
#pragma unroll
  for (int i = 0; i < pair_rows; ++i) {
#pragma unroll
    for (int offset = tile_rows / pair_rows / 2; offset > 0; offset >>= 1) {
      total[i] += __shfl_xor_sync(full_mask, total[i], offset);
    }
    if (place.b == 0 && first_row + place.a + i < rows) {
      sums[(first_row + place.a + i) * classes + c] = total[i];
    }
  }
}

}  // namespace

void CudaBackend::class_distance_sums(ConstMat x, std::span<const std::int32_t> labels,
                                      MatrixView<double> sums) {
  const OperationRange range("class_distance_sums");
  constexpr const char* name = "class_distance_sums";
  const std::int64_t classes = sums.columns;
  require(labels.size() == static_cast<std::size_t>(x.rows) && sums.rows == x.rows, name,
          "a label and a row of sums for each row of x");
  require(x.rows <= std::numeric_limits<std::int32_t>::max() &&
              classes <= std::numeric_limits<std::int32_t>::max(),
          name, "fewer than 2^31 rows and classes");
  if (sums.size() == 0) return;
  Scratch::Region region = scratch_.reserve(
      padded<int>(classes) + padded<std::int64_t>(classes + 1) +
      padded<std::int64_t>(scan_workspace(classes)) + padded<std::int32_t>(x.rows));
  int* counts = region.take<int>(classes);
  std::int64_t* begin = region.take<std::int64_t>(classes + 1);
  std::int64_t* workspace = region.take<std::int64_t>(scan_workspace(classes));
  std::int32_t* members = region.take<std::int32_t>(x.rows);
  fill(counts, 0, static_cast<std::size_t>(classes) * sizeof(int));
  launch("count_members_kernel", count_members_kernel,
         {.grid = blocks_for(x.rows, member_threads, member_blocks), .block = member_threads},
         stream(), labels.data(), x.rows, static_cast<int>(classes), counts);
  exclusive_scan(stream(), counts, classes, begin, workspace);
  launch("list_members_kernel", list_members_kernel,
         {.grid = static_cast<unsigned>(classes), .block = member_threads}, stream(), labels.data(),
         x.rows, begin, members);
  const std::int64_t row_tiles = ceil_div(x.rows, tile_rows);
  launch("class_sums_kernel", class_sums_kernel,
         {.grid = blocks_for(row_tiles * classes, 1, std::int64_t{1} << 31), .block = tile_threads},
         stream(), x.data, x.rows, x.columns, rows_in_quads(x.columns, x.data), row_tiles, begin,
         members, classes, sums.data);
}

}  // namespace hourglass::cuda
