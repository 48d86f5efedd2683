// Every point of a block against every point of a tile: what the exact repulsion and the field of a
// map that stands still are made of.
//
// q = 1 / (1 + |y_i - y_j|^2); sums of q, and of q^2 (y_i - y_j). In the plane 12 FLOP and one
// reciprocal a pair: two subtractions, two fused multiply-adds for 1 + d^2, one addition and one
// product of q, two fused multiply-adds for the force; in space 16. What bounds it is the
// reciprocal: the special-function units give one for every eight float32 instructions, and the
// eight others of a pair in the plane just fit beside it. A correctly rounded reciprocal would
// double the instructions. The hardware's approximation is within one unit in the last place
// (2^-23), a hundred thousand times below the 1 % that the forces are allowed, and it is
// deterministic: the same GPU gives the same bits every time. Files that include this are compiled
// with --ftz=true (CMakeLists.txt): the argument is at least 1, and only without subnormal numbers
// is the reciprocal one instruction instead of four.
//
// A block of 128 threads owns 512 points i, four a thread in registers, so that 128-bit reads of
// shared memory, four points j in one of each coordinate, serve sixteen pairs.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"

namespace hourglass::cuda {

inline constexpr int pair_threads = 128;
inline constexpr int points_per_thread = 4;
inline constexpr int block_points = pair_threads * points_per_thread;
inline constexpr int tile_points = 128;
static_assert(tile_points == pair_threads, "each thread stages one point");
static_assert(tile_points % 4 == 0);

/// Points j, parted by coordinate so that four of one are a 128-bit word.
template <int dimensions>
struct alignas(16) PointTile {
  float value[dimensions][tile_points];
};

template <int dimensions>
struct PairSums {
  float force[dimensions] = {};
  float q = 0.0f;
};

/// Adds the pair (i, j); where `tested`, only if `counts`.
template <int dimensions, bool tested>
__device__ __forceinline__ void add_pair(const Point<dimensions>& yi, const Point<dimensions>& yj,
                                         bool counts, PairSums<dimensions>& sums) {
  float difference[dimensions];
  float denominator = 1.0f;
#pragma unroll
  for (int c = dimensions - 1; c >= 0; --c) {
    difference[c] = yi.value[c] - yj.value[c];
    denominator = fmaf(difference[c], difference[c], denominator);
  }
  float q = __fdividef(1.0f, denominator);
  if constexpr (tested) q = counts ? q : 0.0f;
  sums.q += q;
  const float squared = q * q;
#pragma unroll
  for (int c = 0; c < dimensions; ++c)
    sums.force[c] = fmaf(squared, difference[c], sums.force[c]);
}

/// Puts the thread's point of the tile that begins at `first` there, or the origin beyond `end`. To
/// be called between barriers.
template <int dimensions>
__device__ __forceinline__ void stage_point(PointTile<dimensions>& tile, const float* map,
                                            bool pairs, std::int64_t first, std::int64_t end) {
  const int thread = static_cast<int>(threadIdx.x);
  Point<dimensions> point{};
  if (first + thread < end) point = load_point<dimensions>(map, first + thread, pairs);
#pragma unroll
  for (int c = 0; c < dimensions; ++c)
    tile.value[c][thread] = point.value[c];
}

/// All points of a full tile.
template <int dimensions>
__device__ __forceinline__ void add_tile(const PointTile<dimensions>& tile,
                                         const Point<dimensions>* yi, PairSums<dimensions>* sums) {
#pragma unroll 2
  for (int j = 0; j < tile_points; j += 4) {
    Pack<float, 4> four[dimensions];
#pragma unroll
    for (int c = 0; c < dimensions; ++c)
      four[c] = load_pack<4>(tile.value[c] + j);
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      Point<dimensions> yj;
#pragma unroll
      for (int c = 0; c < dimensions; ++c)
        yj.value[c] = four[c].value[v];
#pragma unroll
      for (int r = 0; r < points_per_thread; ++r)
        add_pair<dimensions, false>(yi[r], yj, true, sums[r]);
    }
  }
}

/// The first `count` points of a tile; of them not the one that is `same[r]` places after the
/// tile's first for point r.
template <int dimensions>
__device__ __forceinline__ void add_part_of_tile(const PointTile<dimensions>& tile, int count,
                                                 const std::int64_t* same,
                                                 const Point<dimensions>* yi,
                                                 PairSums<dimensions>* sums) {
#pragma unroll 1
  for (int j = 0; j < count; ++j) {
    Point<dimensions> yj;
#pragma unroll
    for (int c = 0; c < dimensions; ++c)
      yj.value[c] = tile.value[c][j];
#pragma unroll
    for (int r = 0; r < points_per_thread; ++r)
      add_pair<dimensions, true>(yi[r], yj, j != same[r], sums[r]);
  }
}

/// How the points j are cut into slices, each a block's for its points i, so that the launch fills
/// a GPU: from the numbers of points alone.
struct PairSlices {
  std::int64_t i_blocks = 0;
  std::int64_t slice_points = 0;
  std::int64_t slices = 0;
};

inline PairSlices pair_slices(std::int64_t points_i, std::int64_t points_j) {
  constexpr std::int64_t pair_blocks = round_limit(1056, 6);  // eight a multiprocessor of an H100
  PairSlices cut;
  cut.i_blocks = ceil_div(points_i, block_points);
  if (points_i == 0 || points_j == 0) return cut;
  const std::int64_t tiles = ceil_div(points_j, tile_points);
  const std::int64_t wanted = std::clamp<std::int64_t>(pair_blocks / cut.i_blocks, 1, tiles);
  cut.slice_points = ceil_div(tiles, wanted) * tile_points;
  cut.slices = ceil_div(points_j, cut.slice_points);
  return cut;
}

}  // namespace hourglass::cuda
