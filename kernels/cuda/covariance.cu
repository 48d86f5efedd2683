// covariance: c[i, j] = sum over rows of (x_i - mean_i)(x_j - mean_j) / (N - 1), float64, both
// triangles.
//
// Shapes: x N x D float32, mean D, c D x D. N D^2 FLOP in float64 (one triangle), 4 N D bytes read,
// 16 N D through the workspace. Bound by the float64 units: 60,000 x 784 are 37 GFLOP. Launch:
// chunks of rows are centred into float64 and added by a symmetric product (cuBLAS syrk), chunk
// after chunk in order; a last kernel divides and mirrors.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {
namespace {

constexpr int covariance_threads = 256;
constexpr std::int64_t covariance_blocks = round_limit(2048, 3);
constexpr std::int64_t chunk_elements =
    round_limit(std::int64_t{1} << 23, 2048);  // 64 MiB of float64

/// A thread keeps its V columns and strides over the rows.
template <int V>
__global__ void __launch_bounds__(covariance_threads)
    centre_kernel(const float* __restrict__ x, const double* __restrict__ mean, std::int64_t rows,
                  std::int64_t columns, double* __restrict__ centred) {
  const unsigned words = static_cast<unsigned>(columns / V);  // of a row
  const unsigned thread = blockIdx.x * covariance_threads + threadIdx.x;
  const unsigned rows_at_once = gridDim.x * covariance_threads / words;
  if (thread >= rows_at_once * words) return;
  const std::int64_t column = std::int64_t{thread % words} * V;
  double centre[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    centre[v] = mean[column + v];
  }
#pragma unroll 1
  for (std::int64_t row = thread / words; row < rows; row += rows_at_once) {
    const Pack<float, V> in = load_pack<V>(x + row * columns + column);
    constexpr int pair = V == 1 ? 1 : 2;  // two float64 are 128 bits
#pragma unroll
    for (int v = 0; v < V; v += pair) {
      Pack<double, pair> out;
#pragma unroll
      for (int w = 0; w < pair; ++w) {
        out.value[w] = static_cast<double>(in.value[v + w]) - centre[v + w];
      }
      store_pack(centred + row * columns + column + v, out);
    }
  }
}

/// c holds sums in its upper triangle. Each pair of mirrored elements has one thread.
__global__ void __launch_bounds__(covariance_threads)
    finish_covariance_kernel(double divisor, std::int64_t columns, double* __restrict__ c) {
  const std::int64_t stride = std::int64_t{gridDim.x} * covariance_threads;
  for (std::int64_t at = std::int64_t{blockIdx.x} * covariance_threads + threadIdx.x;
       at < columns * columns; at += stride) {
    const std::int64_t i = at / columns;
    const std::int64_t j = at % columns;
    if (j < i) continue;
    const double value = c[at] / divisor;
    c[at] = value;
    c[j * columns + i] = value;
  }
}

}  // namespace

void CudaBackend::covariance(ConstMat x, std::span<const double> mean,
                             std::span<double> covariance) {
  const OperationRange range("covariance");
  const std::int64_t columns = x.columns;
  require(mean.size() == static_cast<std::size_t>(columns) &&
              covariance.size() == static_cast<std::size_t>(columns * columns),
          "covariance", "a mean of D elements and a covariance of D x D");
  if (x.size() == 0) return;
  const std::int64_t chunk = std::clamp<std::int64_t>(chunk_elements / columns, 1, x.rows);
  const bool quads = rows_in_quads(columns, x.data);
  const std::int64_t words = columns / (quads ? 4 : 1);
  double* centred = scratch_.reserve(padded<double>(chunk * columns)).take<double>(chunk * columns);
  for (std::int64_t first = 0; first < x.rows; first += chunk) {
    const std::int64_t rows = std::min(chunk, x.rows - first);
    launch("centre_kernel", quads ? centre_kernel<4> : centre_kernel<1>,
           {.grid = blocks_for(rows * words, covariance_threads,
                               std::max(covariance_blocks, ceil_div(words, covariance_threads))),
            .block = covariance_threads},
           stream(), x.data + first * columns, mean.data(), rows, columns, centred);
    blas_.gram(columns, rows, 1.0, centred, first == 0 ? 0.0 : 1.0, covariance.data());
  }
  launch("finish_covariance_kernel", finish_covariance_kernel,
         {.grid = blocks_for(columns * columns, covariance_threads, covariance_blocks),
          .block = covariance_threads},
         stream(), static_cast<double>(x.rows - 1), columns, covariance.data());
}

}  // namespace hourglass::cuda
