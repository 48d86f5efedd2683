// The steps of an epoch: a batch, forward, backward, the optimiser. A step of a small model is
// bound by what it costs to ask for a dozen operations; recorded (Backend::record), many steps cost
// a GPU one launch.
#pragma once

#include <cstdint>
#include <memory>

#include "host/train/batches.hpp"
#include "host/train/network.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

class TrainingSteps {
 public:
  /// Steps of the longer of two sequences; the other has one. More would save little more of a
  /// launch's cost, and a graph takes its time to be made.
  static constexpr std::int64_t recorded_steps = 16;
  /// The least steps of a training for which the longer one is made: as many operations are asked
  /// for to make it.
  static constexpr std::int64_t least_steps = 8 * recorded_steps;

  /// Of shuffled batches; `all_steps` of them are expected in all. Both must outlive this.
  TrainingSteps(Backend& backend, Batches& batches, TrainableNetwork& network,
                std::int64_t all_steps, Precision precision = Precision::float32);

  /// The next `count` steps of the epoch that batches.begin() began, from number `step` of it. What
  /// changes from step to step is in device memory, so that they are the same recorded or not.
  void run(std::int64_t step, std::int64_t count);

  /// The loss of each step of the epoch, then the penalty of each, weighted by their rows.
  [[nodiscard]] const Buffer<double>& figures() const { return figures_; }

 private:
  void run_one(std::int64_t rows);
  void run_whole(std::int64_t count);

  Backend& backend_;
  Batches& batches_;
  TrainableNetwork& network_;
  std::int64_t all_steps_;
  Precision precision_;
  Buffer<double> figures_;
  Buffer<double> sums_;    // loss and penalty of the step that runs
  bool run_once_ = false;  // a whole batch was, so that workspace is there
  std::unique_ptr<Sequence> one_;
  std::unique_ptr<Sequence> many_;
};

}  // namespace hourglass
