// contractive_penalty: *penalty += lambda sum over b, k of f'(a_bk)^2 |W_k|^2, the square Frobenius
// norm of the Jacobian of a one-layer encoder (Rifai et al. 2011); gradient[b, k] += (lambda / B)
// 2 f''(a_bk) |W_k|^2; weights_gradient[j, k] = beta weights_gradient[j, k] + (2 lambda / B) W_jk
// sum_b f'(a_bk)^2.
//
// Formula: contractive() in math.hpp. Shapes: pre, codes, gradient B x K; weights, weights_gradient
// D x K. Bytes: 8 B K read (12 for gelu) and 4 B K written, where f is curved; else 4 B K read. The
// weights are read twice, their gradient is read (where beta is not 0) and written: 12 to 16 D K.
// FLOP: some 10 an element of the batch, 5 a weight. Bound by bandwidth, at training sizes by the
// three launches. Launch: strips and chunks of column_sums.cuh. The first kernel leaves each
// chunk's square norms of the columns of the weights, the second each chunk's column sums of f'^2;
// each block that needs sums of its own columns adds their chunks again (a few hundred values from
// L2), which saves two launches. The first block of the third adds the penalty of all columns in
// order. Sums are float64.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

/// The sum of a column's chunks.
__device__ __forceinline__ double sum_of_column(const Strips& strips,
                                                const double* __restrict__ partials,
                                                std::int64_t column) {
  double sum = 0.0;
  for (int chunk = 0; chunk < strips.chunks; ++chunk) {
    sum += partials[chunk * strips.columns + column];
  }
  return sum;
}

/// factors[c] = scale times the sum of column c of the block's strip. All threads must call it.
template <int V>
__device__ __forceinline__ void column_factors(const Strips& place, const Strips& strips,
                                               const double* __restrict__ partials, double scale,
                                               float (&factors)[strip_columns]) {
  const int thread = static_cast<int>(threadIdx.x);
  const int width = place.lanes * V;
  const std::int64_t column = std::int64_t{blockIdx.x} * width + thread;
  if (thread < width && column < place.columns) {
    factors[thread] = static_cast<float>(scale * sum_of_column(strips, partials, column));
  }
  __syncthreads();
}

template <int V>
__global__ void __launch_bounds__(strip_threads)
    square_norms_kernel(Strips strips, const float* __restrict__ weights,
                        double* __restrict__ partials) {
  const StripThread<V> place(strips);
  double sum[V] = {};
  if (place.inside) {
#pragma unroll 1
    for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
      const Pack<float, V> w = load_pack<V>(weights + row * strips.columns + place.column);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const auto value = static_cast<double>(w.value[v]);
        sum[v] += value * value;
      }
    }
  }
  store_column_partials(strips, sum, partials);
}

/// share = lambda / B; gradient is null where it is not asked for.
template <Activation f, int V, bool curved = is_curved(f),
          bool reads_pre = !derivative_from_output(f)>
__global__ void __launch_bounds__(strip_threads)
    slopes_kernel(Strips strips, const float* __restrict__ pre, const float* __restrict__ codes,
                  Strips weight_strips, const double* __restrict__ norms, double share,
                  float* __restrict__ gradient, double* __restrict__ partials) {
  __shared__ float factors[strip_columns];
  const bool with_gradient = curved && gradient != nullptr;
  if (with_gradient) column_factors<V>(strips, weight_strips, norms, share, factors);
  const StripThread<V> place(strips);
  double sum[V] = {};
  if (place.inside) {
    const int first = static_cast<int>(threadIdx.x) % strips.lanes * V;
#pragma unroll 1
    for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
      const std::int64_t at = row * strips.columns + place.column;
      const Pack<float, V> h = load_pack<V>(codes + at);
      const Pack<float, V> a = reads_pre ? load_pack<V>(pre + at) : h;
      Pack<float, V> slope;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const ContractiveTerm term = contractive(f, a.value[v], h.value[v]);
        sum[v] += static_cast<double>(term.value);
        slope.value[v] = term.gradient;
      }
      if (!with_gradient) continue;
      Pack<float, V> g = load_pack<V>(gradient + at);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        g.value[v] += factors[first + v] * slope.value[v];
      }
      store_pack(gradient + at, g);
    }
  }
  store_column_partials(strips, sum, partials);
}

