// tsne_update: gradient = exaggeration attraction - repulsion / partition; gains; step = momentum
// step - rate gain gradient, its length clipped; y += step; y recentred at the origin.
//
// Formulas: tsne_gain() and tsne_step() in math.hpp (Jacobs 1988; van der Maaten and Hinton 2008).
// The schedule and the partition are read from device memory, so that an iteration needs nothing
// from the host. Shapes: everything N x 2. Bytes: 56 a point; about 30 FLOP. At N = 10,000 (0.6 MB)
// it is bound by its two launches. Launch: the first kernel moves the points and leaves each
// block's sum of y in float64; in the second every block adds those sums (at most 256, the same
// order everywhere) and subtracts the mean. The blocks agree in every bit, and no third launch or
// grid-wide barrier is needed between them.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

constexpr int update_threads = 256;
constexpr std::int64_t update_blocks =
    round_limit(256, 3);  // a thread of the second kernel reads one block's sum
static_assert(update_blocks <= update_threads);

__global__ void __launch_bounds__(update_threads)
    update_kernel(const float* __restrict__ attraction, const float* __restrict__ repulsion,
                  const double* __restrict__ partition, const TsneSchedule* __restrict__ schedule,
                  std::int64_t points, bool pairs, float* __restrict__ y, float* __restrict__ step,
                  float* __restrict__ gains, double* __restrict__ block_sums) {
  const TsneSchedule s = *schedule;
  const float inverse = static_cast<float>(1.0 / *partition);
  double sum[2] = {};
  const std::int64_t stride = std::int64_t{gridDim.x} * update_threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * update_threads + threadIdx.x; i < points;
       i += stride) {
    const Point pull = load_point(attraction, i, pairs);
    const Point push = load_point(repulsion, i, pairs);
    Point place = load_point(y, i, pairs);
    Point move = load_point(step, i, pairs);
    Point gain = load_point(gains, i, pairs);
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const float gradient = s.exaggeration * pull.value[c] - push.value[c] * inverse;
      gain.value[c] = tsne_gain(gain.value[c], gradient, move.value[c]);
      move.value[c] = tsne_step(move.value[c], gain.value[c], gradient, s);
    }
    const float length = hypotf(move.value[0], move.value[1]);
    const float clip = length > s.max_step ? s.max_step / length : 1.0f;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      move.value[c] *= clip;
      place.value[c] += move.value[c];
      sum[c] += static_cast<double>(place.value[c]);
    }
    store_point(gains, i, pairs, gain);
    store_point(step, i, pairs, move);
    store_point(y, i, pairs, place);
  }
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    sum[c] = block_sum<update_threads>(sum[c]);
    if (threadIdx.x == 0) block_sums[2 * blockIdx.x + c] = sum[c];
  }
}

/// The grid is that of update_kernel.
__global__ void __launch_bounds__(update_threads)
    recentre_kernel(const double* __restrict__ block_sums, std::int64_t points, bool pairs,
                    float* __restrict__ y) {
  __shared__ float mean[2];
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    const double sum =
        block_sum<update_threads>(threadIdx.x < gridDim.x ? block_sums[2 * threadIdx.x + c] : 0.0);
    if (threadIdx.x == 0) mean[c] = static_cast<float>(sum / static_cast<double>(points));
  }
  __syncthreads();
  const std::int64_t stride = std::int64_t{gridDim.x} * update_threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * update_threads + threadIdx.x; i < points;
       i += stride) {
    Point place = load_point(y, i, pairs);
    place.value[0] -= mean[0];
    place.value[1] -= mean[1];
    store_point(y, i, pairs, place);
  }
}

}  // namespace

void CudaBackend::tsne_update(ConstMat attraction, ConstMat repulsion, const double* partition,
                              const TsneSchedule* schedule, Mat y, Mat step, Mat gains) {
  const OperationRange range("tsne_update");
  const auto fits = [&](ConstMat m) { return m.rows == y.rows && m.columns == 2; };
  require(fits(attraction) && fits(repulsion) && fits(y) && fits(step) && fits(gains),
          "tsne_update", "attraction, repulsion, y, step and gains of N x 2");
  if (y.rows == 0) return;
  const bool pairs =
      points_in_pairs(attraction.data, repulsion.data, y.data, step.data, gains.data);
  const LaunchShape shape{.grid = blocks_for(y.rows, update_threads, update_blocks),
                          .block = update_threads};
  double* block_sums =
      scratch_.reserve(padded<double>(2 * update_blocks)).take<double>(2 * update_blocks);
  launch("update_kernel", update_kernel, shape, stream(), attraction.data, repulsion.data,
         partition, schedule, y.rows, pairs, y.data, step.data, gains.data, block_sums);
  launch("recentre_kernel", recentre_kernel, shape, stream(), block_sums, y.rows, pairs, y.data);
}

}  // namespace hourglass::cuda
