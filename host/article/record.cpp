#include "host/article/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace hourglass::article {
namespace {

Json statistic_json(const Statistic& value) {
  Json json = {{"mean", value.mean}, {"count", value.count}};
  if (value.count > 1) json["deviation"] = value.deviation;
  return json;
}

Json figures_object(const Figures& figures) {
  Json json = Json::object();
  for (const auto& [name, value] : figures)
    json[name] = value;
  return json;
}

Json history_json(const History& history) {
  const auto column = [&](double EpochFigures::*figure) {
    Json values = Json::array();
    for (const EpochFigures& epoch : history.epochs)
      values.push_back(epoch.*figure);
    return values;
  };
  return {{"loss", column(&EpochFigures::loss)},
          {"reconstruction", column(&EpochFigures::reconstruction)},
          {"penalty", column(&EpochFigures::penalty)},
          {"test_loss", column(&EpochFigures::validation_loss)},
          {"test_reconstruction", column(&EpochFigures::validation_reconstruction)}};
}

}  // namespace

Json run_json(const Run& run) {
  Json json = {{"experiment", run.experiment},
               {"scaling", run.scaling},
               {"seed", run.seed},
               {"figures", figures_object(run.figures)}};
  if (!run.history.epochs.empty()) json["history"] = history_json(run.history);
  return json;
}

Json seconds_json(const Run& run) {
  Json json = {{"experiment", run.experiment}, {"scaling", run.scaling}, {"seed", run.seed}};
  for (const auto& [phase, seconds] : run.seconds)
    json[phase] = seconds;
  return json;
}

Json phases_json(std::span<const PhaseTime> phases) {
  double sum = 0;
  for (const PhaseTime& phase : phases)
    sum += phase.seconds;
  Json json = Json::array();
  for (const PhaseTime& phase : phases) {
    json.push_back({{"phase", phase.phase},
                    {"seconds", phase.seconds},
                    {"wall_seconds", phase.wall_seconds},
                    {"share", phase.seconds / sum}});
  }
  return json;
}

Json summary_json(std::span<const Run> runs) {
  Json summary = Json::array();
  std::vector<std::pair<std::string, std::string>> done;
  for (const Run& run : runs) {
    const std::pair key(run.experiment, run.scaling);
    if (std::find(done.begin(), done.end(), key) != done.end()) continue;
    done.push_back(key);
    const auto same = runs_of(runs, run.experiment, run.scaling);
    Json figures = Json::object();
    for (const FigureInfo& info : all_figure_info()) {
      const std::vector<double> values = values_of(same, info.name);
      if (!values.empty()) figures[std::string(info.name)] = statistic_json(statistic(values));
    }
    summary.push_back({{"experiment", run.experiment},
                       {"scaling", run.scaling},
                       {"seeds", same.size()},
                       {"figures", std::move(figures)}});
  }
  return summary;
}

Json claims_json(std::span<const Claim> claims) {
  Json json = Json::array();
  for (const Claim& claim : claims) {
    Json answers = Json::array();
    for (const ClaimAnswer& answer : claim.answers) {
      Json evidence = Json::array();
      for (const Evidence& item : answer.evidence) {
        Json entry = {{"figure", item.figure}, {"experiment", item.experiment}};
        entry.update(statistic_json(item.value));
        evidence.push_back(std::move(entry));
      }
      answers.push_back({{"scaling", answer.scaling},
                         {"subject", answer.subject},
                         {"answer", answer.answer},
                         {"agreeing", answer.agreeing},
                         {"seeds", answer.seeds},
                         {"evidence", std::move(evidence)}});
    }
    json.push_back({{"id", claim.id},
                    {"statement", claim.statement},
                    {"rule", claim.rule},
                    {"answers", std::move(answers)}});
  }
  return json;
}

Json experiment_json(const Experiment& experiment) {
  Json json = {{"id", experiment.id}, {"group", experiment.group}, {"title", experiment.title}};
  if (experiment.is_pca()) {
    json["components"] = experiment.components;
  } else {
    json["hidden"] = experiment.hidden;
    json["code_activation"] = name_of(experiment.code_activation);
    json["sparsity"] = experiment.sparsity.name();
    json["noise"] = name_of(experiment.noise);
    json["contractive"] = std::stod(fmt::format("{}", experiment.contractive));
  }
  return json;
}

Json range_json(const ScaledRange& range) {
  return {{"minimum", range.minimum},
          {"maximum", range.maximum},
          {"below_zero", range.below_zero},
          {"above_one", range.above_one},
          {"constant_columns", range.constant_columns}};
}

Json figures_json() {
  Json json = Json::array();
  for (const FigureInfo& info : all_figure_info())
    json.push_back({{"name", info.name}, {"label", info.label}, {"meaning", info.meaning}});
  return json;
}

}  // namespace hourglass::article