/// weights_gradient is null where it is not asked for; the grid is then one block.
template <int V>
__global__ void __launch_bounds__(strip_threads)
    contractive_kernel(Strips strips, const float* __restrict__ weights,
                       const double* __restrict__ norms, Strips code_strips,
                       const double* __restrict__ slopes, float lambda, double share, float beta,
                       float* __restrict__ weights_gradient, double* __restrict__ penalty) {
  __shared__ float factors[strip_columns];
  const int thread = static_cast<int>(threadIdx.x);
  if (weights_gradient != nullptr) {
    column_factors<V>(strips, code_strips, slopes, 2.0 * share, factors);
    const StripThread<V> place(strips);
    if (place.inside) {
      const int first = thread % strips.lanes * V;
#pragma unroll 1
      for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
        const std::int64_t at = row * strips.columns + place.column;
        const Pack<float, V> w = load_pack<V>(weights + at);
        Pack<float, V> g{};
        if (beta != 0.0f) g = load_pack<V>(weights_gradient + at);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          g.value[v] = beta * g.value[v] + factors[first + v] * w.value[v];
        }
        store_pack(weights_gradient + at, g);
      }
    }
  }
  if (blockIdx.x != 0 || blockIdx.y != 0) return;
  double value = 0.0;
#pragma unroll 1
  for (std::int64_t column = thread; column < strips.columns; column += strip_threads) {
    value += sum_of_column(strips, norms, column) * sum_of_column(code_strips, slopes, column);
  }
  value = block_sum<strip_threads>(value);
  if (thread == 0) *penalty += static_cast<double>(lambda) * value;
}

}  // namespace

void CudaBackend::contractive_penalty(Activation activation, ConstMat weights, ConstMat pre,
                                      ConstMat codes, float lambda, float beta, Mat gradient,
                                      Mat weights_gradient, double* penalty) {
  const OperationRange range("contractive_penalty");
  const char* name = "contractive_penalty";
  const std::int64_t rows = codes.rows, columns = codes.columns;
  require(weights.columns == columns, name, "weights of D x K and codes of B x K");
  require(derivative_from_output(activation) || (pre.rows == rows && pre.columns == columns), name,
          "pre of the shape of the codes");
  require(gradient.empty() || (gradient.rows == rows && gradient.columns == columns), name,
          "a gradient that is empty or of the shape of the codes");
  require(weights_gradient.empty() ||
              (weights_gradient.rows == weights.rows && weights_gradient.columns == columns),
          name, "a weights_gradient that is empty or of the shape of the weights");
  if (columns == 0) return;
  const double share = rows == 0 ? 0.0 : static_cast<double>(lambda) / static_cast<double>(rows);
  const bool quads =
      rows_in_quads(columns, weights.data, derivative_from_output(activation) ? nullptr : pre.data,
                    codes.data, gradient.data, weights_gradient.data);
  const Strips weight_strips = make_strips(weights.rows, columns, quads ? 4 : 1);
  const Strips code_strips = make_strips(rows, columns, quads ? 4 : 1);
  Scratch::Region region = scratch_.reserve(padded<double>(weight_strips.partials()) +
                                            padded<double>(code_strips.partials()));
  double* norms = region.take<double>(weight_strips.partials());
  double* slopes = region.take<double>(code_strips.partials());
  launch("square_norms_kernel", quads ? square_norms_kernel<4> : square_norms_kernel<1>,
         {.grid = weight_strips.grid(), .block = strip_threads}, stream(), weight_strips,
         weights.data, norms);
  with_activation(activation, [&](auto f) {
    launch("slopes_kernel", quads ? slopes_kernel<f(), 4> : slopes_kernel<f(), 1>,
           {.grid = code_strips.grid(), .block = strip_threads}, stream(), code_strips, pre.data,
           codes.data, weight_strips, norms, share, gradient.data, slopes);
  });
  launch(
      "contractive_kernel", quads ? contractive_kernel<4> : contractive_kernel<1>,
      {.grid = weights_gradient.empty() ? dim3(1) : weight_strips.grid(), .block = strip_threads},
      stream(), weight_strips, weights.data, norms, code_strips, slopes, lambda, share, beta,
      weights_gradient.data, penalty);
}

}  // namespace hourglass::cuda
