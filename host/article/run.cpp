#include "host/article/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace hourglass::article {
namespace {

constexpr auto infos = std::to_array<FigureInfo>({
    {"train_loss", "training loss", "training",
     "Loss of the last epoch on the training digits, penalty included, while the weights move.", 4},
    {"train_reconstruction", "training reconstruction", "training, without penalty",
     "Its binary cross-entropy, without the penalty.", 4},
    {"train_penalty", "training penalty", "penalty", "Its penalty: sparsity, or the Jacobian's.",
     4},
    {"test_loss", "test loss", "test",
     "Loss on the test digits after the last epoch, penalty included.", 4},
    {"test_reconstruction", "test reconstruction", "test BCE",
     "Binary cross-entropy on the test digits, without the penalty.", 4},
    {"squared_error", "squared error (scaled)", "squared error",
     "Mean squared error of the test digits' reconstructions, in the scaled space.", 4},
    {"pixel_squared_error", "squared error (pixels)", "pixel error",
     "Mean squared error of the test digits' reconstructions, scaled back to pixels from 0 to 1.",
     4},
    {"gaussian_error", "squared error from Gaussian noise", "Gaussian noise",
     "Mean squared error, in pixels from 0 to 1, of the test digits as reconstructed from inputs "
     "with Gaussian noise of deviation 0.5 in the scaled space.",
     4},
    {"mask_error", "squared error from masked pixels", "masked",
     "The same from inputs of which 30 % of the values are 0 in the scaled space.", 4},
    {"clipped_share", "outputs at the clip", "at the clip",
     "Share of the test outputs whose logit the loss clips: they have no gradient.", 1, true},
    {"code_one_nn", "code 1-NN", "1-NN",
     "Accuracy of the nearest neighbour: the first half of the test codes is the reference, the "
     "second half is scored.",
     1, true},
    {"code_one_nn_leave_one_out", "code 1-NN, leave one out", "1-NN",
     "Accuracy of the nearest neighbour, each test code against all others.", 1, true},
    {"code_linear_probe", "code linear probe", "probe",
     "Accuracy of logistic regression: fitted on the first half of the test codes, scored on the "
     "second.",
     1, true},
    {"code_trustworthiness", "code trustworthiness", "trust",
     "Trustworthiness at 12 neighbours of the codes against the scaled inputs, on the first "
     "2,500 test digits.",
     3},
    {"code_silhouette", "code silhouette", "silhouette",
     "Mean silhouette of the test codes by digit.", 3},
    {"code_separation", "code class separation", "separation",
     "Distance of two digits' centroids over the mean of their spreads, mean over the pairs.", 2},
    {"code_one_zero", "code 1 against 0", "1 or 0",
     "Accuracy at telling ones from zeros by a straight line in the code: fitted on the first half "
     "of them, scored on the second.",
     2, true},
    {"jacobian_norm", "Jacobian norm", "Jacobian",
     "Mean over the test digits of the squared Frobenius norm of the code's derivative by the "
     "scaled input; encoders of one layer.",
     2},
    {"mean_activation", "mean activation", "mean", "Mean of all activations of the test codes.", 3},
    {"zero_share", "zero activations", "zeros",
     "Share of the test codes' activations that are exactly 0.", 1, true},
    {"dead_units", "dead units", "dead",
     "Units that are 0 (sigmoid units: below 0.001) for every test digit.", 1},
    {"negative_share", "negative activations", "negative",
     "Share of the test codes' activations below 0.", 1, true},
    {"explained_ratio", "explained variance", "explained",
     "Share of the training digits' variance that the components hold.", 1, true},
    {"map_kl", "map KL", "KL",
     "Kullback-Leibler divergence of the t-SNE map, all affinities and every pair.", 3},
    {"map_one_nn", "map 1-NN", "1-NN",
     "Accuracy of the nearest neighbour in the map: first half reference, second half scored.", 1,
     true},
    {"map_one_nn_leave_one_out", "map 1-NN, leave one out", "1-NN",
     "Accuracy of the nearest neighbour in the map, each point against all others.", 1, true},
    {"map_linear_probe", "map linear probe", "probe",
     "As for the code, on the map's two coordinates.", 1, true},
    {"map_trustworthiness", "map trustworthiness", "trust",
     "Trustworthiness at 12 neighbours of the map against the codes.", 4},
    {"map_neighbours_10", "neighbours kept of 10", "kept of 10",
     "Share of a code's 10 nearest that are among its 10 nearest in the map.", 1, true},
    {"map_neighbours_30", "neighbours kept of 30", "kept of 30",
     "Share of a code's 30 nearest that are among its 30 nearest in the map.", 1, true},
    {"map_silhouette", "map silhouette", "silhouette", "Mean silhouette of the map by digit.", 3},
    {"map_spread", "cluster width", "width",
     "Root mean square distance of a digit's points from their centroid, mean over the digits, "
     "over "
     "the map's radius.",
     3},
    {"map_gap", "gap", "gap",
     "Distance of a digit's centroid from the nearest other one less both spreads, mean over the "
     "digits, over the map's radius. Below 0 where the spreads of neighbours overlap.",
     3},
    {"map_spread_8", "width of 8", "width of 8", "The cluster width of digit 8.", 3},
    {"map_distance_2_3", "2 from 3", "2 to 3",
     "Distance of the centroids of digits 2 and 3 over the map's radius.", 2},
    {"map_distance_2_8", "2 from 8", "2 to 8",
     "Distance of the centroids of digits 2 and 8 over the map's radius.", 2},
    {"map_span", "map span", "span", "The larger side of the map's bounding box.", 0},
    {"map_force_error", "force error", "force error",
     "Root mean square error of t-SNE's repulsive forces at the end over their root mean square, "
     "against every pair in float64 at 300 points.",
     2, true},
    {"shared_with_simple", "neighbours shared with simple", "shared",
     "Share of a point's 30 nearest in the map that are among its 30 nearest in the map of the "
     "simple code of the same seed.",
     1, true},
    {"shared_between_seeds", "neighbours shared between seeds", "shared",
     "The same between the maps of the simple codes of this seed and the next: what training and "
     "t-SNE change by chance.",
     1, true},
});

}  // namespace

