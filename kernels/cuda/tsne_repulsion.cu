// Repulsion, exact: force[i] = sum over j != i of q_ij^2 (y_i - y_j), partition = sum over i != j
// of q_ij, q = 1 / (1 + |y_i - y_j|^2).
//
// Shapes: y and force N x 2 or N x 3, partition one float64.
// FLOP: 12 (16) and one reciprocal a pair, which bounds it: repulsive_pairs.cuh. N = 10,000 in the
// plane: 1.2 GFLOP. Bytes: 8 (12) N once an i-block, 8 (12) N slices of partial sums; nothing
// beside the arithmetic.
//
// Launch: a block owns 512 points i. The points j are cut into slices so that 10,000 points fill a
// GPU of 132 multiprocessors; the slices follow from N alone. Each block leaves its points' partial
// forces and its part of the partition; a second kernel adds the slices in order. Only tiles that
// hold points of the block, or that are not full, test for j = i and for the end. The partition is
// summed in float32 over a tile of 128, then in float64.
#include "kernels/buffer.hpp"
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/repulsion.hpp"
#include "kernels/cuda/repulsive_pairs.cuh"
#include "kernels/fft_grid.hpp"

namespace hourglass::cuda {
namespace {

constexpr int reduce_threads = 256;

template <int dimensions>
__global__ void __launch_bounds__(pair_threads)
    repulsion_kernel(const float* __restrict__ y, bool pairs, std::int64_t points,
                     std::int64_t slice_points, float* __restrict__ partial_forces,
                     double* __restrict__ partial_partitions) {
  __shared__ PointTile<dimensions> tile;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_i = std::int64_t{blockIdx.x} * block_points;
  const std::int64_t begin = std::int64_t{blockIdx.y} * slice_points;
  const std::int64_t end = begin + slice_points < points ? begin + slice_points : points;
  Point<dimensions> yi[points_per_thread];
  PairSums<dimensions> sums[points_per_thread];
  const auto point_of = [&](int r) { return first_i + thread + r * pair_threads; };
#pragma unroll
  for (int r = 0; r < points_per_thread; ++r) {
    yi[r] =
        point_of(r) < points ? load_point<dimensions>(y, point_of(r), pairs) : Point<dimensions>{};
  }
  double partition = 0.0;
#pragma unroll 1
  for (std::int64_t first_j = begin; first_j < end; first_j += tile_points) {
    __syncthreads();  // the tile before has been read
    stage_point<dimensions>(tile, y, pairs, first_j, end);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < points_per_thread; ++r) {
      sums[r].q = 0.0f;
    }
    const bool plain = first_j + tile_points <= end &&
                       (first_j >= first_i + block_points || first_j + tile_points <= first_i);
    if (plain) {
      add_tile<dimensions>(tile, yi, sums);
    } else {
      std::int64_t same[points_per_thread];
#pragma unroll
      for (int r = 0; r < points_per_thread; ++r)
        same[r] = point_of(r) - first_j;
      add_part_of_tile<dimensions>(
          tile, static_cast<int>(end - first_j < tile_points ? end - first_j : tile_points), same,
          yi, sums);
    }
#pragma unroll
    for (int r = 0; r < points_per_thread; ++r) {
      if (point_of(r) < points) partition += static_cast<double>(sums[r].q);
    }
  }
#pragma unroll
  for (int r = 0; r < points_per_thread; ++r) {
    if (point_of(r) < points) {
      Point<dimensions> force;
#pragma unroll
      for (int c = 0; c < dimensions; ++c)
        force.value[c] = sums[r].force[c];
      store_point<dimensions>(partial_forces, blockIdx.y * points + point_of(r), true, force);
    }
  }
  partition = block_sum<pair_threads>(partition);
  if (thread == 0) {
    partial_partitions[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = partition;
  }
}

template <int dimensions>
__global__ void __launch_bounds__(reduce_threads)
    reduce_repulsion_kernel(const float* __restrict__ partial_forces,
                            const double* __restrict__ partial_partitions, std::int64_t points,
                            int slices, std::int64_t blocks, bool pairs, float* __restrict__ force,
                            double* __restrict__ partition) {
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t i = std::int64_t{blockIdx.x} * reduce_threads + thread;
  if (i < points) {
    Point<dimensions> sum{};
#pragma unroll 8
    for (int slice = 0; slice < slices; ++slice) {
      const Point<dimensions> part =
          load_point<dimensions>(partial_forces, slice * points + i, true);
#pragma unroll
      for (int c = 0; c < dimensions; ++c)
        sum.value[c] += part.value[c];
    }
    store_point<dimensions>(force, i, pairs, sum);
  }
  if (blockIdx.x != 0) return;
  double sum = 0.0;
  for (std::int64_t block = thread; block < blocks; block += reduce_threads) {
    sum += partial_partitions[block];
  }
  sum = block_sum<reduce_threads>(sum);
  if (thread == 0) *partition = sum;
}

class ExactRepulsion final : public Repulsion {
 public:
  ExactRepulsion(CudaBackend& backend, std::int64_t points, std::int64_t dimensions)
      : backend_(backend),
        points_(points),
        dimensions_(dimensions),
        cut_(pair_slices(points, points)),
        partial_forces_(backend, dimensions * points * cut_.slices),
        partial_partitions_(backend, cut_.i_blocks * cut_.slices) {}

