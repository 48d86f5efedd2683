// Backend::output_layer() as the operations that it is made of: what a backend does where it has
// nothing faster, and what faster ones are held against.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend.hpp"
#include "kernels/checks.hpp"

namespace hourglass {

/// Throws std::invalid_argument for shapes that do not fit together.
inline void check_output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                               std::span<const float> bias, ConstMat targets, Mat work,
                               Mat input_gradient, Mat weights_gradient,
                               std::span<float> bias_gradient, const double* loss) {
  const char* name = "output_layer";
  const std::int64_t batch = input.rows, units = input.columns, outputs = weights.columns;
  require(weights.rows == units, name, "weights of K x D");
  require(static_cast<std::int64_t>(bias.size()) == outputs, name, "a bias a column");
  require(targets.rows == batch && targets.columns == outputs, name, "targets of B x D");
  require(work.rows == batch && work.columns == outputs, name, "work of B x D");
  require(weights_gradient.empty() ||
              (weights_gradient.rows == units && weights_gradient.columns == outputs &&
               input_gradient.rows == batch && input_gradient.columns == units &&
               static_cast<std::int64_t>(bias_gradient.size()) == outputs),
          name, "gradients of the shapes of input, weights and bias, or none");
  require(loss_of.cross_entropy || loss_of.activation == Activation::sigmoid ||
              loss_of.activation == Activation::linear,
          name, "activation sigmoid or linear");
  require(loss != nullptr, name, "a place for the loss");
}

inline void output_layer_by_parts(Backend& backend, OutputLoss loss_of, ConstMat input,
                                  ConstMat weights, std::span<const float> bias, ConstMat targets,
                                  Mat work, Mat input_gradient, Mat weights_gradient,
                                  std::span<float> bias_gradient, double* loss) {
  const bool wants_gradient = !weights_gradient.empty();
  const Mat gradient = wants_gradient ? work : Mat{};  // in place of the logits
  backend.gemm(Transpose::no, Transpose::no, 1.0f, input, weights, 0.0f, work);
  if (loss_of.cross_entropy) {
    backend.sigmoid_bce(work, bias, targets, loss_of.clip, gradient, bias_gradient, loss);
  } else {
    backend.squared_error(loss_of.activation, work, bias, targets, gradient, bias_gradient, loss);
  }
  if (!wants_gradient) return;
  backend.gemm(Transpose::no, Transpose::yes, 1.0f, work, weights, 0.0f, input_gradient);
  backend.gemm(Transpose::yes, Transpose::no, 1.0f, input, work, 0.0f, weights_gradient);
}

}  // namespace hourglass
