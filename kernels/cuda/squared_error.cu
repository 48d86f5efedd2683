// squared_error: (f(pre + bias) - targets)^2 with its gradient, f sigmoid or linear.
//
// Formula: squared_error() in math.hpp. 5 FLOP an element, 20 more for sigmoid; 12 bytes. The pass:
// loss.cuh.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/loss.cuh"

namespace hourglass::cuda {
namespace {

template <Activation f>
struct SquaredError {
  __device__ __forceinline__ LossAndGradient operator()(float logit, float target) const {
    return hourglass::squared_error(f, logit, target);
  }
};

}  // namespace

void CudaBackend::squared_error(Activation activation, ConstMat pre, std::span<const float> bias,
                                ConstMat targets, Mat gradient, std::span<float> bias_gradient,
                                double* loss) {
  const OperationRange range("squared_error");
  require(activation == Activation::sigmoid || activation == Activation::linear, "squared_error",
          "sigmoid or linear as the activation");
  if (activation == Activation::sigmoid) {
    loss_pass("squared_error", stream(), scratch_, tickets_, SquaredError<Activation::sigmoid>{},
              pre, bias, targets, gradient, bias_gradient, loss);
  } else {
    loss_pass("squared_error", stream(), scratch_, tickets_, SquaredError<Activation::linear>{},
              pre, bias, targets, gradient, bias_gradient, loss);
  }
}

}  // namespace hourglass::cuda
