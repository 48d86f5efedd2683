#include "host/train/network.hpp"

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace hourglass {
namespace {

template <class T>
void copy(Backend& backend, Buffer<T>& to, const Buffer<T>& from) {
  backend.copy(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(T));
}

/// Where a member of the state lies in device memory.
template <class T, class State>
T* member(State* state, std::size_t offset) {
  using Byte = std::conditional_t<std::is_const_v<State>, const unsigned char, unsigned char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(state) + offset);
}

}  // namespace

Objective Objective::of(const TrainingOptions& options, Scaling scaling) {
  Objective objective;
  objective.sparsity = options.sparsity;
  objective.contractive = options.contractive;
  // AdamW's decay is no part of what is minimised.
  if (options.optimiser != Optimiser::adamw) objective.l2 = options.weight_decay;
  objective.noise = options.noise;
  if (scaling == Scaling::unit) objective.noise_range = {0.0f, 1.0f};
  objective.seed = options.seed;
  return objective;
}

UpdateRule UpdateRule::of(const TrainingOptions& options) {
  UpdateRule rule;
  rule.optimiser = options.optimiser;
  rule.adam = options.adam;
  rule.adam.weight_decay = options.optimiser == Optimiser::adamw ? options.weight_decay : 0.0f;
  rule.momentum = options.momentum;
  rule.clip_norm = options.clip_norm;
  return rule;
}

Network::Network(Backend& backend, const AutoencoderSpec& spec, std::span<const float> parameters,
                 std::int64_t rows)
    : backend_(backend),
      spec_(spec),
      layers_(layer_offsets(spec)),
      weight_count_(spec.weight_count()),
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
  const float* first = parameters_.data() + at.weights;
  return at.transposed ? ConstMat{first, at.fan_out, at.fan_in}
                       : ConstMat{first, at.fan_in, at.fan_out};
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
    if (l == 0) {
      backend_.sparse_gemm(Transpose::no, input_of(l, rows), zeros_.span(), weights(l), 0.0f,
                           products);
    } else {
      backend_.gemm(Transpose::no, transpose(l), 1.0f, input_of(l, rows), weights(l), 0.0f,
                    products);
    }
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
  // The sum over a batch of training, whatever the number of rows here.
  const float l1 =
      (sparsity.l1 + sparsity.l1_sum * static_cast<float>(batch)) / static_cast<float>(rows);
  if (l1 != 0.0f) backend_.l1_penalty(codes(rows), l1, gradient, sum);
  if (sparsity.kl != 0.0f) {
    backend_.kl_penalty(codes(rows), sparsity.rho, sparsity.kl, gradient, mean_activation_.span(),
                        sum);
  }
}

void Network::add_loss(Loss kind, std::int64_t rows, double* sum) {
  loss(kind, rows, {}, {}, sum);
}

void Network::add_penalty(const Objective& objective, std::int64_t rows, std::int64_t batch,
                          double* sum) {
  penalty(objective.sparsity, rows, batch, {}, sum);
  if (objective.contractive != 0.0f) {
    backend_.contractive_penalty(spec_.code_activation, weights(0), pre(0, rows), codes(rows),
                                 objective.contractive, 0.0f, {}, {}, sum);
  }
  if (objective.l2 != 0.0f) backend_.l2_penalty(all_weights(), objective.l2, rows, {}, sum);
}

ConstMat Network::reconstruct(std::int64_t rows) {
  const std::size_t last = layers_.size() - 1;
  const Mat products = output(last, rows);
  backend_.bias_activation(spec_.output_activation, bias(last), products, products);
  return products;
}

TrainableNetwork::TrainableNetwork(Backend& backend, const AutoencoderSpec& spec,
                                   std::span<const float> parameters, std::int64_t rows,
                                   std::int64_t batch, Objective objective, UpdateRule rule)
    : Network(backend, spec, parameters, rows),
      objective_(std::move(objective)),
      rule_(rule),
      gradients_(backend, parameters_.size()),
      first_moment_(backend, parameters_.size()),
      second_moment_(backend, rule.optimiser == Optimiser::sgd ? 0 : parameters_.size()),
      state_(backend, 1),
      kept_parameters_(backend, parameters_.size()),
      kept_first_moment_(backend, first_moment_.size()),
      kept_second_moment_(backend, second_moment_.size()),
      kept_state_(backend, 1) {
  first_moment_.zero();
  second_moment_.zero();
  const OptimiserState start;
  state_.upload({&start, 1});
  std::int64_t widest = 0;
  for (std::size_t l = 0; l + 1 < layers_.size(); ++l)
    widest = std::max(widest, layers_[l].fan_out);
  for (auto& delta : deltas_)
    delta = Buffer<float>(backend, batch * widest);
  if (objective_.noise.kind != Noise::Kind::none) {
    noisy_inputs_ = Buffer<float>(backend, batch * spec.inputs);
  }
}

Mat TrainableNetwork::weights_gradient(std::size_t layer) {
  const LayerOffsets& at = layers_[layer];
  float* first = gradients_.data() + at.weights;
  return at.transposed ? Mat{first, at.fan_out, at.fan_in} : Mat{first, at.fan_in, at.fan_out};
}

std::span<float> TrainableNetwork::bias_gradient(std::size_t layer) {
  const LayerOffsets& at = layers_[layer];
  return gradients_.span(at.bias, at.fan_out);
}

void TrainableNetwork::run_forward(std::int64_t rows) {
  run_forward(rows, layers_.size());
}

