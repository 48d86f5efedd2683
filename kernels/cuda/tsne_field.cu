// tsne_field: force[i] = sum over j of q_ij^2 (t_i - s_j) / sum over j of q_ij, q = 1 / (1 + |t_i -
// s_j|^2): what repels each target t from all sources s, for points placed in a map that stands
// still. 0 where there are no sources.
//
// Shapes: targets and force M x 2 or M x 3, sources N x as many. FLOP: 12 (16) and one reciprocal a
// pair, which bounds it: repulsive_pairs.cuh. Bytes: 8 (12) N once an i-block, 16 (20) M slices of
// partial sums; nothing beside the arithmetic.
// Launch: a block owns 512 targets and a slice of the sources, so that few targets fill a GPU too;
// the slices follow from M and N alone. A second kernel adds them in order and divides. A target's
// sum of q is float32 over a tile of 128, then float64.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/repulsive_pairs.cuh"

namespace hourglass::cuda {
namespace {

constexpr int finish_threads = 256;

template <int dimensions>
__global__ void __launch_bounds__(pair_threads)
    field_kernel(const float* __restrict__ targets, bool target_pairs, std::int64_t target_count,
                 const float* __restrict__ sources, bool source_pairs, std::int64_t source_count,
                 std::int64_t slice_points, float* __restrict__ partial_forces,
                 double* __restrict__ partial_partitions) {
  __shared__ PointTile<dimensions> tile;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_i = std::int64_t{blockIdx.x} * block_points;
  const std::int64_t begin = std::int64_t{blockIdx.y} * slice_points;
  const std::int64_t end =
      begin + slice_points < source_count ? begin + slice_points : source_count;
  Point<dimensions> yi[points_per_thread];
  PairSums<dimensions> sums[points_per_thread];
  double partition[points_per_thread] = {};
  const auto target_of = [&](int r) { return first_i + thread + r * pair_threads; };
#pragma unroll
  for (int r = 0; r < points_per_thread; ++r) {
    yi[r] = target_of(r) < target_count
                ? load_point<dimensions>(targets, target_of(r), target_pairs)
                : Point<dimensions>{};
  }
#pragma unroll 1
  for (std::int64_t first_j = begin; first_j < end; first_j += tile_points) {
    __syncthreads();  // the tile before has been read
    stage_point<dimensions>(tile, sources, source_pairs, first_j, end);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < points_per_thread; ++r)
      sums[r].q = 0.0f;
    if (first_j + tile_points <= end) {
      add_tile<dimensions>(tile, yi, sums);
    } else {
      const std::int64_t none[points_per_thread] = {-1, -1, -1, -1};  // no source is a target
      add_part_of_tile<dimensions>(tile, static_cast<int>(end - first_j), none, yi, sums);
    }
#pragma unroll
    for (int r = 0; r < points_per_thread; ++r)
      partition[r] += static_cast<double>(sums[r].q);
  }
#pragma unroll
  for (int r = 0; r < points_per_thread; ++r) {
    if (target_of(r) >= target_count) continue;
    const std::int64_t at = blockIdx.y * target_count + target_of(r);
    Point<dimensions> force;
#pragma unroll
    for (int c = 0; c < dimensions; ++c)
      force.value[c] = sums[r].force[c];
    store_point<dimensions>(partial_forces, at, true, force);
    partial_partitions[at] = partition[r];
  }
}

template <int dimensions>
__global__ void __launch_bounds__(finish_threads)
    finish_field_kernel(const float* __restrict__ partial_forces,
                        const double* __restrict__ partial_partitions, std::int64_t target_count,
                        int slices, bool pairs, float* __restrict__ force) {
  const std::int64_t i = std::int64_t{blockIdx.x} * finish_threads + threadIdx.x;
  if (i >= target_count) return;
  double sum[dimensions] = {};
  double partition = 0.0;
#pragma unroll 4
  for (int slice = 0; slice < slices; ++slice) {
    const std::int64_t at = slice * target_count + i;
    const Point<dimensions> part = load_point<dimensions>(partial_forces, at, true);
#pragma unroll
    for (int c = 0; c < dimensions; ++c)
      sum[c] += static_cast<double>(part.value[c]);
    partition += partial_partitions[at];
  }
  Point<dimensions> result;
#pragma unroll
  for (int c = 0; c < dimensions; ++c)
    result.value[c] = partition == 0.0 ? 0.0f : static_cast<float>(sum[c] / partition);
  store_point<dimensions>(force, i, pairs, result);
}

}  // namespace

void CudaBackend::tsne_field(ConstMat targets, ConstMat sources, Mat force) {
  const OperationRange range("tsne_field");
  require(map_dimensions(targets.columns) && sources.columns == targets.columns &&
              force.rows == targets.rows && force.columns == targets.columns,
          "tsne_field", "targets, sources and force of two or three dimensions");
  const std::int64_t count = targets.rows;
  const std::int64_t dimensions = targets.columns;
  if (count == 0) return;
  const bool plane = dimensions == 2;
  const PairSlices cut = pair_slices(count, sources.rows);
  Scratch::Region region = scratch_.reserve(padded<float>(dimensions * count * cut.slices) +
                                            padded<double>(count * cut.slices));
  float* partial_forces = region.take<float>(dimensions * count * cut.slices);
  double* partial_partitions = region.take<double>(count * cut.slices);
  if (cut.slices > 0) {
    launch("field_kernel", plane ? field_kernel<2> : field_kernel<3>,
           {.grid = dim3(static_cast<unsigned>(cut.i_blocks), static_cast<unsigned>(cut.slices)),
            .block = pair_threads},
           stream(), targets.data, points_in_pairs(targets.data), count, sources.data,
           points_in_pairs(sources.data), sources.rows, cut.slice_points, partial_forces,
           partial_partitions);
  }
  launch("finish_field_kernel", plane ? finish_field_kernel<2> : finish_field_kernel<3>,
         {.grid = static_cast<unsigned>(ceil_div(count, finish_threads)), .block = finish_threads},
         stream(), partial_forces, partial_partitions, count, static_cast<int>(cut.slices),
         points_in_pairs(force.data), force.data);
}

}  // namespace hourglass::cuda
