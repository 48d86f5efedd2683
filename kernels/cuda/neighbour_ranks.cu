// neighbour_ranks: rank[i, a] = the place (1 = nearest) that row neighbours[i, a] takes among all
// other rows by distance from row i; ties by the lower index (Venna and Kaski 2001).
//
// Shapes: x N x D, neighbours and rank N x k. FLOP: 3 N^2 D for every 32 neighbours. Bytes: N^2 D /
// 16 through shared memory tiles of 64 x 64. Bound by the float32 units: 10,000 x 784 are 240
// GFLOP.
//
// The order is that of distance.cuh, so rank[i, a] is a + 1 for the a-th of nearest_neighbours. All
// pairs in float64 would be slow on most GPUs and are not needed: the tile's float32 distance is
// within e = (D + 4) 2^-24 of itself, so a pair is compared by it unless a threshold lies within
// that band; only those few are computed again in float64.
//
// Launch: thresholds (a warp for 32 neighbours of a row) computes the neighbours' own distances and
// sorts them. Count (a block for 64 rows and a slice of all rows) finds for each pair how many
// thresholds it exceeds, by a binary search of six steps, and counts in a histogram; pairs farther
// than all thresholds, which are most, count nothing. Integer atomics: the sums do not depend on
// their order. Finish adds the histogram up.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/difference_tile.cuh"
#include "kernels/cuda/distance.cuh"
#include "kernels/cuda/launch.cuh"

namespace hourglass::cuda {
namespace {

constexpr int group = warp_size;  // neighbours that are ranked in one pass over the pairs
constexpr int bins = group + 1;   // the last: farther than all
constexpr int threshold_threads = 256;
constexpr int threshold_warps = threshold_threads / warp_size;
constexpr std::int64_t count_blocks = round_limit(1056, 6);

/// For group g of row i: keys[(i G + g) 32 + p] = the p-th smallest key, places[...] = which
/// neighbour it is.
__global__ void __launch_bounds__(threshold_threads)
    threshold_kernel(const float* __restrict__ x, std::int64_t columns, bool quads,
                     const std::int32_t* __restrict__ neighbours, std::int64_t rows, std::int64_t k,
                     std::int64_t groups, std::uint64_t* __restrict__ keys,
                     std::int32_t* __restrict__ places) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t item = std::int64_t{blockIdx.x} * threshold_warps + threadIdx.x / warp_size;
  if (item >= rows * groups) return;  // the whole warp
  const std::int64_t row = item / groups;
  const std::int64_t a = item % groups * group + lane;
  std::uint64_t key = no_key;
  if (a < k) {
    const std::int32_t j = neighbours[row * k + a];
    key = order_key(exact_squared_distance(x + row * columns, x + j * columns, columns, quads), j);
  }
  int place = 0;
  for (int other = 0; other < warp_size; ++other) {
    const std::uint64_t theirs = __shfl_sync(full_mask, key, other);
    place += theirs < key || (theirs == key && other < lane) ? 1 : 0;
  }
  keys[item * group + place] = key;
  places[item * group + place] = static_cast<std::int32_t>(a);
}

/// counts[(i G + g) 33 + p] += pairs (i, j) whose key exceeds exactly p thresholds of the group.
__global__ void __launch_bounds__(tile_threads)
    count_kernel(const float* __restrict__ x, std::int64_t rows, std::int64_t columns, bool quads,
                 std::int64_t row_tiles, std::int64_t groups, std::int64_t tiles_per_slice,
                 float band, const std::uint64_t* __restrict__ keys, int* __restrict__ counts) {
  __shared__ DifferenceTile tile;
  __shared__ float thresholds[tile_rows]
                             [bins];  // an odd stride spreads the searches over the banks
  __shared__ int histogram[tile_rows][bins];
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t row_tile = std::int64_t{blockIdx.x} % row_tiles;
  const std::int64_t g = std::int64_t{blockIdx.x} / row_tiles;
  const std::int64_t first_row = row_tile * tile_rows;
  const auto keys_of = [&](int i) { return keys + ((first_row + i) * groups + g) * group; };
  for (int at = thread; at < tile_rows * bins; at += tile_threads) {
    const int i = at / bins;
    const int p = at % bins;
    histogram[i][p] = 0;
    float threshold = __int_as_float(0x7f800000);  // infinity
    if (p < group && first_row + i < rows && keys_of(i)[p] != no_key) {
      threshold = distance_of(keys_of(i)[p]);
    }
    thresholds[i][p] = threshold;
  }
  __syncthreads();

  const std::int64_t tile_begin = std::int64_t{blockIdx.y} * tiles_per_slice;
  const std::int64_t tile_end =
      tile_begin + tiles_per_slice < row_tiles ? tile_begin + tiles_per_slice : row_tiles;
  const PairPlace place;
  for (std::int64_t other_tile = tile_begin; other_tile < tile_end; ++other_tile) {
    const std::int64_t first_other = other_tile * tile_rows;
    const auto row_at = [&](std::int64_t row) { return row < rows ? x + row * columns : nullptr; };
    float sum[pair_rows][pair_rows];
    squared_differences(
        tile, columns, quads, [&](int i) { return row_at(first_row + i); },
        [&](int j) { return row_at(first_other + j); }, sum);
#pragma unroll
    for (int u = 0; u < pair_rows; ++u) {
      const int i = place.a + u;
      const std::int64_t row = first_row + i;
#pragma unroll
      for (int v = 0; v < pair_rows; ++v) {
        const std::int64_t other = first_other + place.b + v;
        if (row >= rows || other >= rows || row == other) continue;
        // The smallest normal number covers what underflow took from the sum.
        const float low = sum[u][v] * (1.0f - band) - 0x1p-126f;
        const float high = sum[u][v] * (1.0f + band) + 0x1p-126f;
        int exceeded = 0;  // thresholds below the band
#pragma unroll
        for (int step = group; step > 0; step >>= 1) {
          if (exceeded + step <= group && thresholds[i][exceeded + step - 1] < low) {
            exceeded += step;
          }
        }
        // Also where the sum overflowed or is NaN: both comparisons are written to fail then.
        const bool certain = high < __int_as_float(0x7f800000) &&
                             (exceeded == group || thresholds[i][exceeded] > high);
        if (!certain) {
          const std::uint64_t key = order_key(
              exact_squared_distance(x + row * columns, x + other * columns, columns, quads),
              static_cast<std::int32_t>(other));
          const std::uint64_t* all = keys_of(i);
          exceeded = 0;
          for (int p = 0; p < group; ++p) {
            exceeded += all[p] <= key ? 1 : 0;
          }
        }
        if (exceeded < group) atomicAdd(&histogram[i][exceeded], 1);
      }
    }
  }
  __syncthreads();
  for (int at = thread; at < tile_rows * bins; at += tile_threads) {
    const int i = at / bins;
    const int p = at % bins;
    if (p < group && first_row + i < rows && histogram[i][p] != 0) {
      atomicAdd(&counts[((first_row + i) * groups + g) * bins + p], histogram[i][p]);
    }
  }
}

__global__ void __launch_bounds__(threshold_threads)
    finish_ranks_kernel(const int* __restrict__ counts, const std::int32_t* __restrict__ places,
                        std::int64_t items, std::int64_t groups, std::int64_t k,
                        std::int32_t* __restrict__ rank) {
  const std::int64_t item = std::int64_t{blockIdx.x} * threshold_threads + threadIdx.x;
  if (item >= items) return;
  int nearer = 0;
  for (int p = 0; p < group; ++p) {
    nearer += counts[item * bins + p];
    const std::int32_t a = places[item * group + p];
    if (a < k) rank[item / groups * k + a] = nearer + 1;
  }
}

}  // namespace

