#include "host/train/network.hpp"

#include <algorithm>

namespace hourglass {
namespace {

template <class T>
void copy(Backend& backend, Buffer<T>& to, const Buffer<T>& from) {
  backend.copy(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(T));
}

}  // namespace

Network::Network(Backend& backend, const AutoencoderSpec& spec, std::span<const float> parameters,
                 std::int64_t rows)
    : backend_(backend),
      spec_(spec),
      layers_(layer_offsets(spec)),
      parameters_(backend, parameters),
      inputs_(backend, rows * spec.inputs),
      mean_activation_(backend, spec.code_size()) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    outputs_.emplace_back(backend, rows * layers_[l].fan_out);
    const bool separate = !derivative_from_output(spec_.activation_of(l));
    pres_.push_back(separate ? Buffer<float>(backend, rows * layers_[l].fan_out) : Buffer<float>());
  }
}

ConstMat Network::weights(std::size_t layer) const {
  const LayerOffsets& at = layers_[layer];
  return {parameters_.data() + at.weights, at.fan_in, at.fan_out};
}

std::span<const float> Network::bias(std::size_t layer) const {
  const LayerOffsets& at = layers_[layer];
  return {parameters_.data() + at.bias, static_cast<std::size_t>(at.fan_out)};
}

Mat Network::pre(std::size_t layer, std::int64_t rows) {
  Buffer<float>& separate = pres_[layer];
  return separate.size() > 0 ? separate.matrix(rows, layers_[layer].fan_out) : output(layer, rows);
}

void Network::forward(std::size_t first, std::size_t last, std::int64_t rows) {
  for (std::size_t l = first; l < last; ++l) {
    const Mat products = pre(l, rows);
    backend_.gemm(Transpose::no, Transpose::no, 1.0f, input_of(l, rows), weights(l), 0.0f,
                  products);
    if (l + 1 < layers_.size()) {
      backend_.bias_activation(spec_.activation_of(l), bias(l), products, output(l, rows));
    }
  }
}

void Network::loss(Loss loss, std::int64_t rows, Mat gradient, std::span<float> bias_gradient,
                   double* sum) {
  const std::size_t last = layers_.size() - 1;
  if (loss == Loss::bce) {
    backend_.sigmoid_bce(output(last, rows), bias(last), inputs(rows), spec_.bce_clip, gradient,
                         bias_gradient, sum);
  } else {
    backend_.squared_error(spec_.output_activation, output(last, rows), bias(last), inputs(rows),
                           gradient, bias_gradient, sum);
  }
}

void Network::penalty(const Sparsity& sparsity, std::int64_t rows, std::int64_t batch, Mat gradient,
                      double* sum) {
  switch (sparsity.kind) {
    case Sparsity::Kind::none:
      return;
    case Sparsity::Kind::l1:
      backend_.l1_penalty(codes(rows), sparsity.weight / static_cast<float>(rows), gradient, sum);
      return;
    case Sparsity::Kind::l1_sum:
      // The sum over a batch of training, whatever the number of rows here.
      backend_.l1_penalty(codes(rows),
                          sparsity.weight * static_cast<float>(batch) / static_cast<float>(rows),
                          gradient, sum);
      return;
    case Sparsity::Kind::kl:
      backend_.kl_penalty(codes(rows), sparsity.rho, sparsity.weight, gradient,
                          mean_activation_.span(), sum);
      return;
  }
}

void Network::add_loss(Loss kind, std::int64_t rows, double* sum) {
  loss(kind, rows, {}, {}, sum);
}

void Network::add_penalty(const Sparsity& sparsity, std::int64_t rows, std::int64_t batch,
                          double* sum) {
  penalty(sparsity, rows, batch, {}, sum);
}

ConstMat Network::reconstruct(std::int64_t rows) {
  const std::size_t last = layers_.size() - 1;
  const Mat products = output(last, rows);
  backend_.bias_activation(spec_.output_activation, bias(last), products, products);
  return products;
}

TrainableNetwork::TrainableNetwork(Backend& backend, const AutoencoderSpec& spec,
                                   std::span<const float> parameters, std::int64_t rows,
                                   std::int64_t batch, double learning_rate)
    : Network(backend, spec, parameters, rows),
      gradients_(backend, parameters_.size()),
      first_moment_(backend, parameters_.size()),
      second_moment_(backend, parameters_.size()),
      adam_(backend, 1),
      kept_parameters_(backend, parameters_.size()),
      kept_first_moment_(backend, parameters_.size()),
      kept_second_moment_(backend, parameters_.size()),
      kept_adam_(backend, 1) {
  first_moment_.zero();
  second_moment_.zero();
  OptimiserState state;
  state.learning_rate = learning_rate;
  adam_.upload({&state, 1});
  const std::int64_t widest = *std::max_element(spec.hidden.begin(), spec.hidden.end());
  for (auto& delta : deltas_)
    delta = Buffer<float>(backend, batch * widest);
}

Mat TrainableNetwork::weights_gradient(std::size_t layer) {
  const LayerOffsets& at = layers_[layer];
  return {gradients_.data() + at.weights, at.fan_in, at.fan_out};
}

std::span<float> TrainableNetwork::bias_gradient(std::size_t layer) {
  const LayerOffsets& at = layers_[layer];
  return gradients_.span(at.bias, at.fan_out);
}

void TrainableNetwork::differentiate(const Sparsity& sparsity, std::int64_t rows, double* loss_sum,
                                     double* penalty_sum) {
  encode(rows);
  decode(rows);
  std::size_t l = layers_.size() - 1;
  // delta = dL/dpre of layer l; at the last layer in place of the products.
  Mat delta = output(l, rows);
  loss(spec_.loss, rows, delta, bias_gradient(l), loss_sum);
  for (;; --l) {
    backend_.gemm(Transpose::yes, Transpose::no, 1.0f, input_of(l, rows), delta, 0.0f,
                  weights_gradient(l));
    if (l == 0) return;
    const std::size_t below = l - 1;
    const Mat delta_below = deltas_[l % 2].matrix(rows, layers_[below].fan_out);
    backend_.gemm(Transpose::no, Transpose::yes, 1.0f, delta, weights(l), 0.0f, delta_below);
    if (below == spec_.code_layer()) penalty(sparsity, rows, rows, delta_below, penalty_sum);
    backend_.bias_activation_backward(spec_.activation_of(below), pre(below, rows),
                                      output(below, rows), delta_below, bias_gradient(below));
    delta = delta_below;
  }
}

void TrainableNetwork::update(const AdamOptions& options) {
  backend_.adam(parameters_.span(), gradients_.span(), first_moment_.span(), second_moment_.span(),
                0, options, adam_.data());
}

void TrainableNetwork::remember() {
  copy(backend_, kept_parameters_, parameters_);
  copy(backend_, kept_first_moment_, first_moment_);
  copy(backend_, kept_second_moment_, second_moment_);
  copy(backend_, kept_adam_, adam_);
}

void TrainableNetwork::restore() {
  copy(backend_, parameters_, kept_parameters_);
  copy(backend_, first_moment_, kept_first_moment_);
  copy(backend_, second_moment_, kept_second_moment_);
  copy(backend_, adam_, kept_adam_);
}

}  // namespace hourglass
