// What follows from the losses of the epochs so far: the learning rate of the next, the best epoch,
// whether to stop. All of it is computed from the history, so a resumed training needs nothing
// else.
#pragma once

#include <cstddef>
#include <vector>

#include "hourglass/training.hpp"

namespace hourglass {

/// The learning rate of epoch epochs.size() + 1, after those in `epochs`.
double next_learning_rate(const TrainingOptions& options, const std::vector<EpochFigures>& epochs);

/// The epoch, from 1, of the lowest validation loss, the first of equals; one that is lower by no
/// more than `min_improvement` than the best before it counts as equal. 0 without epochs.
int best_epoch(const std::vector<EpochFigures>& epochs, double min_improvement);

/// Whether `options` says that training ends after `epochs`, before its last.
bool stops_early(const TrainingOptions& options, const std::vector<EpochFigures>& epochs);

}  // namespace hourglass
