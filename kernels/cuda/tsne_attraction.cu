// tsne_attraction: force[i] = sum over j of p_ij q_ij (y_i - y_j), q_ij = 1 / (1 + |y_i - y_j|^2),
// over the stored p_ij.
//
// Shapes: affinities N rows, about 4 x perplexity entries each; y and force N x 2.
// Bytes: 8 an entry, read once and coalesced, and 8 gathered from y, which stays in the caches (N =
// 10,000: 80 kB). 12 FLOP and a reciprocal an entry. Bound by the latency of the gathers. Launch:
// hence a warp a row, several entries a lane in flight. Sums in the order of the lanes, then a
// butterfly: the same bits every run.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

constexpr int attraction_threads = 256;
constexpr int attraction_resident = 4;
constexpr int attraction_warps = attraction_threads / warp_size;
constexpr std::int64_t attraction_blocks = round_limit(8192, 3);

template <bool pairs>
__global__ void __launch_bounds__(attraction_threads, attraction_resident)
    attraction_kernel(const std::int64_t* __restrict__ offsets,
                      const std::int32_t* __restrict__ columns, const float* __restrict__ values,
                      std::int64_t rows, const float* __restrict__ y, float* __restrict__ force) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t stride = std::int64_t{gridDim.x} * attraction_warps;
  for (std::int64_t row = std::int64_t{blockIdx.x} * attraction_warps + threadIdx.x / warp_size;
       row < rows; row += stride) {
    const Point yi = load_point(y, row, pairs);
    const std::int64_t end = offsets[row + 1];
    float fx = 0.0f;
    float fy = 0.0f;
#pragma unroll 4
    for (std::int64_t e = offsets[row] + lane; e < end; e += warp_size) {
      const Point yj = load_point(y, columns[e], pairs);
      const float dx = yi.value[0] - yj.value[0];
      const float dy = yi.value[1] - yj.value[1];
      const float pull = values[e] * student_t(fmaf(dx, dx, dy * dy));
      fx = fmaf(pull, dx, fx);
      fy = fmaf(pull, dy, fy);
    }
    fx = warp_sum(fx);
    fy = warp_sum(fy);
    if (lane == 0) store_point(force, row, pairs, {{fx, fy}});
  }
}

}  // namespace

void CudaBackend::tsne_attraction(ConstCsrView affinities, ConstMat y, Mat force) {
  const OperationRange range("tsne_attraction");
  require(y.columns == 2 && force.columns == 2 && y.rows == affinities.rows &&
              force.rows == affinities.rows,
          "tsne_attraction", "y and force of N x 2");
  if (affinities.rows == 0) return;
  const bool pairs = points_in_pairs(y.data, force.data);
  launch("attraction_kernel", pairs ? attraction_kernel<true> : attraction_kernel<false>,
         {.grid = blocks_for(affinities.rows, attraction_warps, attraction_blocks),
          .block = attraction_threads},
         stream(), affinities.offsets, affinities.columns, affinities.values, affinities.rows,
         y.data, force.data);
}

}  // namespace hourglass::cuda
