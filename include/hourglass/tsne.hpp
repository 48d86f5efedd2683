// t-SNE (van der Maaten and Hinton 2008; trees: van der Maaten 2014): a 2-D map in which neighbours
// stay neighbours.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"

namespace hourglass {

enum class TsneMethod { automatic, exact, tree };
TsneMethod parse_tsne_method(std::string_view name);
std::string_view name_of(TsneMethod method);

enum class TsneStart {
  pca,  ///< the first two principal components, scaled so that the first has deviation 1e-4, with
        ///< a jitter of deviation 1e-6 that parts equal points; random where all points are equal
  random,  ///< Gaussian of deviation 1e-4
  given    ///< TsneOptions::given_start; rows equal to an earlier one get a jitter
};

/// Up to this many points the partition in the KL divergence is summed over every pair.
inline constexpr std::int64_t most_points_of_exact_kl = 200'000;

struct TsneProgress {
  int iteration = 0;
  int iterations = 0;
  double seconds = 0;  ///< since the optimisation began
};

struct TsneOptions {
  double perplexity = 30;             ///< 1 to (N - 1) / 3; for 2 to 4 points 1
  int iterations = 1000;              ///< in all
  int exaggeration_iterations = 250;  ///< the first of them
  double early_exaggeration = 12;
  double early_momentum = 0.5;
  double momentum = 0.8;
  /// Multiplies the gradient without its factor 4, as openTSNE's does: scikit-learn's 200 is 800
  /// here. 0 means auto: in each phase max(N / exaggeration, 50), so N / 12 and then N (Belkina et
  /// al. 2019).
  double learning_rate = 0;
  double max_step = 5;  ///< longest step of one point; infinity for none
  TsneStart start = TsneStart::pca;
  Matrix given_start;  ///< N x 2, where start is `given`
  TsneMethod method = TsneMethod::automatic;
  std::uint64_t seed = 0;
  /// Called a few times a second; returning false ends with Interrupted.
  std::function<bool(const TsneProgress&)> progress;
};

struct TsneResult {
  Matrix map;                   ///< N x 2, centred
  double kl_divergence = 0;     ///< the true one: all of P, exact partition
  bool exact_partition = true;  ///< false beyond most_points_of_exact_kl: by the method's own
  TsneMethod method = TsneMethod::exact;  ///< that was used
  int neighbours = 0;                     ///< k of the affinities
  double early_learning_rate = 0;         ///< effective
  double learning_rate = 0;               ///< effective
  int iterations = 0;
  double span = 0;  ///< the larger side of the map's bounding box
  double neighbours_seconds = 0;
  double affinities_seconds = 0;
  double optimisation_seconds = 0;
  double total_seconds = 0;
};

/// Embeds the rows of x (N x D). Throws UsageError where the perplexity is too large for N (naming
/// the largest legal one) or an option is out of range, InputError for NaN or infinity in x or a
/// start that does not fit, NumericsError where the map stops being finite, Interrupted.
TsneResult tsne(Device& device, const Matrix& x, const TsneOptions& options = {});

}  // namespace hourglass