std::span<const FigureInfo> all_figure_info() {
  return infos;
}

const FigureInfo& figure_info(std::string_view name) {
  const auto found = std::find_if(infos.begin(), infos.end(),
                                  [&](const FigureInfo& info) { return info.name == name; });
  if (found == infos.end()) throw std::out_of_range(fmt::format("no figure \"{}\"", name));
  return *found;
}

Statistic statistic(std::span<const double> values) {
  Statistic result;
  result.count = values.size();
  if (values.empty()) return result;
  double sum = 0;
  for (const double value : values)
    sum += value;
  result.mean = sum / static_cast<double>(values.size());
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values)
    squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return result;
}

std::string format_statistic(const Statistic& value, const FigureInfo& info) {
  if (value.count == 0) return "-";
  const double factor = info.percent ? 100 : 1;
  std::string text = fmt::format("{:.{}f}", factor * value.mean, info.decimals);
  if (value.count > 1) text += fmt::format(" ± {:.{}f}", factor * value.deviation, info.decimals);
  return info.percent ? text + " %" : text;
}

std::vector<const Run*> runs_of(std::span<const Run> runs, std::string_view experiment,
                                std::string_view scaling) {
  std::vector<const Run*> found;
  for (const Run& run : runs) {
    if (run.experiment == experiment && run.scaling == scaling) found.push_back(&run);
  }
  std::sort(found.begin(), found.end(),
            [](const Run* a, const Run* b) { return a->seed < b->seed; });
  return found;
}

std::vector<double> values_of(std::span<const Run* const> runs, std::string_view figure) {
  std::vector<double> values;
  for (const Run* run : runs) {
    const auto found = run->figures.find(figure);
    if (found != run->figures.end()) values.push_back(found->second);
  }
  return values;
}

}  // namespace hourglass::article