void CudaBackend::neighbour_ranks(ConstMat x, MatrixView<const std::int32_t> neighbours,
                                  MatrixView<std::int32_t> rank) {
  const OperationRange range("neighbour_ranks");
  constexpr const char* name = "neighbour_ranks";
  const std::int64_t k = neighbours.columns;
  require(neighbours.rows == x.rows && rank.rows == x.rows && rank.columns == k, name,
          "neighbours and rank of N x k");
  require(x.rows <= std::numeric_limits<std::int32_t>::max(), name, "fewer than 2^31 rows");
  if (x.rows == 0 || k == 0) return;
  const bool quads = rows_in_quads(x.columns, x.data);
  const std::int64_t groups = ceil_div(k, group);
  const std::int64_t items = x.rows * groups;
  Scratch::Region region =
      scratch_.reserve(padded<std::uint64_t>(items * group) + padded<std::int32_t>(items * group) +
                       padded<int>(items * bins));
  std::uint64_t* keys = region.take<std::uint64_t>(items * group);
  std::int32_t* places = region.take<std::int32_t>(items * group);
  int* counts = region.take<int>(items * bins);

  fill(counts, 0, static_cast<std::size_t>(items * bins) * sizeof(int));
  launch("threshold_kernel", threshold_kernel,
         {.grid = blocks_for(items, threshold_warps, std::int64_t{1} << 31),
          .block = threshold_threads},
         stream(), x.data, x.columns, quads, neighbours.data, x.rows, k, groups, keys, places);
  const std::int64_t row_tiles = ceil_div(x.rows, tile_rows);
  const std::int64_t wanted_slices =
      std::clamp<std::int64_t>(count_blocks / (row_tiles * groups), 1, row_tiles);
  const std::int64_t tiles_per_slice = ceil_div(row_tiles, wanted_slices);
  const auto band = static_cast<float>(1.01 * (static_cast<double>(x.columns) + 4.0) * 0x1p-24);
  launch("count_kernel", count_kernel,
         {.grid = dim3(static_cast<unsigned>(row_tiles * groups),
                       static_cast<unsigned>(ceil_div(row_tiles, tiles_per_slice))),
          .block = tile_threads},
         stream(), x.data, x.rows, x.columns, quads, row_tiles, groups, tiles_per_slice, band, keys,
         counts);
  launch("finish_ranks_kernel", finish_ranks_kernel,
         {.grid = blocks_for(items, threshold_threads, std::int64_t{1} << 31),
          .block = threshold_threads},
         stream(), counts, places, items, groups, k, rank.data);
}

}  // namespace hourglass::cuda
