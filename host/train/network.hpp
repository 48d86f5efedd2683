// An autoencoder on a device: parameters in one flat buffer, the activations of one batch, and the
// passes over them. Nothing here allocates after the constructor or reads from the device, except
// where named so.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "hourglass/autoencoder.hpp"
#include "hourglass/training.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

/// What is minimised beside the reconstruction loss, and on which inputs.
struct Objective {
  Sparsity sparsity{};
  float contractive = 0.0f;
  float l2 = 0.0f;  ///< lambda of lambda / 2 * sum of the squares of all weights
  Noise noise{};
  NoiseRange noise_range{};
  std::uint64_t seed = 0;  ///< of the noise

  /// Of these options, for data scaled so.
  static Objective of(const TrainingOptions& options, Scaling scaling);
  [[nodiscard]] bool has_penalty() const {
    return sparsity.any() || contractive != 0.0f || l2 != 0.0f;
  }
};

/// The forward pass. Layer l computes out_l = f_l(out_{l-1} W_l + b_l), out_{-1} the inputs; the
/// last layer stops at out W, its bias and activation belong to the loss.
class Network {
 public:
  /// Room for batches of up to `rows` rows.
  Network(Backend& backend, const AutoencoderSpec& spec, std::span<const float> parameters,
          std::int64_t rows);

  [[nodiscard]] const AutoencoderSpec& spec() const { return spec_; }
  /// What zeros of the data are in each column of inputs(), where many values are such: the first
  /// layer's products then pass over them.
  void expect_zeros(Buffer<float> zeros) { zeros_ = std::move(zeros); }
  /// B x D: the scaled batch, to be written before a pass; it is also what the loss compares with.
  [[nodiscard]] Mat inputs(std::int64_t rows) { return inputs_.matrix(rows, spec_.inputs); }
  /// B x K: written by encode(), read by decode().
  [[nodiscard]] Mat codes(std::int64_t rows) { return output(spec_.code_layer(), rows); }

  void encode(std::int64_t rows) { run_to(spec_.code_layer(), rows); }
  /// From the codes to the last layer's products.
  void decode(std::int64_t rows) { forward(spec_.code_layer() + 1, spec_.layers(), rows); }
  /// From the inputs to what layer `layer` gives.
  ConstMat activations(std::size_t layer, std::int64_t rows) {
    run_to(layer, rows);
    return layer + 1 == layers_.size() ? reconstruct(rows) : ConstMat(output(layer, rows));
  }

  /// After decode(): the sum over the rows of the mean loss is added to *sum. Spends the products.
  void add_loss(Loss loss, std::int64_t rows, double* sum);
  /// After encode(): the penalties weighted by the rows are added to *sum. `batch` is the number of
  /// rows in a batch of training, which l1_sum's weight depends on.
  void add_penalty(const Objective& objective, std::int64_t rows, std::int64_t batch, double* sum);
  /// After decode(): B x D reconstructions, in place of the products.
  ConstMat reconstruct(std::int64_t rows);

  /// out_l of the last pass; of the last layer its products until they are spent.
  [[nodiscard]] Mat output(std::size_t layer, std::int64_t rows) {
    return outputs_[layer].matrix(rows, layers_[layer].fan_out);
  }
  [[nodiscard]] Buffer<float>& parameters() { return parameters_; }
  [[nodiscard]] const std::vector<LayerOffsets>& layers() const { return layers_; }

 protected:
  void run_to(std::size_t layer, std::int64_t rows) {
    noisy_ = false;
    forward(0, layer + 1, rows);
  }
  void forward(std::size_t first, std::size_t last, std::int64_t rows);
  /// W of a layer as it lies in memory: where tied, transposed.
  [[nodiscard]] ConstMat weights(std::size_t layer) const;
  [[nodiscard]] Transpose transpose(std::size_t layer) const {
    return layers_[layer].transposed ? Transpose::yes : Transpose::no;
  }
  [[nodiscard]] std::span<const float> all_weights() const {
    return {parameters_.data(), static_cast<std::size_t>(weight_count_)};
  }
  [[nodiscard]] std::span<const float> bias(std::size_t layer) const;
  /// What layer `layer` reads.
  [[nodiscard]] ConstMat input_of(std::size_t layer, std::int64_t rows) {
    if (layer > 0) return output(layer - 1, rows);
    return noisy_ ? noisy_inputs_.matrix(rows, spec_.inputs) : inputs(rows);
  }
  /// out_{l-1} W_l + b_l, where f' cannot be computed from out_l; else out_l itself.
  [[nodiscard]] Mat pre(std::size_t layer, std::int64_t rows);
  void loss(Loss loss, std::int64_t rows, Mat gradient, std::span<float> bias_gradient,
            double* sum);
  void penalty(const Sparsity& sparsity, std::int64_t rows, std::int64_t batch, Mat gradient,
               double* sum);

