// tsne_kl: *kl = sum over the stored p_ij of p log(p / q_ij), q_ij = w_ij / Z, w = 1 / (1 + |y_i -
// y_j|^2), all of P, in float64; Z = sum over i != j of w, unless it is given.
//
// With log q = log w - log Z the sum splits into A = sum p log(p / w) and B = sum p, so that the
// pairs and the entries need not wait for one another: kl = A + B log Z. Shapes: affinities N rows,
// y N x 2 or N x 3. FLOP: 6 (9) and a division in float64 for each of the N (N - 1) / 2 unordered
// pairs (w is symmetric; Z counts it twice). Bytes: 8 an entry; nothing beside the arithmetic.
// Launch: pairs, a
// block for 256 points i and a slice of the points j, staged in shared memory as float64, tiles
// before the diagonal skipped; entries, a warp a row; one block adds both kinds of partial sums in
// a fixed order.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

constexpr int kl_threads = 256;
constexpr int kl_warps = kl_threads / warp_size;
constexpr std::int64_t pair_blocks = round_limit(4096, 6);
constexpr std::int64_t entry_blocks = round_limit(2048, 3);

/// In the plane one 128-bit word.
template <int dimensions>
struct alignas(dimensions == 2 ? 16 : 8) Point64 {
  double value[dimensions];
};

template <int dimensions>
__device__ __forceinline__ Point64<dimensions> load_point64(const float* map, std::int64_t i) {
  Point64<dimensions> point;
#pragma unroll
  for (int c = 0; c < dimensions; ++c)
    point.value[c] = static_cast<double>(map[dimensions * i + c]);
  return point;
}

/// 1 + |a - b|^2 = 1 / w.
template <int dimensions>
__device__ __forceinline__ double inverse_weight(const Point64<dimensions>& a,
                                                 const Point64<dimensions>& b) {
  double sum = 1.0;
#pragma unroll
  for (int c = dimensions - 1; c >= 0; --c) {
    const double difference = a.value[c] - b.value[c];
    sum = fma(difference, difference, sum);
  }
  return sum;
}

