// Fitting an autoencoder by Adam on shuffled batches.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/autoencoder.hpp"
#include "hourglass/dataset.hpp"
#include "hourglass/device.hpp"

namespace hourglass {

/// The sparsity penalty on the code.
struct Sparsity {
  enum class Kind {
    none,
    l1,      ///< weight * mean over the rows of sum_k |h_k|
    l1_sum,  ///< weight * sum over the rows of sum_k |h_k|: Keras 1.0.7-2.3.1 and 3.0-3.13
    kl       ///< weight * sum_k KL(rho || mean over the rows of h_k); needs codes in (0, 1)
  };
  Kind kind = Kind::none;
  float weight = 0.0f;
  float rho = 0.0f;

  /// "none", "l1:LAMBDA", "l1sum:LAMBDA" or "kl:RHO:BETA"; throws UsageError that says which part
  /// is wrong.
  static Sparsity parse(std::string_view text);
  [[nodiscard]] std::string name() const;
  bool operator==(const Sparsity&) const = default;
};

/// What is known after an epoch. `loss` and its parts are row-weighted means over the epoch while
/// the weights move, as Keras shows them; validation figures use the weights after the epoch.
struct EpochFigures {
  double loss = 0;  ///< reconstruction + penalty
  double reconstruction = 0;
  double penalty = 0;
  double validation_loss = 0;            ///< with penalties; NaN without validation data
  double validation_reconstruction = 0;  ///< NaN without validation data
  double seconds = 0;
};

struct History {
  std::vector<EpochFigures> epochs;
};

/// Passed to TrainingOptions::progress while an epoch runs.
struct TrainingProgress {
  int epoch = 0;  ///< from 1
  int epochs = 0;
  std::int64_t step = 0;                   ///< steps done in this epoch
  std::int64_t steps = 0;                  ///< steps an epoch
  double seconds = 0;                      ///< since training began
  const EpochFigures* finished = nullptr;  ///< set on the call that ends an epoch
};

struct TrainingOptions {
  int epochs = 10;
  std::int64_t batch = 256;  ///< the last batch of an epoch may be smaller
  double learning_rate = 1e-3;
  AdamOptions adam;
  Sparsity sparsity;
  bool force = false;  ///< allow KL on codes that can leave (0, 1)
  std::uint64_t seed = 0;
  /// Called a few times a second and after each epoch; returning false ends training after the step
  /// with Interrupted, the parameters of that step in the model.
  std::function<bool(const TrainingProgress&)> progress;
  /// Called before training, at most once, where the loss does not suit the scaled data: one line.
  std::function<void(const std::string&)> warn;

  /// Throws UsageError that names the option: out of range, or a penalty that does not go with the
  /// code.
  void validate(const AutoencoderSpec& spec) const;
};

/// Trains `model` in place on the rows of `data` (scaled by model.scaler), from the parameters that
/// it has. The order of the rows in an epoch is a permutation drawn from Philox, keyed by seed and
/// epoch. Equal calls on one device with one number of threads give equal bits. Throws UsageError
/// for options that do not go together, InputError where the data does not fit or is not finite,
/// NumericsError with epoch, step and layer where the loss stops being finite.
History fit(Device& device, Autoencoder& model, const Dataset& data, const TrainingOptions& options,
            const Dataset* validation = nullptr);

}  // namespace hourglass
