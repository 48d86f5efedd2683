#include "host/train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace hourglass {
namespace {

/// As next_learning_rate() has it: whenever the watched loss has not fallen for `every` epochs, the
/// multiple falls and the count begins anew.
double plateau_multiple(const LearningRateSchedule& schedule,
                        const std::vector<EpochFigures>& epochs) {
  double multiple = 1.0;
  double best = std::numeric_limits<double>::infinity();
  int waited = 0;
  for (const EpochFigures& epoch : epochs) {
    const double loss = std::isnan(epoch.validation_loss) ? epoch.loss : epoch.validation_loss;
    if (loss < best) {
      best = loss;
      waited = 0;
    } else if (++waited == schedule.every) {
      multiple = std::max(multiple * schedule.factor, schedule.last);
      waited = 0;
    }
  }
  return multiple;
}

}  // namespace

double next_learning_rate(const TrainingOptions& options, const std::vector<EpochFigures>& epochs) {
  const LearningRateSchedule& schedule = options.schedule;
  const auto done = static_cast<double>(epochs.size());
  double multiple = 1.0;
  switch (schedule.kind) {
    case LearningRateSchedule::Kind::constant:
      break;
    case LearningRateSchedule::Kind::cosine:
      multiple = schedule.last + (1.0 - schedule.last) * 0.5 *
                                     (1.0 + std::cos(std::numbers::pi * done / options.epochs));
      break;
    case LearningRateSchedule::Kind::step:
      multiple = std::pow(schedule.factor, std::floor(done / schedule.every));
      break;
    case LearningRateSchedule::Kind::plateau:
      multiple = plateau_multiple(schedule, epochs);
      break;
  }
  return options.learning_rate * multiple;
}

int best_epoch(const std::vector<EpochFigures>& epochs, double min_improvement) {
  double best = std::numeric_limits<double>::infinity();
  std::size_t at = 0;
  for (std::size_t e = 0; e < epochs.size(); ++e) {
    if (e == 0 || epochs[e].validation_loss < best - min_improvement) {
      best = epochs[e].validation_loss;
      at = e + 1;
    }
  }
  return static_cast<int>(at);
}

bool stops_early(const TrainingOptions& options, const std::vector<EpochFigures>& epochs) {
  if (options.patience == 0) return false;
  const auto waited = static_cast<int>(epochs.size()) - best_epoch(epochs, options.min_improvement);
  return waited >= options.patience;
}

}  // namespace hourglass
