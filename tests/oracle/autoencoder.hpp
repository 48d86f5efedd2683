// The truth for a whole autoencoder: forward, loss, penalties and the gradient of every parameter,
// float64, for any depth, activation, loss and penalty. Figures here are means over the batch.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/oracle/matrix64.hpp"

namespace hourglass::oracle {

/// y = f(x W + b), W fan_in x fan_out.
struct DenseLayer {
  Matrix64 weights;
  std::vector<double> bias;
  Activation activation = Activation::linear;
};

enum class ReconstructionLoss { bce, mse };

struct Objective {
  ReconstructionLoss loss = ReconstructionLoss::bce;
  float bce_clip = 1e-7f;  ///< 0: unclipped
  double l1 = 0.0;         ///< lambda * mean over rows of sum_k |h|
  double kl_beta = 0.0;    ///< beta * sum_k KL(kl_rho || mean over rows of h_k)
  double kl_rho = 0.05;
  double contractive = 0.0;  ///< lambda * mean over rows of |dh/dx|_F^2; encoders of one layer only
};

struct Evaluation {
  double reconstruction = 0.0;  ///< mean over features, then rows
  double penalty = 0.0;
  Matrix64 codes;
  Matrix64 reconstructions;          ///< f(logits); sigmoid(logits) for bce
  std::vector<DenseLayer> gradient;  ///< of reconstruction + penalty; activations are not used
};

/// The first `encoder_layers` layers make the codes. The last layer's activation is the output's:
/// it belongs to the loss, and is sigmoid whatever the layer says where the loss is bce.
Evaluation evaluate(const std::vector<DenseLayer>& layers, std::int64_t encoder_layers,
                    const Matrix64& inputs, const Matrix64& targets, const Objective& objective);

}  // namespace hourglass::oracle
