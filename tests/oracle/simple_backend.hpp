// The simplest path through a training step: operations that fuse others are made of those again.
// What the faster paths are held against, in tests and benchmarks.
#pragma once

#include <cstdint>
#include <span>

#include "tests/oracle/forwarding_backend.hpp"

namespace hourglass::testing_support {

class SimpleBackend : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  void sparse_gemm(Transpose transpose_a, ConstMat a, std::span<const float>, ConstMat b,
                   float beta, Mat c) override {
    gemm(transpose_a, Transpose::no, 1.0f, a, b, beta, c);
  }

  void output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                    std::span<const float> bias, ConstMat targets, Mat work, Mat input_gradient,
                    Mat weights_gradient, std::span<float> bias_gradient, double* loss) override {
    const bool wants_gradient = !weights_gradient.empty();
    const Mat gradient = wants_gradient ? work : Mat{};
    gemm(Transpose::no, Transpose::no, 1.0f, input, weights, 0.0f, work);
    if (loss_of.cross_entropy) {
      sigmoid_bce(work, bias, targets, loss_of.clip, gradient, bias_gradient, loss);
    } else {
      squared_error(loss_of.activation, work, bias, targets, gradient, bias_gradient, loss);
    }
    if (!wants_gradient) return;
    gemm(Transpose::no, Transpose::yes, 1.0f, work, weights, 0.0f, input_gradient);
    gemm(Transpose::yes, Transpose::no, 1.0f, input, work, 0.0f, weights_gradient);
  }
};

}  // namespace hourglass::testing_support
