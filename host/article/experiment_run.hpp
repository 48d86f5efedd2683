// Trains one experiment, takes the codes of the test digits and measures everything about them.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "host/article/experiments.hpp"
#include "host/article/run.hpp"
#include "hourglass/article.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scaler.hpp"
#include "hourglass/scores.hpp"

namespace hourglass::article {

/// The data as one scaling gives it, and what is computed once for all of its runs.
struct ScaledData {
  const Dataset* train = nullptr;
  const Dataset* test = nullptr;
  Scaler scaler;
  Matrix test_inputs;  ///< scaled
  ScaledRange train_range;
  ScaledRange test_range;
  std::map<std::int64_t, Pca> pca;      ///< by number of components, on the scaled training rows
  std::map<std::string, Matrix> noisy;  ///< the scaled test rows by the name of the noise

  ScaledData(Device& device, const Dataset& train_rows, const Dataset& test_rows, Scaling scaling);
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

/// `keep_going` is asked a few times a second; false ends the run with Interrupted.
ExperimentRun run_experiment(Device& device, const Experiment& experiment, ScaledData& data,
                             std::uint64_t seed, const ArticleOptions& options);

}  // namespace hourglass::article
