#include "host/train/training_steps.hpp"

#include <algorithm>

namespace hourglass {

TrainingSteps::TrainingSteps(Backend& backend, Batches& batches, TrainableNetwork& network,
                             std::int64_t all_steps, Precision precision)
    : backend_(backend),
      batches_(batches),
      network_(network),
      all_steps_(all_steps),
      precision_(precision),
      figures_(backend, 2 * batches.steps()),
      sums_(backend, 2) {
  figures_.zero();
  sums_.zero();
}

void TrainingSteps::run_one(std::int64_t rows) {
  const Range range(backend_, "step");
  const GemmPrecision precision(backend_, precision_);
  batches_.gather_shuffled(network_.steps_done(), network_.inputs(rows));
  network_.differentiate(rows, sums_.data(), sums_.data() + 1);
  const std::int64_t steps = batches_.steps();
  network_.update({sums_.data(), figures_.data(), figures_.data() + steps, steps});
}

void TrainingSteps::run_whole(std::int64_t count) {
  if (!run_once_ || !batches_.resident()) {
    run_one(batches_.batch());
    run_once_ = true;
    --count;
    for (; count > 0 && !batches_.resident(); --count)
      run_one(batches_.batch());
  }
  const std::int64_t times = all_steps_ >= least_steps ? count / recorded_steps : 0;
  if (times > 0 && !many_) {
    many_ = backend_.record([this] {
      for (std::int64_t i = 0; i < recorded_steps; ++i)
        run_one(batches_.batch());
    });
  }
  if (times > 0) many_->run(static_cast<int>(times));
  const std::int64_t rest = count - times * recorded_steps;
  if (rest > 0 && !one_) one_ = backend_.record([this] { run_one(batches_.batch()); });
  if (rest > 0) one_->run(static_cast<int>(rest));
}

void TrainingSteps::run(std::int64_t step, std::int64_t count) {
  const std::int64_t end = step + count;
  const std::int64_t whole = std::min(end, batches_.rows() / batches_.batch());
  if (step < whole) run_whole(whole - step);
  for (step = std::max(step, whole); step < end; ++step)
    run_one(batches_.rows_of(step));
}

}  // namespace hourglass
