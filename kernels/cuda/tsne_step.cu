// tsne_step: one step of every row of y. attraction = sum over j of p_ij q_ij (y_i - s_j), q = 1 /
// (1 + |y_i - s_j|^2); gradient = exaggeration attraction - repulsion / partition; gains; step =
// momentum step - rate gain gradient, its length clipped; next = y + step - mean(y).
//
// Formulas: tsne_gain() and tsne_coordinate_step() in math.hpp (Jacobs 1988; van der Maaten and
// Hinton 2008). Schedule and partition are read from device memory, so that an iteration needs
// nothing from the host.
// Shapes: affinities N rows, about 4 x perplexity entries each, their columns rows of `sources`;
// all else N x 2 or N x 3. Bytes: 8 an entry, read once and coalesced, and 8 (12) gathered from the
// sources, which stay in the caches (N = 10,000: 80 kB); 64 (96) a point. FLOP: 12 (16) and a
// reciprocal an entry, some 30 (45) a point. Bound by the latency of the gathers.
// Launch: one kernel leaves each block's sum of y in float64; in the second, 16 lanes go through a
// row, several entries in flight in each, so that rows of a hundred entries keep all lanes at work
// and the sum over lanes costs half of a warp's. Every block adds the sums of the first kernel (at
// most 128, the same order everywhere): the blocks agree on the mean in every bit. It is that of y,
// not of the next map, whose points are not all there yet: the map so stays within one step's drift
// of the origin. Sums in the order of the lanes, then a butterfly: the same bits every run.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

constexpr int sum_threads = 256;
constexpr std::int64_t sum_points = round_limit(1024, 256);  // a block's, before it takes more
constexpr std::int64_t sum_blocks = round_limit(128, 3);
constexpr int step_threads = 256;
constexpr int step_resident = 4;
constexpr int row_lanes = 16;
constexpr int block_rows = step_threads / row_lanes;
constexpr std::int64_t step_blocks = round_limit(8192, 3);

/// block_sums[dimensions block + c] = sum of coordinate c over the block's points.
template <int dimensions>
__global__ void __launch_bounds__(sum_threads)
    map_sum_kernel(const float* __restrict__ y, bool pairs, std::int64_t points,
                   double* __restrict__ block_sums) {
  double sum[dimensions] = {};
  const std::int64_t stride = std::int64_t{gridDim.x} * sum_threads;
#pragma unroll 1
  for (std::int64_t i = std::int64_t{blockIdx.x} * sum_threads + threadIdx.x; i < points;
       i += stride) {
    const Point<dimensions> place = load_point<dimensions>(y, i, pairs);
#pragma unroll
    for (int c = 0; c < dimensions; ++c)
      sum[c] += static_cast<double>(place.value[c]);
  }
#pragma unroll
  for (int c = 0; c < dimensions; ++c) {
    sum[c] = block_sum<sum_threads>(sum[c]);
    if (threadIdx.x == 0) block_sums[dimensions * blockIdx.x + c] = sum[c];
  }
}

