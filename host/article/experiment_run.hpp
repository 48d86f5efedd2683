// Trains one experiment, takes the codes of the test digits and measures everything about them.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "host/article/experiments.hpp"
#include "host/article/phases.hpp"
#include "host/article/run.hpp"
#include "host/score/rank_table.hpp"
#include "hourglass/article.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scaler.hpp"
#include "hourglass/scores.hpp"

namespace hourglass::article {

/// A value that is made by whoever asks for it first, while others who ask wait.
template <class T>
class Once {
 public:
  template <class Make>
  const T& get(Make&& make) {
    const std::lock_guard lock(mutex_);
    if (!value_) value_.emplace(std::forward<Make>(make)());
    return *value_;
  }

 private:
  std::mutex mutex_;
  std::optional<T> value_;
};

/// The data as one scaling gives it, and what is computed once for all of its runs, which may be
/// at it side by side.
struct ScaledData {
  const Dataset* train = nullptr;
  const Dataset* test = nullptr;
  Scaler scaler;
  Matrix test_inputs;           ///< scaled
  Matrix test_pixels;           ///< these, scaled back to pixels from 0 to 1
  std::int64_t components = 0;  ///< the most that an experiment takes of PCA

  Once<Pca> pca;                ///< of that many components, on the scaled training rows
  Once<Dataset> gaussian;       ///< the scaled test rows with the noise that every model is shown
  Once<Dataset> mask;           ///< and with the other
  Once<RankTable> input_ranks;  ///< of the first scaled test rows: see measure_code()

  ScaledData(Device& device, const Dataset& train_rows, const Dataset& test_rows, Scaling scaling,
             std::span<const Experiment> experiments);
};

/// What the pictures need of a run.
struct Artifacts {
  Matrix codes;            ///< of all test digits
  Matrix reconstructions;  ///< of sample_rows(), as pixels from 0 to 1 (PCA's may leave them)
  Matrix filters;          ///< K x D: a first hidden unit's weights, or a component, a row
  Matrix noisy;            ///< sample_rows() with the experiment's noise; empty without
  Matrix denoised;         ///< their reconstructions
};

/// The first test row of each class, by rising class, ten at most.
std::vector<std::int64_t> sample_rows(const Dataset& test);

/// Rows of a dataset as pixels from 0 to 1.
Matrix pixels_of(const Dataset& data, std::span<const std::int64_t> rows);

struct ExperimentRun {
  Run run;
  Artifacts artifacts;
};

/// About how long a run takes, in multiplications of training.
double cost_of(const Experiment& experiment, const Dataset& train, const Dataset& test,
               const ArticleOptions& options);

/// `options.keep_going` is asked a few times a second; false ends the run with Interrupted. Runs of
/// one ScaledData may go on side by side, each on a device of its own.
ExperimentRun run_experiment(Device& device, const Experiment& experiment, ScaledData& data,
                             std::uint64_t seed, const ArticleOptions& options, PhaseClock& clock);

}  // namespace hourglass::article
