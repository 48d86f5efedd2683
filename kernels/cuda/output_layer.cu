// output_layer: the last layer's products by cuBLAS around the pass over the logits (loss.cuh),
// which are written once and read twice.
//
// Shapes: input B x K, weights K x D, targets and work B x D. 6 B K D FLOP.
#include "kernels/cuda/backend.hpp"

namespace hourglass::cuda {

void CudaBackend::output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                               std::span<const float> bias, ConstMat targets, Mat work,
                               Mat input_gradient, Mat weights_gradient,
                               std::span<float> bias_gradient, double* loss) {
  const OperationRange range("output_layer");
  const bool wants_gradient = !weights_gradient.empty();
  require(
      weights.rows == input.columns && work.rows == input.rows && work.columns == weights.columns,
      "output_layer", "input of B x K, weights of K x D and work of B x D");
  require(
      !wants_gradient ||
          (weights_gradient.rows == weights.rows && weights_gradient.columns == weights.columns &&
           input_gradient.rows == input.rows && input_gradient.columns == input.columns),
      "output_layer", "gradients of the shapes of input and weights, or none");
  gemm(Transpose::no, Transpose::no, 1.0f, input, weights, 0.0f, work);
  const Mat gradient = wants_gradient ? work : Mat{};
  if (loss_of.cross_entropy) {
    sigmoid_bce(work, bias, targets, loss_of.clip, gradient, bias_gradient, loss);
  } else {
    squared_error(loss_of.activation, work, bias, targets, gradient, bias_gradient, loss);
  }
  if (!wants_gradient) return;
  gemm(Transpose::no, Transpose::yes, 1.0f, work, weights, 0.0f, input_gradient);
  gemm(Transpose::yes, Transpose::no, 1.0f, input, work, 0.0f, weights_gradient);
}

}  // namespace hourglass::cuda
