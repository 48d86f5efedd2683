// The pass over the output layer that sigmoid_bce and squared_error share: bias, loss, gradient,
// and the column sums of the gradient, reading each logit once.
//
// Shapes: pre, targets, gradient B x D; bias, bias_gradient D.
// FLOP: those of the formula (sigmoid_bce.cu, squared_error.cu) and 4 an element.
// Bytes: 8 B D read and 4 B D written (nothing where only the loss is asked for).
// Launch: strips and chunks of column_sums.cuh; each block leaves the column sums of its chunk and
// its part of the loss in float64; the last block of a strip adds the former, the last of all the
// latter, in a fixed order.
#pragma once

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/reduce.cuh"
#include "kernels/math.hpp"
#include "kernels/views.hpp"

namespace hourglass::cuda {

// gradient may be pre: each element is read before it is written, by the same thread.
template <class Formula, int V, bool with_gradient>
__global__ void __launch_bounds__(strip_threads)
    loss_kernel(Strips strips, Formula formula, const float* pre, const float* __restrict__ bias,
                const float* __restrict__ targets, float gradient_factor, float* gradient,
                ColumnSums bias_gradient, double* block_losses, double loss_factor,
                double* total_loss, unsigned* ticket) {
  const StripThread<V> place(strips);
  float sum[V] = {};
  double loss = 0.0;
  if (place.inside) {
    const Pack<float, V> shift = load_pack<V>(bias + place.column);
#pragma unroll 1
    for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
      const std::int64_t at = row * strips.columns + place.column;
      const Pack<float, V> logits = load_pack<V>(pre + at);
      const Pack<float, V> wanted = load_pack<V>(targets + at);
      Pack<float, V> slope;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const LossAndGradient l = formula(logits.value[v] + shift.value[v], wanted.value[v]);
        loss += static_cast<double>(l.loss);
        slope.value[v] = l.gradient * gradient_factor;
        sum[v] += slope.value[v];
      }
      if constexpr (with_gradient) store_pack(gradient + at, slope);
    }
  }
  if constexpr (with_gradient) finish_columns(strips, sum, bias_gradient);
  loss = block_sum<strip_threads>(loss);
  if (sum_over_blocks<strip_threads>(loss, block_losses, ticket)) {
    *total_loss += loss_factor * loss;
  }
}

template <class Formula>
void loss_pass(const char* operation, cudaStream_t stream, Scratch& scratch, const Tickets& tickets,
               const Formula& formula, ConstMat pre, std::span<const float> bias, ConstMat targets,
               Mat gradient, std::span<float> bias_gradient, double* loss) {
  const auto columns = static_cast<std::size_t>(pre.columns);
  require(targets.rows == pre.rows && targets.columns == pre.columns && bias.size() == columns,
          operation, "pre and targets of B x D and a bias of D elements");
  require(gradient.empty() || (gradient.rows == pre.rows && gradient.columns == pre.columns),
          operation, "a gradient that is empty or of B x D");
  require(bias_gradient.empty() || (!gradient.empty() && bias_gradient.size() == columns),
          operation, "a bias_gradient that is empty, or of D elements beside a gradient");
  if (pre.size() == 0) return;
  const bool quads = rows_in_quads(pre.columns, pre.data, bias.data(), targets.data, gradient.data);
  const Strips strips = make_strips(pre.rows, pre.columns, quads ? 4 : 1);
  Scratch::Region region =
      scratch.reserve(padded<double>(strips.blocks()) + padded<float>(strips.partials()));
  double* block_losses = region.take<double>(strips.blocks());
  ColumnSums sums;
  if (!bias_gradient.empty()) {
    sums = {region.take<float>(strips.partials()), bias_gradient.data(),
            strip_tickets(strips, tickets)};
  }

  const auto divisor = static_cast<double>(pre.columns);
  const auto gradient_factor = static_cast<float>(1.0 / (divisor * static_cast<double>(pre.rows)));
  auto kernel = gradient.empty()
                    ? (quads ? loss_kernel<Formula, 4, false> : loss_kernel<Formula, 1, false>)
                    : (quads ? loss_kernel<Formula, 4, true> : loss_kernel<Formula, 1, true>);
  launch("loss_kernel", kernel, {.grid = strips.grid(), .block = strip_threads}, stream, strips,
         formula, pre.data, bias.data(), targets.data, gradient_factor, gradient.data, sums,
         block_losses, 1.0 / divisor, loss, tickets.all);
  finish_column_sums(stream, strips, sums);
}

}  // namespace hourglass::cuda