/// partitions[block] = sum of w over the block's pairs i < j.
template <int dimensions>
__global__ void __launch_bounds__(kl_threads)
    partition_kernel(const float* __restrict__ y, std::int64_t points, std::int64_t slice_points,
                     double* __restrict__ partitions) {
  __shared__ Point64<dimensions> tile[kl_threads];
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_i = std::int64_t{blockIdx.x} * kl_threads;
  const std::int64_t i = first_i + thread;
  const std::int64_t begin = std::int64_t{blockIdx.y} * slice_points;
  const std::int64_t end = begin + slice_points < points ? begin + slice_points : points;
  Point64<dimensions> yi{};
  if (i < points) yi = load_point64<dimensions>(y, i);
  double sum = 0.0;
  for (std::int64_t first_j = begin; first_j < end; first_j += kl_threads) {
    if (first_j + kl_threads <= first_i) continue;  // the whole tile is before the diagonal
    const std::int64_t staged = first_j + thread;
    if (staged < end) tile[thread] = load_point64<dimensions>(y, staged);
    __syncthreads();
    const int count = static_cast<int>(end - first_j < kl_threads ? end - first_j : kl_threads);
    const std::int64_t after = i + 1 - first_j;  // j > i only
    for (int j = after > 0 ? static_cast<int>(after) : 0; j < count; ++j) {
      sum += 1.0 / inverse_weight(yi, tile[j]);
    }
    __syncthreads();
  }
  sum = block_sum<kl_threads>(sum);
  if (thread == 0) partitions[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = sum;
}

/// entries[2 block], entries[2 block + 1] = sums of p log(p / w) and of p.
template <int dimensions>
__global__ void __launch_bounds__(kl_threads)
    entries_kernel(const std::int64_t* __restrict__ offsets,
                   const std::int32_t* __restrict__ columns, const float* __restrict__ values,
                   std::int64_t rows, const float* __restrict__ y, double* __restrict__ entries) {
  double divergence = 0.0;
  double mass = 0.0;
  const std::int64_t stride = std::int64_t{gridDim.x} * kl_warps;
  for (std::int64_t row = std::int64_t{blockIdx.x} * kl_warps + threadIdx.x / warp_size; row < rows;
       row += stride) {
    const Point64<dimensions> yi = load_point64<dimensions>(y, row);
    const std::int64_t end = offsets[row + 1];
    for (std::int64_t e = offsets[row] + threadIdx.x % warp_size; e < end; e += warp_size) {
      const double p = static_cast<double>(values[e]);
      const Point64<dimensions> yj = load_point64<dimensions>(y, columns[e]);
      // p log p is 0 at 0; NaN goes through.
      if (p != 0.0) divergence += p * log(p * inverse_weight(yi, yj));
      mass += p;
    }
  }
  divergence = block_sum<kl_threads>(divergence);
  mass = block_sum<kl_threads>(mass);
  if (threadIdx.x == 0) {
    entries[2 * blockIdx.x] = divergence;
    entries[2 * blockIdx.x + 1] = mass;
  }
}

__global__ void __launch_bounds__(kl_threads)
    finish_kl_kernel(const double* __restrict__ partitions, std::int64_t partition_count,
                     const double* __restrict__ entries, std::int64_t entry_count,
                     const double* __restrict__ given, double* __restrict__ kl) {
  double half_partition = 0.0;
  double divergence = 0.0;
  double mass = 0.0;
  for (std::int64_t block = threadIdx.x; block < partition_count; block += kl_threads) {
    half_partition += partitions[block];
  }
  for (std::int64_t block = threadIdx.x; block < entry_count; block += kl_threads) {
    divergence += entries[2 * block];
    mass += entries[2 * block + 1];
  }
  half_partition = block_sum<kl_threads>(half_partition);
  divergence = block_sum<kl_threads>(divergence);
  mass = block_sum<kl_threads>(mass);
  if (threadIdx.x == 0) {
    const double partition = given != nullptr ? *given : 2.0 * half_partition;
    *kl = mass != 0.0 ? divergence + mass * log(partition) : divergence;
  }
}

}  // namespace

void CudaBackend::tsne_kl(ConstCsrView affinities, ConstMat y, const double* partition,
                          double* kl) {
  const OperationRange range("tsne_kl");
  const std::int64_t points = affinities.rows;
  require(map_dimensions(y.columns) && y.rows == points, "tsne_kl", "y of N x 2 or N x 3");
  if (points == 0) {
    fill(kl, 0, sizeof(double));
    return;
  }
  const std::int64_t tiles = ceil_div(points, kl_threads);
  const std::int64_t wanted = std::clamp<std::int64_t>(pair_blocks / tiles, 1, tiles);
  const std::int64_t slice_points = ceil_div(tiles, wanted) * kl_threads;
  const std::int64_t slices = ceil_div(points, slice_points);
  const unsigned entry_count = blocks_for(points, kl_warps, entry_blocks);
  Scratch::Region region =
      scratch_.reserve(padded<double>(tiles * slices) + padded<double>(2 * entry_count));
  double* partitions = region.take<double>(tiles * slices);
  double* entries = region.take<double>(2 * entry_count);
  const bool plane = y.columns == 2;
  if (partition == nullptr) {
    launch("partition_kernel", plane ? partition_kernel<2> : partition_kernel<3>,
           {.grid = dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(slices)),
            .block = kl_threads},
           stream(), y.data, points, slice_points, partitions);
  }
  launch("entries_kernel", plane ? entries_kernel<2> : entries_kernel<3>,
         {.grid = entry_count, .block = kl_threads}, stream(), affinities.offsets,
         affinities.columns, affinities.values, points, y.data, entries);
  launch("finish_kl_kernel", finish_kl_kernel, {.grid = 1, .block = kl_threads}, stream(),
         partitions, partition == nullptr ? tiles * slices : 0, entries, std::int64_t{entry_count},
         partition, kl);
}

}  // namespace hourglass::cuda