  void prepare(const MapBounds& /*bounds*/) override {}

  void evaluate(ConstMat y, Mat force, double* partition) override {
    const OperationRange range("tsne_repulsion");
    require_map("tsne_repulsion", y, force, points_, dimensions_);
    if (points_ == 0) {
      backend_.fill(partition, 0, sizeof(double));
      return;
    }
    const bool plane = dimensions_ == 2;
    launch("repulsion_kernel", plane ? repulsion_kernel<2> : repulsion_kernel<3>,
           {.grid = dim3(static_cast<unsigned>(cut_.i_blocks), static_cast<unsigned>(cut_.slices)),
            .block = pair_threads},
           backend_.stream(), y.data, points_in_pairs(y.data), points_, cut_.slice_points,
           partial_forces_.data(), partial_partitions_.data());
    launch(
        "reduce_repulsion_kernel", plane ? reduce_repulsion_kernel<2> : reduce_repulsion_kernel<3>,
        {.grid = static_cast<unsigned>(ceil_div(points_, reduce_threads)), .block = reduce_threads},
        backend_.stream(), partial_forces_.data(), partial_partitions_.data(), points_,
        static_cast<int>(cut_.slices), cut_.i_blocks * cut_.slices, points_in_pairs(force.data),
        force.data, partition);
  }

 private:
  CudaBackend& backend_;
  std::int64_t points_;
  std::int64_t dimensions_;
  PairSlices cut_;
  Buffer<float> partial_forces_;       ///< slices x N x dimensions
  Buffer<double> partial_partitions_;  ///< one a block
};

}  // namespace

void require_map(const char* operation, ConstMat y, ConstMat force, std::int64_t points,
                 std::int64_t dimensions) {
  require(y.rows == points && y.columns == dimensions && force.rows == points &&
              force.columns == dimensions,
          operation, "y and force of as many points and dimensions as it was made for");
}

std::unique_ptr<Repulsion> CudaBackend::make_repulsion(RepulsionMethod method, std::int64_t points,
                                                       std::int64_t dimensions) {
  require(points >= 0, "make_repulsion", "a number of points that is not negative");
  require(map_dimensions(dimensions), "make_repulsion", "a map of two or three dimensions");
  switch (method) {
    case RepulsionMethod::exact:
      return std::make_unique<ExactRepulsion>(*this, points, dimensions);
    case RepulsionMethod::fft:
      require(dimensions == 2, "make_repulsion", "two dimensions for a grid");
      return make_fft_repulsion(*this, points);
    case RepulsionMethod::tree:
      break;
  }
  throw UsageError(
      "the method 'tree' runs on the CPU only; expected 'exact' or 'fft' with --device cuda");
}

RepulsionMethod CudaBackend::best_repulsion(std::int64_t points, std::int64_t dimensions,
                                            double span) const {
  if (dimensions != 2 || !(span <= widest_fft_span(points, false))) return RepulsionMethod::exact;
  // Counted, not measured: the work of both methods over the rates that an H100's data sheet gives.
  // Exact: eight float32 instructions a pair, 132 multiprocessors of 128 lanes at 1.75 GHz. The
  // crossover is at 12,000 points in small maps, at 21,000 over a span of 300.
  constexpr double pairs_a_second = 3.7e12;
  const auto n = static_cast<double>(points);
  const double exact_seconds = n * n / pairs_a_second;
  return exact_seconds <= fft_repulsion_seconds(points, span) ? RepulsionMethod::exact
                                                              : RepulsionMethod::fft;
}

}  // namespace hourglass::cuda
