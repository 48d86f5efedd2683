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

/// What dense products are computed in; their sums are float32 either way.
enum class Precision : std::int32_t {
  float32,
  tf32  // factors rounded to 10 bits of mantissa, on the tensor cores of a GPU that has them
};

struct AdamOptions {
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-7f;  ///< outside the bias correction, as Keras has it (PyTorch's is inside)
  /// AdamW's: the share of the learning rate by which weights, not biases, shrink in a step.
  float weight_decay = 0.0f;
};

/// The corruption of the inputs that a denoising autoencoder undoes (Vincent et al. 2008).
struct Noise {
  enum class Kind : std::int32_t {
    none,
    gaussian,  ///< normal noise of standard deviation `amount` is added
    mask       ///< each value becomes 0 with probability `amount`
  };
  Kind kind = Kind::none;
  float amount = 0.0f;

  bool operator==(const Noise&) const = default;
};

}  // namespace hourglass
