// What sigmoid_bce and squared_error share: the checks, the split over threads and the order in
// which partial sums are added. The pass itself is output_loss-inl.hpp.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/row_blocks.hpp"

namespace hourglass::cpu {

/// One pass over rows of the output layer. gradient (and column_sums) null: the loss alone.
struct OutputLossRows {
  const float* pre;
  const float* bias;
  const float* targets;
  float* gradient;
  std::int64_t columns;
  std::int64_t stride;         ///< from row to row of pre and gradient
  std::int64_t target_stride;  ///< of targets
  float gradient_scale;        ///< 1 / (D B)
};

/// The rows [first, end) of one pass, for this processor: column_sums (null without gradient) is
/// written with the sums of their gradient's columns. Returns the sum of their losses.
double sigmoid_bce_pass(const OutputLossRows& pass, LogitRange range, std::int64_t first,
                        std::int64_t end, float* column_sums);
double squared_error_pass(const OutputLossRows& pass, Activation activation, std::int64_t first,
                          std::int64_t end, float* column_sums);

/// `kernel(rows, first, end, column_sums)` computes the rows [first, end), writes the column sums
/// of their gradient and returns the sum of their losses.
template <class Kernel>
void output_loss(const char* name, ThreadPool& pool, Scratch& scratch, ConstMat pre,
                 std::span<const float> bias, ConstMat targets, Mat gradient,
                 std::span<float> bias_gradient, double* loss, Kernel&& kernel) {
  // Some 20 microseconds on one core.
  constexpr std::int64_t elements_for_threads = 32768;
  const std::int64_t rows = pre.rows, columns = pre.columns;
  const bool wants_gradient = !gradient.empty();
  require(static_cast<std::int64_t>(bias.size()) == columns, name, "a bias a column");
  require(targets.rows == rows && targets.columns == columns, name, "targets of the logits' shape");
  require(!wants_gradient || (gradient.rows == rows && gradient.columns == columns), name,
          "a gradient of the logits' shape, or none");
  require(static_cast<std::int64_t>(bias_gradient.size()) == (wants_gradient ? columns : 0) ||
              pre.size() == 0,
          name, "a bias gradient a column, or none where there is no gradient");
  require(loss != nullptr, name, "a place for the loss");
  if (pre.size() == 0) {
    std::fill(bias_gradient.begin(), bias_gradient.end(), 0.0f);
    return;
  }

  const std::int64_t blocks = row_blocks(rows);
  auto* losses = static_cast<double*>(scratch.reserve<double>(
      blocks + (wants_gradient ? (blocks * columns + 1) / 2 : std::int64_t{0})));
  auto* partial = reinterpret_cast<float*>(losses + blocks);
  const OutputLossRows pass{
      pre.data,
      bias.data(),
      targets.data,
      gradient.data,
      columns,
      columns,
      columns,
      static_cast<float>(1.0 / (static_cast<double>(columns) * static_cast<double>(rows)))};
  for_row_blocks(pool, rows, columns, elements_for_threads,
                 [&](std::int64_t block, std::int64_t first, std::int64_t end) {
                   losses[block] = kernel(pass, first, end,
                                          wants_gradient ? partial + block * columns : nullptr);
                 });
  double sum = 0.0;
  for (std::int64_t block = 0; block < blocks; ++block)
    sum += losses[block];
  *loss += sum / static_cast<double>(columns);
  if (wants_gradient) sum_blocks(partial, blocks, columns, bias_gradient.data());
}

}  // namespace hourglass::cpu
