// Small value types that the public interface and the kernels share.
#pragma once

#include <cstdint>

namespace hourglass {

enum class Activation : std::int32_t {
  linear,
  relu,        // max(x, 0); derivative at 0 is 0
  leaky_relu,  // x > 0 ? x : 0.01 x
  elu,         // x > 0 ? x : exp(x) - 1                      (Clevert et al. 2016)
  selu,        // lambda (x > 0 ? x : alpha (exp(x) - 1))      (Klambauer et al. 2017)
  gelu,        // x Phi(x), exact                              (Hendrycks and Gimpel 2016)
  tanh,
  sigmoid
};

struct AdamOptions {
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-7f;  ///< outside the bias correction, as Keras has it (PyTorch's is inside)
};

}  // namespace hourglass
