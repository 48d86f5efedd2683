#include "host/article/page.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace hourglass::article {
namespace {

using report::Align;
using report::Cell;
using report::Tone;

std::vector<std::string> scalings_of(const Findings& findings) {
  std::vector<std::string> scalings;
  for (const Run& run : findings.runs) {
    if (std::find(scalings.begin(), scalings.end(), run.scaling) == scalings.end())
      scalings.push_back(run.scaling);
  }
  return scalings;
}

/// A figure over the seeds; "-" where it was not measured.
std::string figure_text(const Findings& findings, std::string_view experiment,
                        std::string_view scaling, std::string_view figure) {
  const auto runs = runs_of(findings.runs, experiment, scaling);
  return format_statistic(statistic(values_of(runs, figure)), figure_info(figure));
}

double figure_mean(const Findings& findings, std::string_view experiment, std::string_view scaling,
                   std::string_view figure) {
  return statistic(values_of(runs_of(findings.runs, experiment, scaling), figure)).mean;
}

Tone tone_of(const ClaimAnswer& answer, bool is_question) {
  if (is_question) return answer.verdict == Verdict::not_measured ? Tone::dim : Tone::strong;
  switch (answer.verdict) {
    case Verdict::holds:
      return Tone::good;
    case Verdict::does_not_hold:
      return Tone::bad;
    case Verdict::depends_on_seed:
      return Tone::mixed;
    case Verdict::not_measured:
      break;
  }
  return Tone::dim;
}

/// "holds in 3 of 3 seeds".
std::string answer_text(const ClaimAnswer& answer, bool is_question) {
  if (is_question || answer.seeds < 2) return answer.answer;
  return fmt::format("{} ({} of {})", answer.answer, answer.agreeing, answer.seeds);
}

bool is_question(const Claim& claim) {
  return claim.statement.ends_with('?');
}

/// The subjects of a claim, in their order, each once.
std::vector<std::string> subjects_of(const Claim& claim) {
  std::vector<std::string> subjects;
  for (const ClaimAnswer& answer : claim.answers) {
    if (std::find(subjects.begin(), subjects.end(), answer.subject) == subjects.end())
      subjects.push_back(answer.subject);
  }
  return subjects;
}

/// A row a claim and subject, a column of answers a scaling.
report::Table claims_table(const Findings& findings) {
  report::Table table;
  table.caption = "What the article says, and what was measured";
  table.columns = {{"claim", "", Align::left}, {"put to", "", Align::left}};
  const std::vector<std::string> scalings = scalings_of(findings);
  for (const std::string& scaling : scalings)
    table.columns.push_back({fmt::format("{} scaling", scaling), "", Align::left});
  for (const Claim& claim : findings.claims) {
    bool first = true;
    for (const std::string& subject : subjects_of(claim)) {
      std::vector<Cell> row = {{first ? claim.statement : std::string(), Tone::plain},
                               {subject, Tone::plain}};
      for (const std::string& scaling : scalings) {
        Cell cell{"-", Tone::dim};
        for (const ClaimAnswer& answer : claim.answers) {
          if (answer.scaling != scaling || answer.subject != subject) continue;
          cell = {answer_text(answer, is_question(claim)), tone_of(answer, is_question(claim))};
        }
        row.push_back(std::move(cell));
      }
      table.rows.push_back(std::move(row));
      first = false;
    }
  }
  return table;
}

/// The figures that the answers rest on: a row a claim, figure and model.
report::Table evidence_table(const Findings& findings) {
  report::Table table;
  table.caption = "The figures behind the answers";
  table.columns = {
      {"claim", "", Align::left}, {"figure", "", Align::left}, {"model", "", Align::left}};
  const std::vector<std::string> scalings = scalings_of(findings);
  for (const std::string& scaling : scalings)
    table.columns.push_back({fmt::format("{} scaling", scaling), "", Align::right});
  for (const Claim& claim : findings.claims) {
    using Key = std::pair<std::string, std::string>;  // figure, model
    std::vector<std::string> figures;
    std::vector<Key> keys;
    std::map<Key, std::map<std::string, Statistic>> values;
    for (const ClaimAnswer& answer : claim.answers) {
      for (const Evidence& item : answer.evidence) {
        const Key key(item.figure, item.experiment);
        if (!values.contains(key)) keys.push_back(key);
        if (std::find(figures.begin(), figures.end(), item.figure) == figures.end())
          figures.push_back(item.figure);
        values[key][answer.scaling] = item.value;
      }
    }
    bool first = true;
    for (const std::string& figure : figures) {
      bool first_of_figure = true;
      const FigureInfo& info = figure_info(figure);
      for (const Key& key : keys) {
        if (key.first != figure) continue;
        std::vector<Cell> row = {{first ? claim.statement : std::string(), Tone::plain},
                                 {first_of_figure ? std::string(info.label) : "", Tone::plain},
                                 {key.second, Tone::plain}};
        for (const std::string& scaling : scalings) {
          const auto& of_key = values[key];
          const auto value = of_key.find(scaling);
          row.push_back(value == of_key.end()
                            ? Cell{"-", Tone::dim}
                            : Cell{format_statistic(value->second, info), Tone::plain});
        }
        table.rows.push_back(std::move(row));
        first = false;
        first_of_figure = false;
      }
    }
  }
  return table;
}

std::string rules_markup(const Findings& findings) {
  std::string markup =
      "The rule for each claim, put to one model (or a model and the one it is compared with, of "
      "the same seed):\n\n";
  for (const Claim& claim : findings.claims) {
    if (claim.answers.empty()) continue;
    markup += fmt::format("- *{}* {}\n", claim.statement, claim.rule);
  }
  return markup;
}

std::string verdict_markup(const ArticleOptions& options) {
  std::string markup =
      "A claim **holds** where its rule is met in every seed, **does not hold** where it is met in "
      "none, and otherwise **depends on the seed**.";
  if (options.seeds > 1) {
    const double chance = std::pow(0.5, options.seeds);
    markup += fmt::format(
        " Figures are means over {} seeds ± the standard deviation. A comparison that is decided "
        "by "
        "chance alone goes the same way in all {} seeds in {:.0f} % of cases, half of them as the "
        "article says: a verdict with a difference within the spread is weak.",
        options.seeds, options.seeds, 200 * chance);
  } else {
    markup +=
        " This run has **one seed**, so there is no spread, and a small difference may be chance: "
        "run with several seeds before you rely on it.";
  }
  return markup +
         " t-SNE places clusters by chance: widths, gaps and distances in a map say little about "
         "the codes, and the claims that rest on them are measured because the article makes them.";
}

/// The table of one scaling; columns that no experiment has are left out. `best` marks the best of
/// a column: above 0 the highest, below 0 the lowest.
struct FigureColumn {
  std::string_view figure;
  int best = 0;
};

report::Table figures_table(const Findings& findings, const std::string& scaling,
                            std::string caption, const std::vector<FigureColumn>& columns) {
  report::Table table;
  table.caption = std::move(caption);
  table.columns = {{"experiment", "", Align::left}};
  std::vector<FigureColumn> shown;
  for (const FigureColumn& column : columns) {
    for (const Experiment& experiment : findings.experiments) {
      if (std::isnan(figure_mean(findings, experiment.id, scaling, column.figure))) continue;
      shown.push_back(column);
      table.columns.push_back({std::string(figure_info(column.figure).column), "", Align::right});
      break;
    }
  }
  for (const Experiment& experiment : findings.experiments) {
    std::vector<Cell> row = {{experiment.id, Tone::plain}};
    bool measured = false;
    for (const FigureColumn& column : shown) {
      const std::string text = figure_text(findings, experiment.id, scaling, column.figure);
      measured = measured || text != "-";
      double best = std::nan("");
      for (const Experiment& other : findings.experiments) {
        const double value = figure_mean(findings, other.id, scaling, column.figure);
        if (!std::isnan(value) && !(column.best * value <= column.best * best)) best = value;
      }
      const bool is_best =
          column.best != 0 && figure_mean(findings, experiment.id, scaling, column.figure) == best;
      row.push_back({text, text == "-" ? Tone::dim : is_best ? Tone::strong : Tone::plain});
    }
    if (measured) table.rows.push_back(std::move(row));
  }
  return table;
}

// Five columns of "0.951 ± 0.002" fit a page.
const std::vector<FigureColumn> loss_columns = {{"train_loss", 0},
                                                {"train_penalty", 0},
                                                {"test_loss", 0},
                                                {"test_reconstruction", 0},
                                                {"pixel_squared_error", -1}};
const std::vector<FigureColumn> code_columns = {{"code_one_nn_leave_one_out", 1},
                                                {"code_linear_probe", 1},
                                                {"code_silhouette", 1},
                                                {"code_separation", 1},
                                                {"code_one_zero", 1}};
const std::vector<FigureColumn> unit_columns = {{"code_trustworthiness", 1},
                                                {"mean_activation", 0},
                                                {"zero_share", 0},
                                                {"dead_units", 0},
                                                {"negative_share", 0}};
const std::vector<FigureColumn> noise_columns = {
    {"pixel_squared_error", -1}, {"gaussian_error", -1}, {"mask_error", -1}, {"jacobian_norm", 0}};
const std::vector<FigureColumn> map_columns = {
    {"map_kl", -1},           {"map_one_nn", 1},        {"map_trustworthiness", 1},
    {"map_neighbours_10", 1}, {"map_neighbours_30", 1}, {"map_silhouette", 1},
    {"map_spread", 0}};

/// Of the figures that this run has.
report::Section meanings_section(const Findings& findings) {
  std::string markup;
  for (const FigureInfo& info : all_figure_info()) {
    const bool measured =
        std::any_of(findings.runs.begin(), findings.runs.end(),
                    [&](const Run& run) { return run.figures.contains(info.name); });
    if (measured) markup += fmt::format("- **{}**: {}\n", info.label, info.meaning);
  }
  return {"meanings", "What the figures mean", {report::Prose{std::move(markup)}}, {}};
}

report::FigureBlock figure_block(const Picture& picture) {
  return {picture.image, picture.alt, picture.caption};
}

/// Pictures side by side.
template <class Choose>
void add_pictures(report::Section& section, const Findings& findings, Choose&& choose) {
  report::FigureGrid grid;
  for (const Picture& picture : findings.pictures) {
    if (choose(picture)) grid.figures.push_back(figure_block(picture));
  }
  if (!grid.figures.empty()) section.blocks.emplace_back(std::move(grid));
}

report::Section claims_section(const Findings& findings, const ArticleOptions& options) {
  report::Section section{"claims", "The article's claims", {}, {}};
  const bool any = std::any_of(findings.claims.begin(), findings.claims.end(),
                               [](const Claim& claim) { return !claim.answers.empty(); });
  if (!any) {
    section.blocks.emplace_back(report::Prose{
        "None of the claims can be put to the experiments of this run: they compare experiments "
        "that were not run."});
    return section;
  }
  section.blocks.emplace_back(report::Prose{verdict_markup(options)});
  section.blocks.emplace_back(claims_table(findings));
  for (const Picture& picture : findings.pictures) {
    if (picture.experiment.empty() && !picture.scaling.empty())
      section.blocks.emplace_back(figure_block(picture));
  }
  section.sections.push_back({"evidence",
                              "The rules and the figures behind the answers",
                              {report::Prose{rules_markup(findings)}, evidence_table(findings)},
                              {}});
  return section;
}

report::Section figures_section(const Findings& findings) {
  report::Section section{"figures", "All experiments", {}, {}};
  for (const std::string& scaling : scalings_of(findings)) {
    const auto add = [&](const char* what, const std::vector<FigureColumn>& columns,
                         std::string note) {
      report::Table table =
          figures_table(findings, scaling, fmt::format("{}, {} scaling", what, scaling), columns);
      table.note = std::move(note);
      if (!table.rows.empty()) section.blocks.emplace_back(std::move(table));
    };
    add("Losses and errors", loss_columns,
        scaling == "standard" ? "Losses of this scaling cannot be held against those of the other: "
                                "see below."
                              : "");
    add("Digits in the codes of the test digits", code_columns, "");
    add("Neighbours and activations of the codes", unit_columns, "");
    add("Digits reconstructed from clean and from noisy inputs", noise_columns, "");
    add("t-SNE maps of the test codes", map_columns, "");
  }
  add_pictures(section, findings, [](const Picture& picture) {
    return picture.experiment.empty() && picture.scaling.empty();
  });
  return section;
}

/// What binary cross-entropy makes of standardised targets, in words and figures of this run.
void add_scaling_section(report::Report& page, const Findings& findings) {
  const auto standard = findings.scalings.find("standard");
  if (standard == findings.scalings.end()) return;
  const ScalingEffect& effect = standard->second;
  report::Section section{"scaling", "What standardising does to the loss", {}, {}};
  section.blocks.emplace_back(report::Callout{
      report::Callout::Kind::warning, "Binary cross-entropy expects targets from 0 to 1",
      fmt::format(
          "The article standardises every pixel to mean 0 and deviation 1 and still trains a "
          "sigmoid output with binary cross-entropy. Of the scaled training values **{:.1f} %** "
          "then lie below 0 and **{:.1f} %** above 1; the largest target of the training digits is "
          "**{:.2f}**, of the test digits **{:.2f}**. {} pixels are constant and stay 0.",
          100 * effect.train.below_zero, 100 * effect.train.above_one, effect.train.maximum,
          effect.test.maximum, effect.train.constant_columns)});

  std::string lead_id;
  for (const Experiment& experiment : findings.experiments) {
    if (!experiment.is_pca() && !runs_of(findings.runs, experiment.id, "standard").empty()) {
      lead_id = experiment.id;
      break;
    }
  }
  std::string markup =
      "For a target t outside [0, 1] the loss -t log p - (1 - t) log(1 - p) has no lower bound: it "
      "falls for ever as the output p goes to the nearer end of its range, so the training loss "
      "rewards saturated outputs, and it becomes negative. The only thing that stops it is the "
      "clip of p to [1e-7, 1 - 1e-7], an accident of the implementation.";
  if (!lead_id.empty()) {
    markup += fmt::format(
        " Here `{}` ends at a test loss of {}, with {} of its outputs at the clip, where they have "
        "no gradient.",
        lead_id, figure_text(findings, lead_id, "standard", "test_reconstruction"),
        figure_text(findings, lead_id, "standard", "clipped_share"));
    if (findings.scalings.contains("unit")) {
      markup += fmt::format(
          " (With the unit scaling {} are there too, but rightly: pixels that are always black.)",
          figure_text(findings, lead_id, "unit", "clipped_share"));
    }
  }
  markup +=
      "\n\nAn output from 0 to 1 also cannot reach most of the targets. Scaled back, no pixel of a "
      "reconstruction can be darker than its mean over the training digits or brighter than one "
      "deviation above: digits come back as pale shapes on the mean image. The loss is thus no "
      "measure of quality, and those of the two scalings cannot be compared; squared errors of "
      "pixels, and what the codes know of the digits, can.";
  section.blocks.emplace_back(report::Prose{std::move(markup)});

  const bool both = findings.scalings.contains("unit");
  report::Table table;
  table.caption = both ? "The same models by both scalings" : "Models on standardised digits";
  table.columns = {{"experiment", "", Align::left}, {"scaling", "", Align::left}};
  const std::vector<std::string> figures = {"test_reconstruction", "clipped_share",
                                            "pixel_squared_error", "code_one_nn_leave_one_out",
                                            "code_linear_probe"};
  for (const std::string& figure : figures)
    table.columns.push_back({std::string(figure_info(figure).column), "", Align::right});
  for (const Experiment& experiment : findings.experiments) {
    if (experiment.is_pca()) continue;
    for (const std::string& scaling : scalings_of(findings)) {
      const bool first = scaling == scalings_of(findings).front();
      std::vector<Cell> row = {{first ? experiment.id : std::string(), Tone::plain},
                               {scaling, Tone::plain}};
      for (const std::string& figure : figures)
        row.push_back({figure_text(findings, experiment.id, scaling, figure), Tone::plain});
      table.rows.push_back(std::move(row));
    }
  }
  if (!table.rows.empty()) section.blocks.emplace_back(std::move(table));
  page.sections.push_back(std::move(section));
}

std::string description(const Experiment& experiment, std::int64_t inputs) {
  if (experiment.is_pca()) {
    return fmt::format("{}: no training and no nonlinearity, as the yardstick.", experiment.title);
  }
  AutoencoderSpec spec;
  spec.inputs = inputs;
  spec.hidden = experiment.hidden;
  std::string text = fmt::format("{}: `{}`, {} code", experiment.title, spec.name(),
                                 name_of(experiment.code_activation));
  if (experiment.sparsity.any()) text += fmt::format(", penalty `{}`", experiment.sparsity.name());
  if (experiment.contractive != 0.0f)
    text += fmt::format(", penalty `contractive {}`", experiment.contractive);
  if (experiment.noise.kind != Noise::Kind::none)
    text += fmt::format(", trained on inputs with noise `{}`", name_of(experiment.noise));
  return text + ".";
}

/// How near the mean activations came to the penalty's target; empty without one.
std::string target_markup(const Findings& findings, const Experiment& experiment,
                          const std::vector<std::string>& scalings) {
  if (experiment.sparsity.kl == 0.0f) return "";
  std::string markup = fmt::format(
      " The penalty's target is a mean activation of {:g}; the test "
      "codes have",
      experiment.sparsity.rho);
  for (std::size_t i = 0; i < scalings.size(); ++i) {
    markup += fmt::format("{} {} ({} scaling)", i == 0 ? "" : ",",
                          figure_text(findings, experiment.id, scalings[i], "mean_activation"),
                          scalings[i]);
  }
  return markup + ".";
}

report::Section experiments_section(const Findings& findings, const ArticleOptions& options) {
  report::Section section{"experiments", "The experiments", {}, {}};
  section.blocks.emplace_back(report::Prose{fmt::format(
      "Pictures are of seed {}; every one is in `figures/`, as PNG and SVG.", options.seed)});
  for (const Experiment& experiment : findings.experiments) {
    const std::vector<std::string> scalings = scalings_of(findings);
    report::Section one{experiment.id,
                        experiment.id,
                        {report::Prose{description(experiment, findings.inputs) +
                                       target_markup(findings, experiment, scalings)}},
                        {}};
    for (const std::string& scaling : scalings) {
      report::Section part{fmt::format("{}-{}", experiment.id, scaling),
                           fmt::format("{}, {} scaling", experiment.id, scaling),
                           {},
                           {}};
      const auto belongs = [&](const Picture& picture, Picture::Width width) {
        return picture.experiment == experiment.id && picture.scaling == scaling &&
               picture.width == width;
      };
      add_pictures(part, findings,
                   [&](const Picture& picture) { return belongs(picture, Picture::Width::half); });
      for (const Picture& picture : findings.pictures) {
        if (belongs(picture, Picture::Width::page)) part.blocks.emplace_back(figure_block(picture));
      }
      if (!part.blocks.empty()) one.sections.push_back(std::move(part));
    }
    section.sections.push_back(std::move(one));
  }
  return section;
}

/// The same weight on the mean and on the sum over a batch, in words and figures of this run.
void add_reduction_section(report::Report& page, const Findings& findings) {
  const std::vector<std::string> ids = {"simple", "sparse-l1", "sparse-l1sum"};
  for (const char* id : {"sparse-l1", "sparse-l1sum"}) {
    const bool ran = std::any_of(findings.runs.begin(), findings.runs.end(),
                                 [&](const Run& run) { return run.experiment == id; });
    if (!ran) return;
  }
  report::Section section{"reduction", "What an activity penalty is summed over", {}, {}};
  section.blocks.emplace_back(report::Prose{
      "Keras 1.0.7 to 2.3.1, and again 3.0 to 3.13, add the L1 penalty of every row of a batch; "
      "other versions and other libraries take the mean over the rows. With batches of 256 the "
      "same "
      "1e-4 is 256 times as strong by the first rule (`sparse-l1sum`) as by the second "
      "(`sparse-l1`). What that does to the code:"});
  report::Table table;
  table.caption = "One weight, two reductions";
  table.columns = {{"experiment", "", Align::left}, {"scaling", "", Align::left}};
  const std::vector<std::string> figures = {"test_reconstruction", "mean_activation", "zero_share",
                                            "dead_units", "code_one_nn_leave_one_out"};
  for (const std::string& figure : figures)
    table.columns.push_back({std::string(figure_info(figure).column), "", Align::right});
  for (const std::string& scaling : scalings_of(findings)) {
    for (const std::string& id : ids) {
      if (runs_of(findings.runs, id, scaling).empty()) continue;
      std::vector<Cell> row = {{id, Tone::plain}, {scaling, Tone::plain}};
      for (const std::string& figure : figures)
        row.push_back({figure_text(findings, id, scaling, figure), Tone::plain});
      table.rows.push_back(std::move(row));
    }
  }
  section.blocks.emplace_back(std::move(table));
  page.sections.push_back(std::move(section));
}

report::Table phases_table(const Findings& findings) {
  report::Table table;
  table.caption = "Seconds by phase";
  table.columns = {{"phase", "", Align::left},
                   {"over all lanes", "s", Align::right},
                   {"share", "%", Align::right},
                   {"on the wall", "s", Align::right}};
  double sum = 0;
  for (const PhaseTime& phase : findings.phases)
    sum += phase.seconds;
  const auto seconds = [](double value) { return Cell{fmt::format("{:.2f}", value), Tone::plain}; };
  for (const PhaseTime& phase : findings.phases) {
    table.rows.push_back({{phase.phase, Tone::plain},
                          seconds(phase.seconds),
                          {fmt::format("{:.1f}", 100 * phase.seconds / sum), Tone::plain},
                          seconds(phase.wall_seconds)});
  }
  table.rows.push_back({{"everything", Tone::strong},
                        seconds(sum),
                        {"100.0", Tone::plain},
                        seconds(findings.total_seconds)});
  table.note = fmt::format(
      "On the wall: while at least one lane was at it, so that phases that went on side by side "
      "count once each. {:.2f} of {} lane{} were at work on average.",
      overlap(findings), findings.lanes, findings.lanes == 1 ? "" : "s");
  return table;
}

report::Table run_times_table(const Findings& findings) {
  report::Table table;
  table.caption = "Seconds by experiment: mean over its runs";
  table.columns = {{"experiment", "", Align::left}};
  const std::vector<std::string> phases = {"training", "codes", "t-SNE", "scores"};
  for (const std::string& phase : phases)
    table.columns.push_back({phase, "s", Align::right});
  for (const Experiment& experiment : findings.experiments) {
    std::vector<Cell> row = {{experiment.id, Tone::plain}};
    for (const std::string& phase : phases) {
      std::vector<double> values;
      for (const Run& run : findings.runs) {
        const auto found = run.seconds.find(phase);
        if (run.experiment == experiment.id && found != run.seconds.end())
          values.push_back(found->second);
      }
      row.push_back(values.empty()
                        ? Cell{"-", Tone::dim}
                        : Cell{fmt::format("{:.2f}", statistic(values).mean), Tone::plain});
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

report::Section timings_section(const Findings& findings) {
  return {"times", "Times", {phases_table(findings), run_times_table(findings)}, {}};
}

report::KeyFigures key_figures(const Findings& findings, const std::string& scaling) {
  report::KeyFigures key;
  const auto add = [&](const char* experiment, const char* figure) {
    const auto runs = runs_of(findings.runs, experiment, scaling);
    const Statistic value = statistic(values_of(runs, figure));
    if (value.count == 0) return;
    const FigureInfo& info = figure_info(figure);
    std::string detail = fmt::format("{}, {} scaling", experiment, scaling);
    if (value.count > 1) {
      detail += fmt::format("; ± {:.{}f} over {} seeds", (info.percent ? 100 : 1) * value.deviation,
                            info.decimals, value.count);
    }
    const Statistic mean_alone{1, value.mean, value.deviation};
    key.items.push_back(
        {format_statistic(mean_alone, info), std::string(info.label), std::move(detail)});
  };
  add("simple", "code_one_nn");
  add("simple", "map_one_nn");
  add("deep-2d", "code_one_nn");
  add("shallow-2d", "code_one_nn");
  add("pca-2", "code_one_nn");
  return key;
}

}  // namespace

double overlap(const Findings& findings) {
  double sum = 0;
  for (const PhaseTime& phase : findings.phases)
    sum += phase.seconds;
  return findings.total_seconds > 0 ? sum / findings.total_seconds : 0;
}

std::string seeds_text(const ArticleOptions& options) {
  if (options.seeds == 1) return fmt::format("seed {}", options.seed);
  return fmt::format("seeds {} to {}", options.seed,
                     options.seed + static_cast<std::uint64_t>(options.seeds) - 1);
}

report::Report make_page(const Findings& findings, const ArticleOptions& options,
                         const DeviceInfo& device) {
  report::Report page;
  page.title = "What autoencoders learn of handwritten digits";
  page.lead =
      "One article's experiments, done again: autoencoders of several shapes are trained on the "
      "digits, their codes are looked at directly or through t-SNE, and **each claim of the "
      "article is answered by a measurement**.";
  const std::vector<std::string> scalings = scalings_of(findings);
  page.facts = {
      {"device", fmt::format("{} ({}, {} thread{})", device.name, device.id, device.threads,
                             device.threads == 1 ? "" : "s")},
      {"seeds", seeds_text(options)},
      {"scaling", fmt::format("{}", fmt::join(scalings, ", "))},
      {"training", fmt::format("{} epoch{}, batches of {}, Adam at 0.001", options.epochs,
                               options.epochs == 1 ? "" : "s", options.batch)},
      {"t-SNE", fmt::format("random start, perplexity 30, {} iterations, exaggeration 12, learning "
                            "rate 800 without the gradient's factor 4 (scikit-learn's 200)",
                            options.tsne_iterations)},
      {"time",
       fmt::format("{:.0f} s; {:.2f} of {} lane{} at work on average", findings.total_seconds,
                   overlap(findings), findings.lanes, findings.lanes == 1 ? "" : "s")}};
  page.sections.push_back(claims_section(findings, options));
  const report::KeyFigures key =
      key_figures(findings, findings.scalings.contains("unit") ? "unit" : scalings.front());
  if (!key.items.empty()) {
    page.sections.front().blocks.insert(page.sections.front().blocks.begin(), key);
  }
  page.sections.push_back(figures_section(findings));
  add_scaling_section(page, findings);
  add_reduction_section(page, findings);
  page.sections.push_back(experiments_section(findings, options));
  page.sections.push_back(meanings_section(findings));
  page.sections.push_back(timings_section(findings));
  page.footer =
      "Made by `hourglass article`. All numbers are in `report.json`, one run each in `runs/`, "
      "maps and planes as float32 arrays in `maps/`.";
  return page;
}

std::vector<ArticleTable> make_tables(const Findings& findings) {
  ArticleTable figures;
  figures.title = "Experiments";
  figures.header = {"experiment", "scaling"};
  const std::vector<std::string> columns = {"test_reconstruction",
                                            "code_one_nn_leave_one_out",
                                            "code_linear_probe",
                                            "zero_share",
                                            "map_kl",
                                            "map_one_nn"};
  for (const std::string& column : columns)
    figures.header.emplace_back(figure_info(column).label);
  for (const std::string& scaling : scalings_of(findings)) {
    for (const Experiment& experiment : findings.experiments) {
      if (runs_of(findings.runs, experiment.id, scaling).empty()) continue;
      std::vector<std::string> row = {experiment.id, scaling};
      for (const std::string& column : columns)
        row.push_back(figure_text(findings, experiment.id, scaling, column));
      figures.rows.push_back(std::move(row));
    }
  }
  ArticleTable claims;
  claims.title = "The article's claims";
  claims.header = {"claim", "put to", "scaling", "answer"};
  for (const Claim& claim : findings.claims) {
    bool first = true;
    for (const ClaimAnswer& answer : claim.answers) {
      claims.rows.push_back({first ? claim.statement : std::string(), answer.subject,
                             answer.scaling, answer_text(answer, is_question(claim))});
      first = false;
    }
  }
  std::vector<ArticleTable> tables = {std::move(figures)};
  if (!claims.rows.empty()) tables.push_back(std::move(claims));
  return tables;
}

}  // namespace hourglass::article
