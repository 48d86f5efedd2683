// Fitting an autoencoder: objective, optimiser, schedule, checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/autoencoder.hpp"
#include "hourglass/dataset.hpp"
#include "hourglass/device.hpp"
#include "hourglass/options.hpp"
#include "hourglass/rows.hpp"
#include "hourglass/scaler.hpp"

namespace hourglass {

/// Penalties on the code h (B x K), each at most once; a weight of 0 leaves it out. They add up.
struct Sparsity {
  float l1 = 0.0f;  ///< l1 * mean over the rows of sum_k |h_k|
  /// l1_sum * sum over the rows of sum_k |h_k|: Keras 1.0.7-2.3.1 and 3.0-3.13
  float l1_sum = 0.0f;
  float kl = 0.0f;   ///< kl * sum_k KL(rho || mean over the rows of h_k); needs codes in (0, 1)
  float rho = 0.0f;  ///< of kl

  /// "none", or one or more of "l1:LAMBDA", "l1sum:LAMBDA" and "kl:RHO:BETA", separated by commas;
  /// throws UsageError that says which part is wrong.
  static Sparsity parse(std::string_view text);
  [[nodiscard]] std::string name() const;
  [[nodiscard]] bool any() const { return l1 != 0.0f || l1_sum != 0.0f || kl != 0.0f; }
  bool operator==(const Sparsity&) const = default;
};

/// "none", "gaussian:DEVIATION" or "mask:PROBABILITY"; throws UsageError otherwise. The deviation
/// is in units of the scaled data. With Scaling::unit the noisy values are limited to [0, 1].
Noise parse_noise(std::string_view text);
std::string name_of(const Noise& noise);

/// A corrupted copy of `scaled` rows, as the first step of a training with this seed makes of a
/// batch; `scaling` says whether there is a range to keep.
Matrix corrupted(Device& device, const Matrix& scaled, const Noise& noise, Scaling scaling,
                 std::uint64_t seed);

enum class Optimiser {
  adam,   ///< Kingma and Ba 2015, in Keras's form: epsilon outside the bias correction
  adamw,  ///< the same with decoupled weight decay (Loshchilov and Hutter 2019)
  sgd     ///< stochastic gradient descent with momentum: v = momentum v + g, p -= learning rate v
};
/// "float32" or "tf32"; throws UsageError otherwise.
Precision parse_precision(std::string_view name);
std::string_view name_of(Precision precision);

/// "adam", "adamw" or "sgd"; throws UsageError otherwise.
Optimiser parse_optimiser(std::string_view name);
std::string_view name_of(Optimiser optimiser);

/// The learning rate of an epoch, as a multiple of TrainingOptions::learning_rate.
struct LearningRateSchedule {
  enum class Kind {
    constant,
    cosine,  ///< last + (1 - last) (1 + cos(pi e / epochs)) / 2 in epoch e = 0, 1, ... (SGDR,
             ///< Loshchilov and Hutter 2017, without restarts)
    step,    ///< factor^floor(e / every)
    /// times `factor`, but not below `last`, whenever the watched loss has not fallen for `every`
    /// epochs. It is the validation loss where there is one, else the loss of training.
    plateau
  };
  Kind kind = Kind::constant;
  int every = 0;  ///< epochs
  double factor = 0.1;
  double last = 0.0;  ///< least multiple

