// output_layer: the last layer's products by cuBLAS around the pass over the logits (loss.cuh),
// which are written once and read twice.
//
// Shapes: input B x K, weights K x D, targets and work B x D. 6 B K D FLOP.
#include "kernels/output_layer.hpp"

#include "kernels/cuda/backend.hpp"

namespace hourglass::cuda {

void CudaBackend::output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                               std::span<const float> bias, ConstMat targets, Mat work,
                               Mat input_gradient, Mat weights_gradient,
                               std::span<float> bias_gradient, double* loss) {
  const OperationRange range("output_layer");
  check_output_layer(loss_of, input, weights, bias, targets, work, input_gradient, weights_gradient,
                     bias_gradient, loss);
  output_layer_by_parts(*this, loss_of, input, weights, bias, targets, work, input_gradient,
                        weights_gradient, bias_gradient, loss);
}

}  // namespace hourglass::cuda
