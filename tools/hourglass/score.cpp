// hourglass score
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

#include "commands.hpp"
#include "hourglass/error.hpp"
#include "hourglass/scaler.hpp"
#include "hourglass/scores.hpp"

namespace hourglass::command {
namespace {

struct ScoreArguments {
  std::string map;
  std::string data;
  std::string labels;
  std::string scale = "auto";
  int neighbours = 12;
  double perplexity = 30;
};

/// Labels as 0 .. C-1, in the order of their values: scores index by them.
std::vector<std::int32_t> consecutive(const std::vector<std::int32_t>& labels) {
  const std::set<std::int32_t> values(labels.begin(), labels.end());
  const std::vector<std::int32_t> sorted(values.begin(), values.end());
  std::vector<std::int32_t> result;
  result.reserve(labels.size());
  for (const std::int32_t label : labels) {
    result.push_back(static_cast<std::int32_t>(
        std::lower_bound(sorted.begin(), sorted.end(), label) - sorted.begin()));
  }
  return result;
}

void check_finite(const std::string& name, const Matrix& x) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.columns; ++j) {
      if (!std::isfinite(x(i, j))) {
        throw InputError(fmt::format("{}: row {}, column {} is {}; expected a finite number", name,
                                     i, j, x(i, j)));
      }
    }
  }
}

void plan_memory(Session& session, const DeviceInfo& device, const Matrix& map,
                 const std::optional<Dataset>& data, const std::vector<std::int32_t>& labels,
                 const ScoreArguments& arguments) {
  if (!labels.empty()) {
    const std::int64_t classes = *std::max_element(labels.begin(), labels.end()) + 1;
    const DataShape half(map.rows / 2, map.columns);
    session.plan(one_nn_memory(device, map, std::nullopt));
    session.plan(linear_probe_memory(device, half, half, classes));
    session.plan(silhouette_memory(device, map, classes));
  }
  if (!data) return;
  const DataShape x(data->rows, data->columns);
  if (!labels.empty()) session.plan(one_nn_split_memory(device, x));
  session.plan(trustworthiness_memory(device, x, map, arguments.neighbours));
  session.plan(neighbour_preservation_memory(device, x, map, arguments.neighbours));
  if (map.columns == 2) session.plan(tsne_kl_memory(device, x, arguments.perplexity));
}

void score(Session& session, const ScoreArguments& arguments) {
  if (arguments.scale != "auto") parse_scaling(arguments.scale);
  if (arguments.data.empty() && arguments.labels.empty()) {
    throw UsageError("a map alone has no score: expected --data, --labels or both");
  }
  session.options = {{"map", arguments.map},
                     {"data", arguments.data.empty() ? Json(nullptr) : Json(arguments.data)},
                     {"labels", arguments.labels.empty() ? Json(nullptr) : Json(arguments.labels)},
                     {"scale", arguments.scale},
                     {"neighbours", arguments.neighbours},
                     {"perplexity", arguments.perplexity}};
  const Matrix map = session.time("load", [&] { return load_matrix(arguments.map); });
  check_finite(arguments.map, map);
  session.print_field("map",
                      fmt::format("{}: {} x {}", arguments.map, grouped(map.rows), map.columns));
  session.results["rows"] = map.rows;
  std::vector<std::int32_t> labels;
  std::optional<Dataset> data;
  if (!arguments.data.empty()) {
    data = session.load(arguments.data);
    if (data->rows != map.rows) {
      throw InputError(fmt::format("{}: {} rows; {} has {}, expected one row for each",
                                   arguments.data, data->rows, arguments.map, map.rows));
    }
    labels = data->labels;
  }
  if (!arguments.labels.empty()) {
    labels = session.time("load", [&] { return load_labels(arguments.labels, map.rows); });
  }
  labels = consecutive(labels);
  Device& device = session.open_device();
  if (map.rows > 1) plan_memory(session, device.info(), map, data, labels, arguments);

  const auto figure = [&](const char* key, const char* name, auto&& compute) {
    const double value = session.time(key, compute);
    session.results[key] = number(value);
    session.print_field(name, fmt::format("{:.4f}", value));
  };
  if (!labels.empty()) {
    if (map.rows < 2) throw InputError(fmt::format("{}: one row has no neighbours", arguments.map));
    figure("one_nn_accuracy", "1-NN accuracy",
           [&] { return one_nn_split_accuracy(device, map, labels); });
    figure("one_nn_leave_one_out_accuracy", "  leave one out",
           [&] { return one_nn_leave_one_out_accuracy(device, map, labels); });
    figure("linear_probe_accuracy", "linear probe",
           [&] { return linear_probe_split_accuracy(device, map, labels); });
    const Silhouette silhouettes =
        session.time("silhouette", [&] { return silhouette(device, map, labels); });
    session.results["silhouette"] = number(silhouettes.mean);
    session.results["silhouette_by_class"] = silhouettes.by_class;
    session.print_field("silhouette", fmt::format("{:.4f}", silhouettes.mean));
    const ClassSeparation separation =
        session.time("class_separation", [&] { return class_separation(map, labels); });
    session.results["class_separation"] = number(separation.mean_ratio);
    session.results["class_spread"] = separation.spread;
    session.print_field("class separation", fmt::format("{:.4f}", separation.mean_ratio));
  }
  if (data) {
    const Matrix x =
        session.time("scale", [&] { return features(device, *data, arguments.scale); });
    if (!labels.empty()) {
      figure("data_one_nn_accuracy", "1-NN of the data",
             [&] { return one_nn_split_accuracy(device, x, labels); });
    }
    figure("trustworthiness", "trustworthiness",
           [&] { return trustworthiness(device, x, map, arguments.neighbours); });
    figure("neighbour_preservation", "neighbours kept",
           [&] { return neighbour_preservation(device, x, map, arguments.neighbours); });
    if (map.columns == 2) {
      figure("kl_divergence", "KL divergence",
             [&] { return tsne_kl_divergence(device, x, map, arguments.perplexity); });
    }
  }
}

}  // namespace

Command add_score(CLI::App& parent) {
  CLI::App* app =
      parent.add_subcommand("score", "How well a map or code keeps neighbours and classes apart");
  const auto arguments = std::make_shared<ScoreArguments>();
  ScoreArguments& a = *arguments;
  app->add_option("--map", a.map, "A map or codes: .npy, .csv, .tsv or IDX")->required();
  app->add_option(
      "--data", a.data,
      fmt::format("What was mapped, for trustworthiness, neighbours kept and KL: {}", data_help));
  app->add_option(
      "--labels", a.labels,
      "One integer a row, for 1-NN, linear probe, silhouette and class separation; taken "
      "from --data where that has labels");
  app->add_option("--scale", a.scale, std::string("Of --data: ") + scale_help)
      ->capture_default_str();
  app->add_option("--neighbours", a.neighbours, "k of trustworthiness and of neighbours kept")
      ->capture_default_str();
  app->add_option("--perplexity", a.perplexity, "Of the KL divergence")->capture_default_str();
  return {app, [arguments](Session& session) { score(session, *arguments); }};
}

}  // namespace hourglass::command
