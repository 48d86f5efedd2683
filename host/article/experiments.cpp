#include "host/article/experiments.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "hourglass/article.hpp"
#include "hourglass/error.hpp"

namespace hourglass::article {
namespace {

Experiment autoencoder(std::string id, std::string group, std::string title,
                       std::vector<std::int64_t> hidden, View view,
                       std::string_view sparsity = "none",
                       Activation code_activation = Activation::relu) {
  Experiment experiment;
  experiment.id = std::move(id);
  experiment.group = std::move(group);
  experiment.title = std::move(title);
  experiment.hidden = std::move(hidden);
  experiment.view = view;
  experiment.sparsity = Sparsity::parse(sparsity);
  experiment.code_activation = code_activation;
  return experiment;
}

Experiment denoising(std::string id, std::string title, std::string_view noise) {
  Experiment experiment =
      autoencoder(std::move(id), "denoising", std::move(title), {32}, View::none);
  experiment.noise = parse_noise(noise);
  return experiment;
}

Experiment contractive(std::string id, std::string title, float weight) {
  Experiment experiment = autoencoder(id, id, std::move(title), {32}, View::none);
  experiment.contractive = weight;
  return experiment;
}

Experiment pca(std::string id, std::string title, std::int64_t components, View view) {
  Experiment experiment;
  experiment.id = std::move(id);
  experiment.group = "pca";
  experiment.title = std::move(title);
  experiment.components = components;
  experiment.code_activation = Activation::linear;
  experiment.view = view;
  return experiment;
}

}  // namespace

const std::vector<Experiment>& all_experiments() {
  constexpr Activation sigmoid = Activation::sigmoid;
  static const std::vector<Experiment> table = {
      autoencoder("simple", "simple", "One hidden layer of 32 rectified units", {32}, View::tsne),
      autoencoder("shallow-2d", "shallow-2d", "One hidden layer of 2 rectified units", {2},
                  View::plane),
      autoencoder("deep-2d", "deep-2d", "Three hidden layers each way, to 2 rectified units",
                  {128, 64, 2}, View::plane),
      autoencoder("sparse-l1", "sparse", "32 rectified units, L1 penalty on their activations",
                  {32}, View::tsne, "l1:1e-4"),
      autoencoder("sparse-kl", "sparse", "32 sigmoid units, KL penalty on their mean activations",
                  {32}, View::tsne, "kl:0.05:0.004", sigmoid),
      autoencoder("sparse-l1sum", "sparse",
                  "32 rectified units, the same L1 penalty summed over the batch", {32}, View::none,
                  "l1sum:1e-4"),
      autoencoder("overcomplete-l1", "overcomplete", "256 rectified units, L1 penalty", {256},
                  View::none, "l1:1e-4"),
      autoencoder("overcomplete-kl", "overcomplete", "256 sigmoid units, KL penalty", {256},
                  View::none, "kl:0.05:0.004", sigmoid),
      denoising("denoising-gaussian", "32 rectified units, inputs with Gaussian noise",
                "gaussian:0.5"),
      denoising("denoising-mask", "32 rectified units, inputs with masked pixels", "mask:0.3"),
      contractive("contractive", "32 rectified units, penalty on the Jacobian of the code", 1e-3f),
      pca("pca-32", "The first 32 principal components", 32, View::tsne),
      pca("pca-2", "The first 2 principal components", 2, View::plane),
  };
  return table;
}

std::vector<Experiment> select_experiments(const std::vector<std::string>& names) {
  if (names.empty()) return all_experiments();
  const std::vector<std::string> known = article_experiments();
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw UsageError(fmt::format("article: no experiment \"{}\"; expected some of {}", name,
                                   fmt::join(known, ", ")));
    }
  }
  std::vector<Experiment> selected;
  for (const Experiment& experiment : all_experiments()) {
    const auto named = [&](const std::string& name) {
      return name == experiment.id || name == experiment.group;
    };
    if (std::any_of(names.begin(), names.end(), named)) selected.push_back(experiment);
  }
  return selected;
}

}  // namespace hourglass::article

namespace hourglass {

std::vector<std::string> article_experiments() {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const article::Experiment& experiment : article::all_experiments()) {
    add(experiment.group);
    add(experiment.id);
  }
  return names;
}

}  // namespace hourglass
