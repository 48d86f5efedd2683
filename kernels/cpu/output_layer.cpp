// output_layer: products, loss and their gradients by tiles of 32 rows and up to 112 columns of the
// logits, 14 KB, which stay in the first-level cache from the first product to the last (in the
// second, 57 KB, where the input is wide). 6 B K D FLOPs and what the loss takes; reads the targets
// once, and never writes the logits.
//
// A thread has a range of columns, and of W and its gradient with them: only the gradient of the
// input, B x K, is summed over the threads.
#include "kernels/output_layer.hpp"

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/block_product.hpp"
#include "kernels/cpu/output_loss.hpp"

namespace hourglass::cpu {
namespace {

constexpr std::int64_t widest_panel = 112;

/// Rows of a tile: the wider W, the longer the product that adds to its gradient must be to be
/// worth loading and storing that. Losses and sums of a tile go by blocks of 32 rows
/// (row_blocks.hpp).
std::int64_t tile_rows(std::int64_t units) {
  return units <= 64 ? rows_per_block : 4 * rows_per_block;
}

// Of an input this wide a panel of W and its gradient take half of a second-level cache of 512 KB.
constexpr std::int64_t widest_input = 256;
// Columns of W that no two threads share a cache line of.
constexpr std::int64_t line = 16;

struct Layer {
  OutputLoss loss_of;
  LogitRange range;
  ConstMat input, weights;
  const float* bias;
  ConstMat targets;
  float gradient_scale;  ///< 1 / (D B)
  Mat weights_gradient;  ///< empty: the loss alone
  float* bias_gradient;
};

/// What a thread works in.
struct Workspace {
  float* logits;          ///< a tile
  float* turned_weights;  ///< a panel of W, transposed
  float* column_sums;     ///< of a tile's gradient
  double* bias_gradient;  ///< of a panel
  float* input_gradient;  ///< B x K
};

double loss_of_block(const Layer& layer, const OutputLossRows& pass, std::int64_t rows,
                     float* column_sums) {
  return layer.loss_of.cross_entropy
             ? sigmoid_bce_pass(pass, layer.range, 0, rows, column_sums)
             : squared_error_pass(pass, layer.loss_of.activation, 0, rows, column_sums);
}

/// The columns [first, first + width): returns their losses' sum. `fresh`: input_gradient is
/// written, not added to.
double run_panel(const Layer& layer, const Workspace& work, std::int64_t first, std::int64_t width,
                 bool fresh) {
  const std::int64_t batch = layer.input.rows, units = layer.input.columns;
  const std::int64_t outputs = layer.weights.columns;
  const bool wants_gradient = !layer.weights_gradient.empty();
  const Strided<const float> weights{layer.weights.data + first, outputs};
  const Strided<float> logits{work.logits, width};
  const Strided<const float> gradient{work.logits, width};
  if (wants_gradient) {
    transpose_block(units, width, weights, {work.turned_weights, units});
    std::fill_n(work.bias_gradient, width, 0.0);
  }
  double loss = 0.0;
  const std::int64_t tallest = tile_rows(units);
  for (std::int64_t row = 0; row < batch; row += tallest) {
    const std::int64_t rows = std::min(tallest, batch - row);
    const Strided<const float> input{layer.input.data + row * units, units};
    block_product(false, rows, width, units, input, weights, false, logits);
    for (std::int64_t first_row = 0; first_row < rows; first_row += rows_per_block) {
      float* block = work.logits + first_row * width;
      const OutputLossRows pass{block,
                                layer.bias + first,
                                layer.targets.data + (row + first_row) * outputs + first,
                                wants_gradient ? block : nullptr,
                                width,
                                width,
                                outputs,
                                layer.gradient_scale};
      loss += loss_of_block(layer, pass, std::min(rows_per_block, rows - first_row),
                            wants_gradient ? work.column_sums : nullptr);
      if (!wants_gradient) continue;
      for (std::int64_t j = 0; j < width; ++j)
        work.bias_gradient[j] += static_cast<double>(work.column_sums[j]);
    }
    if (!wants_gradient) continue;
    block_product(false, rows, units, width, gradient, {work.turned_weights, units}, !fresh,
                  {work.input_gradient + row * units, units});
    block_product(true, units, width, rows, input, gradient, row > 0,
                  {layer.weights_gradient.data + first, outputs});
  }
  if (wants_gradient) {
    for (std::int64_t j = 0; j < width; ++j)
      layer.bias_gradient[first + j] = static_cast<float>(work.bias_gradient[j]);
  }
  return loss;
}

/// The columns [begin, end) in panels of nearly one width, each but the last whole cache lines.
double run_range(const Layer& layer, const Workspace& work, std::int64_t begin, std::int64_t end) {
  const std::int64_t panels = (end - begin + widest_panel - 1) / widest_panel;
  double loss = 0.0;
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    const Range columns =
        split(end - begin, static_cast<int>(panel), static_cast<int>(panels), line);
    if (columns.size() > 0) {
      loss += run_panel(layer, work, begin + columns.begin, columns.size(), columns.begin == 0);
    }
  }
  return loss;
}

}  // namespace

