#include "tests/oracle/autoencoder.hpp"

#include <stdexcept>

#include "tests/oracle/dense.hpp"

namespace hourglass::oracle {
namespace {

/// What the contractive penalty of a one-layer encoder adds: its part through pre, and that
/// through the weights of the Jacobian.
double add_contractive(const DenseLayer& encoder, const Matrix64& inputs, const Matrix64& pre,
                       double lambda, DenseLayer& gradient) {
  const ContractiveOutput term =
      contractive_penalty(encoder.activation, encoder.weights, pre, lambda);
  const DenseGradient to_pre = bias_activation_backward(encoder.activation, pre, term.gradient);
  gradient.weights =
      gemm(Transpose::yes, Transpose::no, 1.0, inputs, to_pre.pre, 1.0, gradient.weights);
  for (std::size_t i = 0; i < gradient.weights.values.size(); ++i)
    gradient.weights.values[i] += term.weights_gradient.values[i];
  for (std::size_t k = 0; k < gradient.bias.size(); ++k)
    gradient.bias[k] += to_pre.bias[k];
  return term.penalty / static_cast<double>(inputs.rows);
}

}  // namespace

Evaluation evaluate(const std::vector<DenseLayer>& layers, std::int64_t encoder_layers,
                    const Matrix64& inputs, const Matrix64& targets, const Objective& objective) {
  const auto depth = static_cast<std::int64_t>(layers.size());
  if (encoder_layers < 1 || encoder_layers >= depth) {
    throw std::invalid_argument("oracle::evaluate: the code layer must lie before the last layer");
  }
  const auto rows = static_cast<double>(inputs.rows);

  // Forward. outputs[l] is what layer l reads; the last layer stops at its product.
  std::vector<Matrix64> outputs{inputs};
  std::vector<Matrix64> pres;
  Matrix64 product;
  for (std::int64_t l = 0; l < depth; ++l) {
    product = gemm(Transpose::no, Transpose::no, 1.0, outputs[l], layers[l].weights, 0.0,
                   Matrix64(inputs.rows, layers[l].weights.columns));
    if (l + 1 == depth) break;
    DenseOutput dense = bias_activation(layers[l].activation, layers[l].bias, product);
    pres.push_back(dense.pre);
    outputs.push_back(dense.out);
  }

  Evaluation result;
  result.codes = outputs[encoder_layers];
  for (const DenseLayer& layer : layers) {
    result.gradient.push_back({Matrix64(layer.weights.rows, layer.weights.columns),
                               std::vector<double>(layer.bias.size(), 0.0), layer.activation});
  }

  const bool bce_loss = objective.loss == ReconstructionLoss::bce;
  const Activation output = bce_loss ? Activation::sigmoid : layers.back().activation;
  const LossOutput loss =
      bce_loss ? sigmoid_bce(product, layers.back().bias, targets, objective.bce_clip)
               : squared_error(output, product, layers.back().bias, targets);
  result.reconstruction = loss.loss / rows;
  result.reconstructions = bias_activation(output, layers.back().bias, product).out;

  // Backward: `gradient` is that of the total to layer l's product.
  Matrix64 gradient = loss.gradient;
  std::vector<double> bias_gradient = loss.bias_gradient;
  for (std::int64_t l = depth - 1; l >= 0; --l) {
    result.gradient[l].bias = bias_gradient;
    result.gradient[l].weights = gemm(Transpose::yes, Transpose::no, 1.0, outputs[l], gradient, 0.0,
                                      result.gradient[l].weights);
    if (l == 0) break;
    Matrix64 to_output =
        gemm(Transpose::no, Transpose::yes, 1.0, gradient, layers[l].weights, 0.0, outputs[l]);
    if (l == encoder_layers) {
      const PenaltyOutput l1 = l1_penalty(result.codes, objective.l1 / rows);
      const PenaltyOutput kl = kl_penalty(result.codes, objective.kl_rho, objective.kl_beta);
      result.penalty += (l1.penalty + kl.penalty) / rows;
      for (std::size_t i = 0; i < to_output.values.size(); ++i) {
        to_output.values[i] += l1.gradient.values[i] + kl.gradient.values[i];
      }
    }
    DenseGradient dense =
        bias_activation_backward(layers[l - 1].activation, pres[l - 1], to_output);
    gradient = dense.pre;
    bias_gradient = dense.bias;
  }
  if (objective.contractive != 0.0) {
    if (encoder_layers != 1) {
      throw std::invalid_argument("oracle::evaluate: contractive needs an encoder of one layer");
    }
    result.penalty +=
        add_contractive(layers[0], inputs, pres[0], objective.contractive, result.gradient[0]);
  }
  return result;
}

}  // namespace hourglass::oracle
