// t-SNE (van der Maaten and Hinton 2008; trees: van der Maaten 2014; Fourier transforms: Linderman
// et al. 2019): a map of two or three dimensions in which neighbours stay neighbours.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"
#include "hourglass/neighbours.hpp"

namespace hourglass {

/// How repulsive forces are summed. Approximations keep the root mean square error of the force
/// below 1 % of its root mean square.
enum class TsneMethod {
  automatic,  ///< the fastest by the number of points, the map's span and the device, decided anew
              ///< every tsne_interval iterations
  exact,      ///< every pair
  tree,       ///< a quadtree or octree; the CPU's alone
  fft         ///< a grid and Fourier transforms: maps of two dimensions up to fft_longest_span
};
TsneMethod parse_tsne_method(std::string_view name);
std::string_view name_of(TsneMethod method);

enum class TsneStart {
  pca,     ///< the first principal components, scaled so that the first has deviation 1e-4, with a
           ///< jitter of deviation 1e-6 that parts equal points; random where all points are equal
  random,  ///< Gaussian of deviation 1e-4
  given    ///< TsneOptions::given_start; rows equal to an earlier one get a jitter
};

/// Up to this many points the partition in the KL divergence is summed over every pair.
inline constexpr std::int64_t most_points_of_exact_kl = 200'000;

/// Iterations between the moments at which the method is chosen, points are sorted and states can
/// be taken. A run that goes on from a state ends bitwise where the unbroken one ends.
inline constexpr int tsne_interval = 50;

struct TsneProgress {
  int iteration = 0;   ///< done
  int iterations = 0;  ///< in all
  double seconds = 0;  ///< since the optimisation began
  double span = 0;     ///< of the map at the last interval
  /// At the last interval, with the method's own partition; nothing before the first.
  std::optional<double> kl_divergence;
};

/// All that a run needs to go on from, but for the data and the options.
struct TsneState {
  int iteration = 0;                ///< done; a multiple of tsne_interval, or the last
  Matrix map, step, gains;          ///< N x dimensions each, rows in the order of the data
  std::vector<std::int32_t> order;  ///< in which the points lie in memory
  double kl_divergence = 0;         ///< with the method's own partition
};
/// As a safetensors file of the tensors map, step, gains and order. Throws InputError where it
/// cannot be written; for a file that is not such a state, naming what is wrong.
void save_tsne_state(const std::string& path, const TsneState& state);
[[nodiscard]] TsneState load_tsne_state(const std::string& path);

struct TsneOptions {
  int dimensions = 2;  ///< of the map: 2 or 3
  /// Effective number of neighbours, 1 to (N - 1) / 3; for 2 to 4 points 1.
  double perplexity = 30;
  /// Where not empty, instead of `perplexity`: the affinities are the mean of those at each, over
  /// the neighbours of the largest.
  std::vector<double> perplexities;
  NeighbourOptions neighbours;
  /// Instead of a search: at least min(N - 1, 3 perplexity) neighbours a row. The data then serve
  /// the start alone, and may have no columns where that is not `pca`.
  std::optional<NeighbourTable> given_neighbours;
  std::string load_affinities;        ///< a file to take P from, instead of all of the above
  std::string save_affinities;        ///< a file to write P to
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
  Matrix given_start;  ///< N x dimensions, where start is `given`
  TsneMethod method = TsneMethod::automatic;
  std::uint64_t seed = 0;  ///< of the start, of jitters and of the approximate search
  /// After the exaggeration, stop where the KL divergence fell by less than this share of itself in
  /// an interval; 0 never stops. The rule looks at no quantity that grows with N.
  double stop_below = 0;
  /// Goes on from here instead of from a start.
  std::optional<TsneState> resume;
  /// Called a few times a second; returning false ends with Interrupted.
  std::function<bool(const TsneProgress&)> progress;
  /// Called every `snapshot_every` iterations, a multiple of tsne_interval, and at the end.
  std::function<void(const TsneState&)> snapshot;
  int snapshot_every = tsne_interval;
};

/// The method of iterations `from` on.
struct TsneMethodUse {
  int from = 0;
  TsneMethod method = TsneMethod::exact;
};

struct TsneResult {
  Matrix map;                   ///< N x dimensions, centred
  double kl_divergence = 0;     ///< the true one: all of P, exact partition
  bool exact_partition = true;  ///< false beyond most_points_of_exact_kl: by the method's own
  TsneMethod method = TsneMethod::exact;                      ///< of the last iteration
  std::vector<TsneMethodUse> methods;                         ///< all of them, in order
  int neighbours = 0;                                         ///< k of the affinities
  NeighbourMethod neighbour_method = NeighbourMethod::exact;  ///< that was used
  double recall = 1;                                          ///< of the approximate search
  double early_learning_rate = 0;                             ///< effective
  double learning_rate = 0;                                   ///< effective
  int iterations = 0;                                         ///< that were done
  bool stopped_early = false;                                 ///< by stop_below
  double span = 0;  ///< the longest side of the map's bounding box
  /// Root mean square error of the repulsive forces at the end over their root mean square, against
  /// every pair in float64, at `force_sample` points; 0 by construction for `exact`.
  double force_error = 0;
  std::int64_t force_sample = 0;
  double neighbours_seconds = 0;
  double affinities_seconds = 0;
  double optimisation_seconds = 0;
  double total_seconds = 0;
};

/// Embeds the rows of x (N x D). Throws UsageError where the perplexity is too large for N (naming
/// the largest legal one) or an option is out of range, InputError for NaN or infinity in x or a
/// start or state that does not fit, NumericsError where the map stops being finite, Interrupted.
TsneResult tsne(Device& device, const Matrix& x, const TsneOptions& options = {});

struct TsneTransformOptions {
  double perplexity = 30;  ///< of the new points among the old: 1 to N / 3
  int iterations = 100;
  double learning_rate = 0.5;  ///< of the gradient of a point's own divergence, which sums to 1
  double momentum = 0.8;
  std::function<bool(const TsneProgress&)> progress;
};

/// Places new points x (M x D) in a map (N x dimensions) of `reference` (N x D) that stands still.
/// Each starts at the mean of its neighbours' places, weighted by its affinities to them, and
/// descends its own KL divergence sum_j p_j|i log(p_j|i / q_j|i) over the reference points: where a
/// point comes to lie does not depend on which others are placed with it. Every pair, so O(M N) an
/// iteration. Errors as tsne's.
Matrix tsne_transform(Device& device, const Matrix& reference, const Matrix& map, const Matrix& x,
                      const TsneTransformOptions& options = {});

}  // namespace hourglass