void CpuBackend::output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                              std::span<const float> bias, ConstMat targets, Mat work,
                              Mat input_gradient, Mat weights_gradient,
                              std::span<float> bias_gradient, double* loss) {
  constexpr double flops_for_threads = 1e6;
  const std::int64_t batch = input.rows, units = input.columns, outputs = weights.columns;
  const bool wants_gradient = !weights_gradient.empty();
  check_output_layer(loss_of, input, weights, bias, targets, work, input_gradient, weights_gradient,
                     bias_gradient, loss);
  if (batch == 0 || units == 0 || outputs == 0 || units > widest_input) {
    output_layer_by_parts(*this, loss_of, input, weights, bias, targets, work, input_gradient,
                          weights_gradient, bias_gradient, loss);
    return;
  }

  const Layer layer{
      loss_of,
      logit_range(loss_of.clip),
      input,
      weights,
      bias.data(),
      targets,
      static_cast<float>(1.0 / (static_cast<double>(outputs) * static_cast<double>(batch))),
      weights_gradient,
      bias_gradient.data()};
  const double flops =
      6.0 * static_cast<double>(batch) * static_cast<double>(units) * static_cast<double>(outputs);
  const int threads = flops < flops_for_threads ? 1 : pool_.threads();
  const std::int64_t panel = std::min(widest_panel, outputs + line);
  const auto lines = [](std::int64_t floats) { return (floats + line - 1) / line * line; };
  // Of each thread; all but the first, which has the caller's, an input gradient too.
  const std::int64_t doubles = lines(panel) + line;
  const std::int64_t floats = lines(tile_rows(units) * panel) + lines(panel * units) + lines(panel);
  const std::int64_t partial = wants_gradient ? lines(batch * units) : 0;
  const std::int64_t stride = doubles + floats / 2;
  auto* memory = scratch_.reserve<double>(threads * stride + (threads - 1) * partial / 2);
  auto* partials = reinterpret_cast<float*>(memory + threads * stride);
  const auto workspace = [&](int part) {
    double* own = memory + part * stride;
    auto* logits = reinterpret_cast<float*>(own + doubles);
    float* turned = logits + lines(tile_rows(units) * panel);
    float* sums = turned + lines(panel * units);
    return Workspace{logits, turned, sums, own,
                     part == 0 ? input_gradient.data : partials + (part - 1) * partial};
  };
  const auto loss_place = [&](int part) { return memory + part * stride + lines(panel); };
  for (int part = 0; part < threads; ++part)
    *loss_place(part) = 0.0;
  pool_.for_ranges(outputs, line, threads == 1 ? outputs + 1 : 0,
                   [&](std::int64_t begin, std::int64_t end, int part) {
                     *loss_place(part) = run_range(layer, workspace(part), begin, end);
                   });
  double sum = 0.0;
  for (int part = 0; part < threads; ++part)
    sum += *loss_place(part);
  *loss += sum / static_cast<double>(outputs);
  if (!wants_gradient) return;
  // Which threads had columns follows from the split. The first may have had none.
  bool begun = split(outputs, 0, threads, line).size() > 0;
  float* to = input_gradient.data;
  const std::int64_t size = batch * units;
  for (int part = 1; part < threads; ++part) {
    if (split(outputs, part, threads, line).size() == 0) continue;
    const float* from = workspace(part).input_gradient;
    for (std::int64_t i = 0; i < size; ++i)
      to[i] = begun ? to[i] + from[i] : from[i];
    begun = true;
  }
}

}  // namespace hourglass::cpu
