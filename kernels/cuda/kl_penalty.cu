// kl_penalty: mean_activation[k] = mean over b of codes[b, k]; *penalty += B beta sum_k KL(rho ||
// mean_activation[k]); gradient[b, k] += beta KL'(mean_activation[k]) / B.
//
// Formula: kl_sparsity() in math.hpp (Ng 2011). Shapes: codes, gradient B x K; mean_activation K.
// Bytes: 4 B K read by the first kernel, 4 B K read and written by the second; 2 FLOP an element.
// Launch: two kernels over the strips and chunks of column_sums.cuh. The first leaves each chunk's
// column sums; each block of the second adds the chunks of its own columns again (a few hundred
// values from L2), which saves a third launch between them. Its first block adds the penalty of all
// columns in order.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

template <int V>
__global__ void __launch_bounds__(strip_threads)
    activation_sums_kernel(Strips strips, const float* __restrict__ codes,
                           float* __restrict__ partials) {
  const StripThread<V> place(strips);
  float sum[V] = {};
  if (place.inside) {
#pragma unroll 1
    for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
      const Pack<float, V> h = load_pack<V>(codes + row * strips.columns + place.column);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        sum[v] += h.value[v];
      }
    }
  }
  store_column_partials(strips, sum, partials);
}

__device__ __forceinline__ float mean_of_column(const Strips& strips,
                                                const float* __restrict__ partials,
                                                std::int64_t column) {
  double sum = 0.0;
  for (int chunk = 0; chunk < strips.chunks; ++chunk) {
    sum += static_cast<double>(partials[chunk * strips.columns + column]);
  }
  return static_cast<float>(sum / static_cast<double>(strips.rows));
}

/// gradient is null where only the value is asked for; the grid is then one block.
template <int V>
__global__ void __launch_bounds__(strip_threads)
    kl_kernel(Strips strips, const float* __restrict__ partials, float rho, float beta,
              float* __restrict__ gradient, float* __restrict__ mean_activation,
              double* __restrict__ penalty) {
  __shared__ float slope[strip_columns];
  const int thread = static_cast<int>(threadIdx.x);
  if (gradient != nullptr) {
    const int width = strips.lanes * V;  // columns of the strip
    const std::int64_t column = std::int64_t{blockIdx.x} * width + thread;
    if (thread < width && column < strips.columns) {
      const KlTerm term = kl_sparsity(rho, mean_of_column(strips, partials, column));
      slope[thread] = beta * term.gradient / static_cast<float>(strips.rows);
    }
    __syncthreads();
    const StripThread<V> place(strips);
    if (place.inside) {
      const int first = thread % strips.lanes * V;
#pragma unroll 1
      for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
        float* at = gradient + row * strips.columns + place.column;
        Pack<float, V> g = load_pack<V>(at);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          g.value[v] += slope[first + v];
        }
        store_pack(at, g);
      }
    }
  }
  if (blockIdx.x != 0 || blockIdx.y != 0) return;
  double value = 0.0;
  for (std::int64_t column = thread; column < strips.columns; column += strip_threads) {
    const float mean = mean_of_column(strips, partials, column);
    mean_activation[column] = mean;
    value += static_cast<double>(kl_sparsity(rho, mean).value);
  }
  value = block_sum<strip_threads>(value);
  if (thread == 0) {
    *penalty += static_cast<double>(strips.rows) * static_cast<double>(beta) * value;
  }
}

}  // namespace

void CudaBackend::kl_penalty(ConstMat codes, float rho, float beta, Mat gradient,
                             std::span<float> mean_activation, double* penalty) {
  const OperationRange range("kl_penalty");
  require(gradient.empty() || (gradient.rows == codes.rows && gradient.columns == codes.columns),
          "kl_penalty", "a gradient that is empty or of the shape of the codes");
  require(mean_activation.size() == static_cast<std::size_t>(codes.columns), "kl_penalty",
          "a mean_activation for each code unit");
  if (codes.size() == 0) return;
  const bool quads = rows_in_quads(codes.columns, codes.data, gradient.data);
  const Strips strips = make_strips(codes.rows, codes.columns, quads ? 4 : 1);
  float* partials =
      scratch_.reserve(padded<float>(strips.partials())).take<float>(strips.partials());
  launch("activation_sums_kernel", quads ? activation_sums_kernel<4> : activation_sums_kernel<1>,
         {.grid = strips.grid(), .block = strip_threads}, stream(), strips, codes.data, partials);
  launch("kl_kernel", quads ? kl_kernel<4> : kl_kernel<1>,
         {.grid = gradient.empty() ? dim3(1) : strips.grid(), .block = strip_threads}, stream(),
         strips, partials, rho, beta, gradient.data, mean_activation.data(), penalty);
}

}  // namespace hourglass::cuda