template <int dimensions, bool pairs>
__global__ void __launch_bounds__(step_threads, step_resident)
    step_kernel(const std::int64_t* __restrict__ offsets, const std::int32_t* __restrict__ columns,
                const float* __restrict__ values, std::int64_t rows,
                const float* __restrict__ sources, const float* __restrict__ repulsion,
                const double* __restrict__ partition, const TsneSchedule* __restrict__ schedule,
                const double* __restrict__ block_sums, int sums, const float* __restrict__ y,
                float* __restrict__ next, float* __restrict__ step, float* __restrict__ gains) {
  __shared__ float shared_mean[dimensions];
  const int thread = static_cast<int>(threadIdx.x);
  const TsneSchedule s = *schedule;
  if (thread < warp_size) {
#pragma unroll
    for (int c = 0; c < dimensions; ++c) {
      double sum = 0.0;
      for (int block = thread; block < sums; block += warp_size)
        sum += block_sums[dimensions * block + c];
      sum = warp_sum(sum);
      if (thread == 0) {
        shared_mean[c] = s.recentre ? static_cast<float>(sum / static_cast<double>(rows)) : 0.0f;
      }
    }
  }
  __syncthreads();
  const bool repelled = *partition != 0.0;  // NaN goes through
  const float inverse = static_cast<float>(1.0 / *partition);
  const int lane = thread % row_lanes;
  const std::int64_t stride = std::int64_t{gridDim.x} * block_rows;
  // All lanes of a warp take the same turns: they meet in the sums.
#pragma unroll 1
  for (std::int64_t first = std::int64_t{blockIdx.x} * block_rows; first < rows; first += stride) {
    const std::int64_t row = first + thread / row_lanes;
    Point<dimensions> place{};
    float pull[dimensions] = {};
    if (row < rows) {
      place = load_point<dimensions>(y, row, pairs);
      const std::int64_t end = offsets[row + 1];
#pragma unroll 4
      for (std::int64_t e = offsets[row] + lane; e < end; e += row_lanes) {
        const Point<dimensions> source = load_point<dimensions>(sources, columns[e], pairs);
        float difference[dimensions];
        float squared = 0.0f;
#pragma unroll
        for (int c = 0; c < dimensions; ++c) {
          difference[c] = place.value[c] - source.value[c];
          squared = fmaf(difference[c], difference[c], squared);
        }
        const float weight = values[e] * student_t(squared);
#pragma unroll
        for (int c = 0; c < dimensions; ++c)
          pull[c] = fmaf(weight, difference[c], pull[c]);
      }
    }
#pragma unroll
    for (int c = 0; c < dimensions; ++c) {
#pragma unroll
      for (int lanes = row_lanes / 2; lanes > 0; lanes >>= 1)
        pull[c] += __shfl_xor_sync(full_mask, pull[c], lanes, row_lanes);
    }
    if (lane != 0 || row >= rows) continue;
    Point<dimensions> push{};
    if (repelled) push = load_point<dimensions>(repulsion, row, pairs);
    Point<dimensions> move = load_point<dimensions>(step, row, pairs);
    Point<dimensions> gain = load_point<dimensions>(gains, row, pairs);
    float length = 0.0f;
#pragma unroll
    for (int c = 0; c < dimensions; ++c) {
      float gradient = s.exaggeration * pull[c];
      if (repelled) gradient -= push.value[c] * inverse;
      gain.value[c] = tsne_gain(gain.value[c], gradient, move.value[c]);
      move.value[c] = tsne_coordinate_step(move.value[c], gain.value[c], gradient, s);
      length = hypotf(length, move.value[c]);
    }
    const float clip = length > s.max_step ? s.max_step / length : 1.0f;
#pragma unroll
    for (int c = 0; c < dimensions; ++c) {
      move.value[c] *= clip;
      place.value[c] = place.value[c] + move.value[c] - shared_mean[c];
    }
    store_point<dimensions>(gains, row, pairs, gain);
    store_point<dimensions>(step, row, pairs, move);
    store_point<dimensions>(next, row, pairs, place);
  }
}

}  // namespace

void CudaBackend::tsne_step(ConstCsrView affinities, ConstMat sources, ConstMat repulsion,
                            const double* partition, const TsneSchedule* schedule, ConstMat y,
                            Mat next, Mat step, Mat gains) {
  const OperationRange range("tsne_step");
  constexpr const char* name = "tsne_step";
  const auto fits = [&](ConstMat m) { return m.rows == y.rows && m.columns == y.columns; };
  require(map_dimensions(y.columns) && sources.columns == y.columns, name,
          "maps of two or three dimensions");
  require(affinities.rows == y.rows && fits(repulsion) && fits(next) && fits(step) && fits(gains),
          name, "as many rows of affinities, repulsion, next, step and gains as y");
  require(next.data != y.data && next.data != sources.data, name, "a next map beside y");
  if (y.rows == 0) return;
  const bool plane = y.columns == 2;
  const bool pairs = plane && points_in_pairs(sources.data, repulsion.data, y.data, next.data,
                                              step.data, gains.data);
  const unsigned sums = blocks_for(y.rows, sum_points, sum_blocks);
  const std::int64_t words = y.columns * sum_blocks;
  double* block_sums = scratch_.reserve(padded<double>(words)).take<double>(words);
  launch("map_sum_kernel", plane ? map_sum_kernel<2> : map_sum_kernel<3>,
         {.grid = sums, .block = sum_threads}, stream(), y.data, pairs, y.rows, block_sums);
  const auto kernel = !plane  ? step_kernel<3, false>
                      : pairs ? step_kernel<2, true>
                              : step_kernel<2, false>;
  launch("step_kernel", kernel,
         {.grid = blocks_for(y.rows, block_rows, step_blocks), .block = step_threads}, stream(),
         affinities.offsets, affinities.columns, affinities.values, y.rows, sources.data,
         repulsion.data, partition, schedule, block_sums, static_cast<int>(sums), y.data, next.data,
         step.data, gains.data);
}

}  // namespace hourglass::cuda