  Backend& backend_;
  AutoencoderSpec spec_;
  std::vector<LayerOffsets> layers_;
  std::int64_t weight_count_;
  Buffer<float> parameters_;
  Buffer<float> inputs_;
  Buffer<float> zeros_;                 // empty: 0 everywhere
  Buffer<float> noisy_inputs_;          // empty where there is no noise
  bool noisy_ = false;                  // whether the last pass was on them
  std::vector<Buffer<float>> outputs_;  // a layer each
  std::vector<Buffer<float>> pres_;     // a layer each; empty where pre() is the output
  Buffer<float> mean_activation_;
};

/// How a gradient moves the parameters.
struct UpdateRule {
  Optimiser optimiser = Optimiser::adam;
  AdamOptions adam;
  float momentum = 0.0f;
  float clip_norm = 0.0f;  ///< 0: gradients as they are

  static UpdateRule of(const TrainingOptions& options);
};

/// All that a step changes, on the host.
struct TrainingState {
  std::vector<float> parameters;
  std::vector<float> first_moment;   ///< sgd: the velocity
  std::vector<float> second_moment;  ///< sgd: empty
  OptimiserState optimiser;
};

/// The backward pass and the optimiser.
class TrainableNetwork : public Network {
 public:
  /// `batch`: rows in a step, at most; `rows` as Network's.
  TrainableNetwork(Backend& backend, const AutoencoderSpec& spec, std::span<const float> parameters,
                   std::int64_t rows, std::int64_t batch, Objective objective, UpdateRule rule);

  /// Forward from inputs(rows), which noise corrupts first, loss, penalties, backward: the gradient
  /// of their sum is then in gradients(). Row-weighted figures are added to *loss_sum and
  /// *penalty_sum.
  void differentiate(std::int64_t rows, double* loss_sum, double* penalty_sum);
  /// The forward part of differentiate(), without the loss.
  void run_forward(std::int64_t rows);
  /// A step of the optimiser, which ends the step and files its figures.
  void update(StepFigures figures = {});
  /// Steps done, in device memory.
  [[nodiscard]] const std::int64_t* steps_done() const;
  /// Of the steps to come.
  void set_learning_rate(double learning_rate);

  [[nodiscard]] const Objective& objective() const { return objective_; }
  [[nodiscard]] const Buffer<float>& gradients() const { return gradients_; }

  /// Keeps a copy of everything that a step changes, on the device.
  void remember();
  void restore();

  [[nodiscard]] TrainingState download() const;
  void upload(const TrainingState& state);

 private:
  void run_forward(std::int64_t rows, std::size_t layers);
  /// Forward, the loss, the last layer's gradients and dL/dout of the layer before it.
  void differentiate_output(std::int64_t rows, Mat delta_below, double* loss_sum);
  [[nodiscard]] Mat weights_gradient(std::size_t layer);
  [[nodiscard]] std::span<float> bias_gradient(std::size_t layer);

  Objective objective_;
  UpdateRule rule_;
  Buffer<float> gradients_;
  Buffer<float> first_moment_;
  Buffer<float> second_moment_;
  Buffer<OptimiserState> state_;
  // dL/dout of a hidden layer and of the one before it: one is made from the other.
  Buffer<float> deltas_[2];

  Buffer<float> kept_parameters_;
  Buffer<float> kept_first_moment_;
  Buffer<float> kept_second_moment_;
  Buffer<OptimiserState> kept_state_;
};

}  // namespace hourglass
