// The simplest path through a training step: operations that fuse others are made of those again.
// What the faster paths are held against, in tests and benchmarks.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/output_layer.hpp"
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
    output_layer_by_parts(*this, loss_of, input, weights, bias, targets, work, input_gradient,
                          weights_gradient, bias_gradient, loss);
  }
};

}  // namespace hourglass::testing_support
