// Repulsion, exact: force[i] = sum over j != i of q_ij^2 (y_i - y_j), partition = sum over i != j
// of q_ij, q = 1 / (1 + |y_i - y_j|^2).
//
// Shapes: y and force N x 2, partition one float64.
// FLOP: 12 and one reciprocal a pair: two subtractions, two fused multiply-adds for 1 + d^2, one
// addition and one product of q, two fused multiply-adds for the force. N = 10,000: 1.2 GFLOP.
// Bytes: 8 N once an i-block, 8 N slices of partial sums; nothing beside the arithmetic.
// What bounds it is the reciprocal: the special-function units give one for every eight float32
// instructions, and the eight others of a pair just fit beside it. A correctly rounded reciprocal
// would double the instructions. The hardware's approximation is within one unit in the last place
// (2^-23), a hundred thousand times below the 1 % that the forces are allowed, and it is
// deterministic: the same GPU gives the same bits every time. The file is compiled with --ftz=true
// (CMakeLists.txt): the argument is at least 1, and only without subnormal numbers is the
// reciprocal one instruction instead of four.
//
// Launch: a block of 128 threads owns 512 points i, four a thread in registers, so that one 128-bit
// read from shared memory (two points j) serves eight pairs. The points j are cut into slices so
// that 10,000 points fill a GPU of 132 multiprocessors; the slices follow from N alone. Each block
// leaves its points' partial forces and its part of the partition; a second kernel adds the slices
// in order. Only tiles that hold points of the block, or that are not full, test for j = i and for
// the end. The partition is summed in float32 over a tile of 128, then in float64.
#include "kernels/buffer.hpp"
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

constexpr int repulsion_threads = 128;
constexpr int points_per_thread = 4;
constexpr int block_points = repulsion_threads * points_per_thread;
constexpr int tile_points = 128;
static_assert(tile_points == repulsion_threads, "each thread stages one point");
constexpr std::int64_t repulsion_blocks =
    round_limit(1056, 6);  // eight a multiprocessor of an H100
constexpr int reduce_threads = 256;

/// Aligned so that two points are one 128-bit word.
struct alignas(16) PointTile {
  Point points[tile_points];
};

struct Sums {
  float x = 0.0f;
  float y = 0.0f;
  float q = 0.0f;
};

/// Adds the pair (i, j); where `tested`, only if `counts`.
template <bool tested>
__device__ __forceinline__ void add_pair(const Point& yi, float xj, float yj, bool counts,
                                         Sums& sums) {
  const float dx = yi.value[0] - xj;
  const float dy = yi.value[1] - yj;
  float q = __fdividef(1.0f, fmaf(dx, dx, fmaf(dy, dy, 1.0f)));
  if constexpr (tested) q = counts ? q : 0.0f;
  sums.q += q;
  const float squared = q * q;
  sums.x = fmaf(squared, dx, sums.x);
  sums.y = fmaf(squared, dy, sums.y);
}

