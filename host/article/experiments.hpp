// The article's experiments as a table of data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hourglass/autoencoder.hpp"
#include "hourglass/training.hpp"

namespace hourglass::article {

/// How a code is looked at.
enum class View {
  plane,  ///< it has two units: its own plane
  tsne,   ///< a t-SNE map of the test codes
  none    ///< figures alone
};

struct Experiment {
  std::string id;                    ///< names files: "sparse-l1"
  std::string group;                 ///< what `--only` also takes: "sparse"
  std::string title;                 ///< one line
  std::vector<std::int64_t> hidden;  ///< empty for PCA
  Activation code_activation = Activation::relu;
  Sparsity sparsity;
  Noise noise;
  float contractive = 0.0f;
  std::int64_t components = 0;  ///< PCA's; 0 for an autoencoder
  View view = View::none;

  [[nodiscard]] bool is_pca() const { return components > 0; }
  /// PCA itself draws no numbers; a t-SNE of its codes does.
  [[nodiscard]] bool depends_on_seed() const { return !is_pca() || view == View::tsne; }
  [[nodiscard]] std::int64_t code_size() const { return is_pca() ? components : hidden.back(); }
  [[nodiscard]] bool sigmoid_codes() const { return code_activation == Activation::sigmoid; }
};

/// All of them, in the order of the report.
const std::vector<Experiment>& all_experiments();

/// Those whose id or group is among `names`; all where it is empty. Throws UsageError for a name
/// that is neither.
std::vector<Experiment> select_experiments(const std::vector<std::string>& names);

}  // namespace hourglass::article
