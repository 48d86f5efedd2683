// One call of fit(), after its arguments were checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/train/batches.hpp"
#include "host/train/checkpoint.hpp"
#include "host/train/network.hpp"
#include "host/train/pace.hpp"
#include "host/train/training_steps.hpp"
#include "hourglass/training.hpp"

namespace hourglass {

class TrainingRun {
 public:
  TrainingRun(Device& device, Autoencoder& model, const RowSource& data,
              const TrainingOptions& options, const std::optional<RowSource>& validation,
              Batches::Residence residence);
  History run();

 private:
  using Clock = std::chrono::steady_clock;

  /// The epoch that runs or comes next, from 1.
  [[nodiscard]] int epoch() const { return static_cast<int>(history_.epochs.size()) + 1; }
  [[nodiscard]] bool ended() const;

  /// Made when a checkpoint is written or read, since that reads all data.
  const TrainingIdentity& identity();
  void resume();
  void take_over(const Checkpoint& checkpoint);
  /// False where its last step ended training.
  bool run_epoch();
  void begin_epoch();
  /// Steps from `step` on that are asked of the device before the host has something to do between
  /// them.
  [[nodiscard]] std::int64_t steps_at_once(std::int64_t step) const;
  [[nodiscard]] EpochFigures epoch_figures();
  void validate(EpochFigures& figures);
  void keep_if_best();
  void finish();

  /// Row-weighted sums of the epoch that runs, over its first `steps` steps. Throws NumericsError
  /// where one of them is not finite.
  struct Sums {
    double loss = 0.0;
    double penalty = 0.0;
  };
  [[nodiscard]] Sums sums(std::int64_t steps);

  /// Whether `every` says that a checkpoint is due after `step` of the epoch that runs.
  [[nodiscard]] bool checkpoint_due(std::int64_t step) const;
  /// `step` steps of the epoch after those in the history are done.
  void write_checkpoint(std::int64_t step);
  /// False where training is to end.
  bool report(std::int64_t step, const EpochFigures* finished);
  [[noreturn]] void interrupt(std::int64_t step);
  [[noreturn]] void fail(std::int64_t step, const char* what, double value);
  [[nodiscard]] std::optional<std::size_t> first_not_finite(
      const std::vector<float>& parameters) const;

  Backend& backend_;
  std::string device_;
  Autoencoder& model_;
  const TrainingOptions& options_;
  Batches batches_;
  std::int64_t steps_;            // an epoch
  std::int64_t validation_rows_;  // of a block; 0 without
  TrainableNetwork network_;
  TrainingSteps training_steps_;
  std::optional<Batches> validation_batches_;
  Buffer<double> validation_figures_;

  RowSource data_;
  std::optional<RowSource> validation_;
  std::string first_parameters_;  // their fingerprint
  TrainingIdentity identity_;
  std::optional<CheckpointWriter> writer_;
  History history_;
  Buffer<float> best_parameters_;  // empty where they are not kept
  std::int64_t first_step_ = 0;    // of the epoch that runs, where it was resumed
  Sums resumed_;                   // of the steps before it
  std::int64_t steps_done_ = 0;
  Pace pace_;  // where progress is told
  Clock::time_point start_;
  Clock::time_point last_call_;
};

}  // namespace hourglass