void TrainableNetwork::run_forward(std::int64_t rows, std::size_t layers) {
  if (objective_.noise.kind != Noise::Kind::none) {
    backend_.corrupt(inputs(rows), objective_.noise, objective_.noise_range, objective_.seed,
                     steps_done(), noisy_inputs_.matrix(rows, spec_.inputs));
  }
  noisy_ = objective_.noise.kind != Noise::Kind::none;
  forward(0, layers, rows);
}

void TrainableNetwork::differentiate_output(std::int64_t rows, Mat delta_below, double* loss_sum) {
  const std::size_t last = layers_.size() - 1;
  const ConstMat input = input_of(last, rows);
  if (!layers_[last].transposed) {
    run_forward(rows, last);
    backend_.output_layer({spec_.loss == Loss::bce, spec_.output_activation, spec_.bce_clip}, input,
                          weights(last), bias(last), inputs(rows), output(last, rows), delta_below,
                          weights_gradient(last), bias_gradient(last), loss_sum);
    return;
  }
  run_forward(rows);
  const Mat delta = output(last, rows);  // in place of the products
  loss(spec_.loss, rows, delta, bias_gradient(last), loss_sum);
  backend_.gemm(Transpose::yes, Transpose::no, 1.0f, delta, input, 0.0f, weights_gradient(last));
  backend_.gemm(Transpose::no, Transpose::no, 1.0f, delta, weights(last), 0.0f, delta_below);
}

void TrainableNetwork::differentiate(std::int64_t rows, double* loss_sum, double* penalty_sum) {
  const auto delta_of = [&](std::size_t layer) {
    return deltas_[layer % 2].matrix(rows, layers_[layer].fan_out);
  };
  std::size_t l = layers_.size() - 1;
  differentiate_output(rows, delta_of(l - 1), loss_sum);
  for (;;) {
    // Of layer l the gradient is there; delta = dL/dout of the one below, then its dL/dpre.
    const std::size_t below = --l;
    const Mat delta = delta_of(below);
    if (below == spec_.code_layer()) {
      penalty(objective_.sparsity, rows, rows, delta, penalty_sum);
      if (objective_.contractive != 0.0f) {
        // An encoder of one layer: below is 0, whose weights the decoder may share.
        backend_.contractive_penalty(spec_.code_activation, weights(0), pre(0, rows), codes(rows),
                                     objective_.contractive, spec_.tied ? 1.0f : 0.0f, delta,
                                     weights_gradient(0), penalty_sum);
      }
    }
    backend_.bias_activation_backward(spec_.activation_of(below), pre(below, rows),
                                      output(below, rows), delta, bias_gradient(below));
    if (below == 0) break;
    if (layers_[below].transposed) {
      backend_.gemm(Transpose::yes, Transpose::no, 1.0f, delta, input_of(below, rows), 0.0f,
                    weights_gradient(below));
    } else {
      backend_.gemm(Transpose::yes, Transpose::no, 1.0f, input_of(below, rows), delta,
                    spec_.tied ? 1.0f : 0.0f, weights_gradient(below));
    }
    const Transpose back = layers_[below].transposed ? Transpose::no : Transpose::yes;
    backend_.gemm(Transpose::no, back, 1.0f, delta, weights(below), 0.0f, delta_of(below - 1));
  }
  const bool begun = spec_.tied || objective_.contractive != 0.0f;
  backend_.sparse_gemm(Transpose::yes, input_of(0, rows), zeros_.span(), delta_of(0),
                       begun ? 1.0f : 0.0f, weights_gradient(0));
  if (objective_.l2 != 0.0f) {
    backend_.l2_penalty(all_weights(), objective_.l2, rows, gradients_.span(0, weight_count_),
                        penalty_sum);
  }
}

const std::int64_t* TrainableNetwork::steps_done() const {
  return member<const std::int64_t>(state_.data(), offsetof(OptimiserState, step));
}

void TrainableNetwork::update(StepFigures figures) {
  if (rule_.clip_norm > 0.0f) {
    backend_.gradient_norm(gradients_.span(), rule_.clip_norm, state_.data());
  }
  if (rule_.optimiser == Optimiser::sgd) {
    backend_.sgd(parameters_.span(), gradients_.span(), first_moment_.span(), rule_.momentum,
                 state_.data(), figures);
  } else {
    backend_.adam(parameters_.span(), gradients_.span(), first_moment_.span(),
                  second_moment_.span(), weight_count_, rule_.adam, state_.data(), figures);
  }
}

void TrainableNetwork::set_learning_rate(double learning_rate) {
  backend_.upload(member<double>(state_.data(), offsetof(OptimiserState, learning_rate)),
                  &learning_rate, sizeof learning_rate);
}

void TrainableNetwork::remember() {
  copy(backend_, kept_parameters_, parameters_);
  copy(backend_, kept_first_moment_, first_moment_);
  copy(backend_, kept_second_moment_, second_moment_);
  copy(backend_, kept_state_, state_);
}

void TrainableNetwork::restore() {
  copy(backend_, parameters_, kept_parameters_);
  copy(backend_, first_moment_, kept_first_moment_);
  copy(backend_, second_moment_, kept_second_moment_);
  copy(backend_, state_, kept_state_);
}

TrainingState TrainableNetwork::download() const {
  return {parameters_.download(), first_moment_.download(), second_moment_.download(),
          state_.download().front()};
}

void TrainableNetwork::upload(const TrainingState& state) {
  parameters_.upload(state.parameters);
  first_moment_.upload(state.first_moment);
  second_moment_.upload(state.second_moment);
  state_.upload({&state.optimiser, 1});
}

}  // namespace hourglass
