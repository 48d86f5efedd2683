// Figures of merit for codes and maps. Each says what it measures, its range and its source.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"

namespace hourglass {

using Labels = std::span<const std::int32_t>;

/// Share of the rows of `test` whose nearest row of `train` has their label. 0 .. 1.
double one_nn_accuracy(Device& device, const Matrix& train, Labels train_labels, const Matrix& test,
                       Labels test_labels);

/// The article's protocol for one set: the first half is the reference, the second half is scored.
double one_nn_split_accuracy(Device& device, const Matrix& x, Labels labels);

/// Each row against all others. 0 .. 1.
double one_nn_leave_one_out_accuracy(Device& device, const Matrix& x, Labels labels);

/// Accuracy on `test` of multinomial logistic regression fitted on `train` (columns standardised on
/// `train`, L2 penalty 1e-4 / 2 |W|^2 beside the mean cross-entropy, L-BFGS to a relative gradient
/// of 1e-5). 0 .. 1.
double linear_probe_accuracy(Device& device, const Matrix& train, Labels train_labels,
                             const Matrix& test, Labels test_labels);
/// First half fits, second half is scored.
double linear_probe_split_accuracy(Device& device, const Matrix& x, Labels labels);

/// Venna and Kaski (2001), scikit-learn's form: 1 - 2 / (N k (2N - 3k - 1)) sum over the map's k
/// neighbours that are not among the k nearest in x of (rank in x - k). 0 .. 1. Throws UsageError
/// where k >= N / 2.
double trustworthiness(Device& device, const Matrix& x, const Matrix& map, int neighbours = 12);

/// Mean over the rows of the share of the k nearest rows in x that are among the k nearest in the
/// map.
double neighbour_preservation(Device& device, const Matrix& x, const Matrix& map, int neighbours);

/// Up to so many rows map_figures() takes all by itself, beyond `rows_of_a_figure_sample` of them.
inline constexpr std::int64_t most_rows_of_full_figures = 20'000;
inline constexpr std::int64_t rows_of_a_figure_sample = 2'000;

/// What tells good maps from bad ones, by one search each in the data and in the map.
struct MapFigures {
  std::optional<double> neighbour_preservation_10;  ///< nothing where there are 10 rows or fewer
  std::optional<double> neighbour_preservation_30;  ///< 30 or fewer
  std::optional<double> trustworthiness;            ///< at 12 neighbours; 24 or fewer
  std::int64_t sample = 0;                          ///< rows that they are means over
};
/// neighbour_preservation() at 10 and 30 and trustworthiness() at 12, as means over `sample` rows
/// spread evenly (row a N / sample for a = 0 .. sample - 1; 0: by the constants above), each among
/// all N rows. With every row in the sample they are what these functions give, but for orders of
/// distances that float32 cannot tell apart. O(sample N D). Values must be finite.
MapFigures map_figures(Device& device, const Matrix& x, const Matrix& map, std::int64_t sample = 0);

struct Silhouette {
  double mean = 0;               ///< over all rows; -1 .. 1
  std::vector<double> by_class;  ///< mean over the rows of each class
};
/// Rousseeuw (1987), Euclidean, the classes as clusters; a class of one row scores 0. Labels are 0
/// .. C-1.
Silhouette silhouette(Device& device, const Matrix& x, Labels labels);

/// How far classes lie apart and how wide they are.
struct ClassSeparation {
  std::int32_t classes = 0;
  std::vector<double> spread;  ///< C: root mean square distance of a class's rows from its centroid
  std::vector<double> centroid_distance;  ///< C x C
  double mean_spread = 0;                 ///< mean over the classes
  double mean_ratio = 0;  ///< mean over pairs of centroid distance / mean of the two spreads:
                          ///< larger is better separated
  double radius = 0;      ///< root mean square distance of all rows from their mean: the scale that
                          ///< spreads and gaps of different maps are compared at
  double mean_gap = 0;    ///< mean over the classes of the least, over the others, of centroid
                          ///< distance less both spreads; below 0 where neighbours overlap
  [[nodiscard]] double ratio(std::int32_t a, std::int32_t b) const;  ///< of one pair
};
ClassSeparation class_separation(const Matrix& x, Labels labels);

/// Best accuracy at telling class a from class b by a linear threshold: linear probe on these two
/// alone, first half fits.
double pair_accuracy(Device& device, const Matrix& x, Labels labels, std::int32_t a,
                     std::int32_t b);

/// What a code's units do over a set.
struct ActivationFigures {
  double mean = 0;                ///< of all activations
  double zero_share = 0;          ///< share of activations that are exactly 0
  std::int64_t dead_units = 0;    ///< units that are 0 (sigmoid codes: below 1e-3) on every row
  std::vector<double> unit_mean;  ///< K
  std::vector<double>
      unit_active_share;      ///< K: share of rows with the unit above 0 (sigmoid codes: above 0.5)
  double negative_share = 0;  ///< share of activations below 0
};
ActivationFigures activation_figures(const Matrix& codes, bool sigmoid_codes);

/// sum p log(p / q) with P at this perplexity from x and every pair in the partition.
double tsne_kl_divergence(Device& device, const Matrix& x, const Matrix& map, double perplexity);

}  // namespace hourglass
