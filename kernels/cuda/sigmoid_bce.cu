// sigmoid_bce: binary cross-entropy of sigmoid(pre + bias) against targets, from the logits, with
// its gradient.
//
// Formula: bce() in math.hpp (Keras's clip included). About 40 FLOP an element, two exponentials or
// logarithms and a division among them; 12 bytes. The pass: loss.cuh.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/loss.cuh"

namespace hourglass::cuda {
namespace {

struct SigmoidBce {
  LogitRange range;
  __device__ __forceinline__ LossAndGradient operator()(float logit, float target) const {
    return bce(logit, target, range);
  }
};

}  // namespace

void CudaBackend::sigmoid_bce(ConstMat pre, std::span<const float> bias, ConstMat targets,
                              float clip, Mat gradient, std::span<float> bias_gradient,
                              double* loss) {
  const OperationRange range("sigmoid_bce");
  loss_pass("sigmoid_bce", stream(), scratch_, tickets_, SigmoidBce{logit_range(clip)}, pre, bias,
            targets, gradient, bias_gradient, loss);
}

}  // namespace hourglass::cuda
