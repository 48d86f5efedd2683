// bias_activation: pre[b, k] += bias[k]; out = f(pre).
// bias_activation_backward: gradient *= f'(pre); bias_gradient[k] = sum over b of gradient[b, k].
//
// Shapes: pre, out, gradient B x K; bias, bias_gradient K.
// FLOP: 2 an element for relu, some 20 where f has an exponential.
// Bytes: forward 4 B K read and 4 B K written (8 where out is not pre); backward 8 B K read (12 for
// gelu) and 4 B K written, the column sums in the same pass. Bound by bandwidth, at training sizes
// (256 x 32) by the launch. Launch: forward, a thread keeps its columns and strides over the rows,
// 128 bits at a time where K is a multiple of 4. Backward, strips and chunks of column_sums.cuh,
// whose last block adds the chunks.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/column_sums.cuh"

namespace hourglass::cuda {
namespace {

constexpr int forward_threads = 256;
constexpr std::int64_t forward_blocks = round_limit(2048, 3);

// pre and out may be one matrix: each element is read before it is written, by the same thread.
template <Activation f, int V>
__global__ void __launch_bounds__(forward_threads)
    bias_activation_kernel(const float* __restrict__ bias, std::int64_t rows, std::int64_t columns,
                           float* pre, float* out) {
  const unsigned words = static_cast<unsigned>(columns / V);  // of a row
  const unsigned thread = blockIdx.x * forward_threads + threadIdx.x;
  const unsigned rows_at_once = gridDim.x * forward_threads / words;
  if (thread >= rows_at_once * words) return;
  const std::int64_t column = std::int64_t{thread % words} * V;
  const Pack<float, V> shift = load_pack<V>(bias + column);
#pragma unroll 1
  for (std::int64_t b = thread / words; b < rows; b += rows_at_once) {
    const std::int64_t at = b * columns + column;
    Pack<float, V> z = load_pack<V>(pre + at);
    Pack<float, V> y;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      z.value[v] += shift.value[v];
      y.value[v] = activate(f, z.value[v]);
    }
    if (pre != out) store_pack(pre + at, z);
    store_pack(out + at, y);
  }
}

template <Activation f, int V, bool reads_pre = !derivative_from_output(f)>
__global__ void __launch_bounds__(strip_threads)
    bias_activation_backward_kernel(Strips strips, const float* pre, const float* out,
                                    float* gradient, ColumnSums bias_gradient) {
  const StripThread<V> place(strips);
  float sum[V] = {};
  if (place.inside) {
#pragma unroll 1
    for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
      const std::int64_t at = row * strips.columns + place.column;
      const Pack<float, V> y = load_pack<V>(out + at);
      const Pack<float, V> z = reads_pre ? load_pack<V>(pre + at) : y;
      Pack<float, V> g = load_pack<V>(gradient + at);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        g.value[v] *= activation_derivative(f, z.value[v], y.value[v]);
        sum[v] += g.value[v];
      }
      store_pack(gradient + at, g);
    }
  }
  finish_columns(strips, sum, bias_gradient);
}

}  // namespace

void CudaBackend::bias_activation(Activation activation, std::span<const float> bias, Mat pre,
                                  Mat out) {
  const OperationRange range("bias_activation");
  require(pre.rows == out.rows && pre.columns == out.columns &&
              bias.size() == static_cast<std::size_t>(pre.columns),
          "bias_activation", "pre and out of B x K and a bias of K elements");
  if (pre.size() == 0) return;
  const bool quads = rows_in_quads(pre.columns, bias.data(), pre.data, out.data);
  const std::int64_t words = pre.columns / (quads ? 4 : 1);
  const unsigned blocks = blocks_for(pre.rows * words, forward_threads,
                                     std::max(forward_blocks, ceil_div(words, forward_threads)));
  with_activation(activation, [&](auto f) {
    launch("bias_activation_kernel",
           quads ? bias_activation_kernel<f(), 4> : bias_activation_kernel<f(), 1>,
           {.grid = blocks, .block = forward_threads}, stream(), bias.data(), pre.rows, pre.columns,
           pre.data, out.data);
  });
}

void CudaBackend::bias_activation_backward(Activation activation, ConstMat pre, ConstMat out,
                                           Mat gradient, std::span<float> bias_gradient) {
  const OperationRange range("bias_activation_backward");
  require(pre.rows == gradient.rows && pre.columns == gradient.columns &&
              out.rows == gradient.rows && out.columns == gradient.columns &&
              (bias_gradient.empty() ||
               bias_gradient.size() == static_cast<std::size_t>(gradient.columns)),
          "bias_activation_backward",
          "pre, out and gradient of B x K and a bias_gradient of K elements");
  if (gradient.size() == 0) return;
  const bool quads = rows_in_quads(gradient.columns, pre.data, out.data, gradient.data);
  const Strips strips = make_strips(gradient.rows, gradient.columns, quads ? 4 : 1);
  ColumnSums sums;
  if (!bias_gradient.empty()) {
    Scratch::Region region = scratch_.reserve(padded<float>(strips.partials()));
    sums = {region.take<float>(strips.partials()), bias_gradient.data(),
            strip_tickets(strips, tickets_)};
  }
  with_activation(activation, [&](auto f) {
    launch(
        "bias_activation_backward_kernel",
        quads ? bias_activation_backward_kernel<f(), 4> : bias_activation_backward_kernel<f(), 1>,
        {.grid = strips.grid(), .block = strip_threads}, stream(), strips, pre.data, out.data,
        gradient.data, sums);
  });
  finish_column_sums(stream(), strips, sums);
}

}  // namespace hourglass::cuda