  /// "constant", "cosine[:LAST]", "step:EVERY:FACTOR" or "plateau:EVERY:FACTOR[:LAST]"; throws
  /// UsageError that says which part is wrong.
  static LearningRateSchedule parse(std::string_view text);
  [[nodiscard]] std::string name() const;
  bool operator==(const LearningRateSchedule&) const = default;
};

/// What is known after an epoch. `loss` and its parts are row-weighted means over the epoch while
/// the weights move, as Keras shows them; validation figures use the weights after the epoch and
/// inputs without noise.
struct EpochFigures {
  double loss = 0;  ///< reconstruction + penalty
  double reconstruction = 0;
  double penalty = 0;  ///< sparsity, contractive, and weight decay where it is part of the loss
  double validation_loss = std::numeric_limits<double>::quiet_NaN();  ///< with penalties
  double validation_reconstruction = std::numeric_limits<double>::quiet_NaN();
  double learning_rate = 0;
  double seconds = 0;
};

struct History {
  std::vector<EpochFigures> epochs;  ///< with those of earlier runs that this one resumed
  /// The epoch, from 1, whose parameters the model has: the last, or with early stopping the best.
  int best_epoch = 0;
  bool stopped_early = false;
};

/// Passed to TrainingOptions::progress while an epoch runs.
struct TrainingProgress {
  int epoch = 0;  ///< from 1
  int epochs = 0;
  std::int64_t step = 0;                   ///< steps done in this epoch
  std::int64_t steps = 0;                  ///< steps an epoch
  std::int64_t steps_done = 0;             ///< by this call of fit(), so without those resumed
  double seconds = 0;                      ///< since training began
  const EpochFigures* finished = nullptr;  ///< set on the call that ends an epoch
  std::span<const EpochFigures> history;   ///< of all epochs that have ended, also resumed ones
};

/// A file that training can go on from: parameters, moments, what the optimiser counts, epoch,
/// step, history, and the options that it belongs to. The random numbers follow from the seed, the
/// epoch and the step.
struct CheckpointOptions {
  std::string path{};            ///< empty: none is written
  int every_epochs = 0;          ///< 0: never by epochs
  std::int64_t every_steps = 0;  ///< 0: never by steps
  /// Goes on from `path` where it is there; else from path + ".previous"; where neither is there,
  /// from the beginning. A file that is cut, damaged or of another training is passed over with its
  /// reason (warn); InputError with the reasons where none is left.
  bool resume = false;
};

struct TrainingOptions {
  int epochs = 10;
  std::int64_t batch = 256;  ///< the last batch of an epoch may be smaller
  double learning_rate = 1e-3;
  LearningRateSchedule schedule{};
  Optimiser optimiser = Optimiser::adam;
  AdamOptions adam{};     ///< its weight_decay is not looked at: see below
  float momentum = 0.9f;  ///< of sgd
  /// lambda. adam, sgd: a penalty lambda / 2 * sum of the squares of all weights, not biases, that
  /// is part of the loss. adamw: every weight shrinks by learning rate * lambda in each step.
  float weight_decay = 0.0f;
  float clip_norm = 0.0f;  ///< the longest gradient, over all parameters; 0: as it is

  Sparsity sparsity{};
  bool force = false;  ///< allow KL on codes that can leave (0, 1)
  /// lambda * mean over the rows of |dh/dx|_F^2 (Rifai et al. 2011); encoders of one layer only.
  float contractive = 0.0f;
  Noise noise{};  ///< on the inputs of training; targets stay clean

  /// Training ends when the validation loss has not fallen by more than min_improvement for so many
  /// epochs; 0: never. The model then has the parameters of the best epoch, also where training
  /// reaches its last epoch. Needs validation rows.
  int patience = 0;
  double min_improvement = 0.0;

  CheckpointOptions checkpoint{};
  /// At most so much memory for training; 0: what is free on the device. Where the rows do not fit
  /// they are brought batch by batch, from the host's memory or from their file, with equal
  /// results.
  std::uint64_t memory_bytes = 0;
  std::uint64_t seed = 0;
  /// Of the products of the steps; all else, validation included, is float32. tf32 needs a GPU of
  /// compute capability 8.0 or above.
  Precision precision = Precision::float32;

  /// Called a few times a second and after each epoch; returning false ends training after the step
  /// with Interrupted, the parameters of that step in the model and, where a checkpoint has a path,
  /// in the checkpoint.
  std::function<bool(const TrainingProgress&)> progress{};
  /// Called after each step of an epoch, both from 1, when it is on its way on the device;
  /// returning false ends training as for `progress`.
  std::function<bool(int epoch, std::int64_t step)> step_end{};
  /// Called after each epoch with its figures and a model that has the parameters of now.
  std::function<void(int epoch, const EpochFigures& figures, const Autoencoder& model)> epoch_end{};
  /// Called where a checkpoint is gone on with: its file, the epochs that had ended and the steps
  /// of the next one that were done.
  std::function<void(const std::string& file, std::size_t epochs, std::int64_t steps)> resumed{};
  /// Called with one line: before training where the loss does not suit the scaled data, and where
  /// a checkpoint is passed over.
  std::function<void(const std::string&)> warn{};

  /// Throws UsageError that names the option: out of range, or a penalty that does not go with the
  /// code.
  void validate(const AutoencoderSpec& spec) const;
};

/// Trains `model` in place on the rows of `data` (scaled by model.scaler), from the parameters that
/// it has. The order of the rows in an epoch is a permutation drawn from Philox, keyed by seed and
/// epoch. Equal calls on one device with one number of threads give equal bits, whether in one run
/// or resumed. Throws UsageError for options that do not go together or with the device, InputError
/// where the data does not fit or is not finite, NumericsError with epoch, step and layer where the
/// loss stops being finite.
History fit(Device& device, Autoencoder& model, const RowSource& data,
            const TrainingOptions& options,
            const std::optional<RowSource>& validation = std::nullopt);

}  // namespace hourglass