__global__ void __launch_bounds__(repulsion_threads)
    repulsion_kernel(const float* __restrict__ y, bool pairs, std::int64_t points,
                     std::int64_t slice_points, float* __restrict__ partial_forces,
                     double* __restrict__ partial_partitions) {
  __shared__ PointTile tile;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_i = std::int64_t{blockIdx.x} * block_points;
  const std::int64_t begin = std::int64_t{blockIdx.y} * slice_points;
  const std::int64_t end = begin + slice_points < points ? begin + slice_points : points;
  Point yi[points_per_thread];
  Sums sums[points_per_thread];
  const auto point_of = [&](int r) { return first_i + thread + r * repulsion_threads; };
#pragma unroll
  for (int r = 0; r < points_per_thread; ++r) {
    yi[r] = point_of(r) < points ? load_point(y, point_of(r), pairs) : Point{};
  }
  double partition = 0.0;
  for (std::int64_t first_j = begin; first_j < end; first_j += tile_points) {
    __syncthreads();  // the tile before has been read
    tile.points[thread] = first_j + thread < end ? load_point(y, first_j + thread, pairs) : Point{};
    __syncthreads();
#pragma unroll
    for (int r = 0; r < points_per_thread; ++r) {
      sums[r].q = 0.0f;
    }
    const bool plain = first_j + tile_points <= end &&
                       (first_j >= first_i + block_points || first_j + tile_points <= first_i);
    if (plain) {
#pragma unroll 4
      for (int j = 0; j < tile_points; j += 2) {
        const Pack<float, 4> two = load_pack<4>(tile.points[j].value);
#pragma unroll
        for (int r = 0; r < points_per_thread; ++r) {
          add_pair<false>(yi[r], two.value[0], two.value[1], true, sums[r]);
          add_pair<false>(yi[r], two.value[2], two.value[3], true, sums[r]);
        }
      }
    } else {
      const int count = static_cast<int>(end - first_j < tile_points ? end - first_j : tile_points);
      for (int j = 0; j < count; ++j) {
        const Point yj = tile.points[j];
#pragma unroll
        for (int r = 0; r < points_per_thread; ++r) {
          add_pair<true>(yi[r], yj.value[0], yj.value[1], first_j + j != point_of(r), sums[r]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < points_per_thread; ++r) {
      if (point_of(r) < points) partition += static_cast<double>(sums[r].q);
    }
  }
#pragma unroll
  for (int r = 0; r < points_per_thread; ++r) {
    if (point_of(r) < points) {
      store_point(partial_forces, blockIdx.y * points + point_of(r), true,
                  {{sums[r].x, sums[r].y}});
    }
  }
  partition = block_sum<repulsion_threads>(partition);
  if (thread == 0) {
    partial_partitions[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = partition;
  }
}

__global__ void __launch_bounds__(reduce_threads)
    reduce_repulsion_kernel(const float* __restrict__ partial_forces,
                            const double* __restrict__ partial_partitions, std::int64_t points,
                            int slices, std::int64_t blocks, bool pairs, float* __restrict__ force,
                            double* __restrict__ partition) {
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t i = std::int64_t{blockIdx.x} * reduce_threads + thread;
  if (i < points) {
    Point sum{};
#pragma unroll 8
    for (int slice = 0; slice < slices; ++slice) {
      const Point part = load_point(partial_forces, slice * points + i, true);
      sum.value[0] += part.value[0];
      sum.value[1] += part.value[1];
    }
    store_point(force, i, pairs, sum);
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
  ExactRepulsion(CudaBackend& backend, std::int64_t points)
      : backend_(backend), points_(points), i_blocks_(ceil_div(points, block_points)) {
    if (points == 0) return;
    const std::int64_t tiles = ceil_div(points, tile_points);
    const std::int64_t wanted = std::clamp<std::int64_t>(repulsion_blocks / i_blocks_, 1, tiles);
    slice_points_ = ceil_div(tiles, wanted) * tile_points;
    slices_ = static_cast<int>(ceil_div(points, slice_points_));
    partial_forces_ = Buffer<float>(backend, 2 * points * slices_);
    partial_partitions_ = Buffer<double>(backend, i_blocks_ * slices_);
  }

  void evaluate(ConstMat y, Mat force, double* partition) override {
    const OperationRange range("tsne_repulsion");
    require(y.rows == points_ && y.columns == 2 && force.rows == points_ && force.columns == 2,
            "tsne_repulsion", "y and force of N x 2 with the N that it was made for");
    if (points_ == 0) {
      backend_.fill(partition, 0, sizeof(double));
      return;
    }
    launch("repulsion_kernel", repulsion_kernel,
           {.grid = dim3(static_cast<unsigned>(i_blocks_), static_cast<unsigned>(slices_)),
            .block = repulsion_threads},
           backend_.stream(), y.data, points_in_pairs(y.data), points_, slice_points_,
           partial_forces_.data(), partial_partitions_.data());
    launch(
        "reduce_repulsion_kernel", reduce_repulsion_kernel,
        {.grid = static_cast<unsigned>(ceil_div(points_, reduce_threads)), .block = reduce_threads},
        backend_.stream(), partial_forces_.data(), partial_partitions_.data(), points_, slices_,
        i_blocks_ * slices_, points_in_pairs(force.data), force.data, partition);
  }

 private:
  CudaBackend& backend_;
  std::int64_t points_;
  std::int64_t i_blocks_;
  std::int64_t slice_points_ = 0;
  int slices_ = 0;
  Buffer<float> partial_forces_;       ///< slices x N x 2
  Buffer<double> partial_partitions_;  ///< one a block
};

}  // namespace

std::unique_ptr<Repulsion> CudaBackend::make_repulsion(RepulsionMethod method,
                                                       std::int64_t points) {
  require(points >= 0, "make_repulsion", "a number of points that is not negative");
  if (method == RepulsionMethod::tree) {
    throw UsageError("the method 'tree' runs on the CPU only; expected 'exact' with --device cuda");
  }
  return std::make_unique<ExactRepulsion>(*this, points);
}

RepulsionMethod CudaBackend::best_repulsion(std::int64_t /*points*/) const {
  return RepulsionMethod::exact;
}

}  // namespace hourglass::cuda
