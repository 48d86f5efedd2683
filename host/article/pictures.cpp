#include "host/article/pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace hourglass::article {
namespace {

// Filters that fit a page: the first of them.
constexpr std::int64_t most_filters = 64;

Picture make_picture(std::string name, std::string experiment, std::string scaling, std::string alt,
                     std::string caption, const report::Figure& figure) {
  Picture picture;
  picture.name = std::move(name);
  picture.experiment = std::move(experiment);
  picture.scaling = std::move(scaling);
  picture.alt = std::move(alt);
  picture.caption = std::move(caption);
  // Tiles are small already and would vanish in half a page.
  if (std::holds_alternative<report::TileFigure>(figure)) picture.width = Picture::Width::page;
  picture.image = std::make_shared<report::RenderedFigure>(report::render(figure));
  return picture;
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string run_text(const Run& run) {
  return fmt::format("{} scaling, seed {}", run.scaling, run.seed);
}

report::ScatterFigure scatter_of(const Run& run, const Dataset& test, bool is_map) {
  report::ScatterFigure scatter;
  scatter.points = run.map;
  scatter.labels = test.labels;
  scatter.equal_aspect = is_map;
  scatter.name_clusters = is_map;
  scatter.x_label = is_map ? "t-SNE 1" : "code unit 1";
  scatter.y_label = is_map ? "t-SNE 2" : "code unit 2";
  return scatter;
}

Picture map_picture(const Experiment& experiment, const Run& run, const Dataset& test) {
  const bool is_map = experiment.view == View::tsne;
  report::ScatterFigure scatter = scatter_of(run, test, is_map);
  const auto figure = [&](const char* name) { return run.figures.at(name); };
  scatter.title = is_map ? fmt::format("{}: t-SNE of the test codes", experiment.id)
                         : fmt::format("{}: the test codes", experiment.id);
  scatter.note = is_map ? fmt::format("{}; 1-NN {}, KL {:.3f}", run_text(run),
                                      percent(figure("map_one_nn")), figure("map_kl"))
                        : fmt::format("{}; 1-NN {}", run_text(run), percent(figure("code_one_nn")));
  if (experiment.is_pca()) {
    scatter.x_label = is_map ? scatter.x_label : "component 1";
    scatter.y_label = is_map ? scatter.y_label : "component 2";
  }
  return make_picture(
      fmt::format("{}-{}-{}", experiment.id, run.scaling, is_map ? "map" : "codes"), experiment.id,
      run.scaling,
      fmt::format("Scatter plot of {} test digits of {}, coloured by digit", test.rows,
                  experiment.id),
      is_map ? "Each dot is a test digit. Neighbours are to be trusted; sizes of clusters and "
               "distances between them are not."
             : "Each dot is a test digit at its code.",
      scatter);
}

Picture reconstruction_picture(const Experiment& experiment, const ExperimentRun& result,
                               const Dataset& test) {
  const std::vector<std::int64_t> rows = sample_rows(test);
  report::TileFigure tiles;
  tiles.title = fmt::format("{}: digits and their reconstructions", experiment.id);
  tiles.note = fmt::format("{}; squared error {:.4f} a pixel", run_text(result.run),
                           result.run.figures.at("pixel_squared_error"));
  tiles.tile_width = test.image_width;
  tiles.tile_height = test.image_height;
  const Matrix inputs = pixels_of(test, rows);
  Matrix error = result.artifacts.reconstructions;
  for (std::size_t i = 0; i < error.values.size(); ++i)
    error.values[i] -= inputs.values[i];
  tiles.rows = {{"input", inputs, report::TileColors::grey},
                {"reconstruction", result.artifacts.reconstructions, report::TileColors::grey},
                {"difference", std::move(error), report::TileColors::diverging}};
  tiles.limit = 1;
  return make_picture(
      fmt::format("{}-{}-reconstructions", experiment.id, result.run.scaling), experiment.id,
      result.run.scaling,
      fmt::format("Test digits, their reconstructions by {} and the differences", experiment.id),
      "The first test digit of each class, as pixels from 0 to 1.", tiles);
}

Picture denoising_picture(const Experiment& experiment, const ExperimentRun& result,
                          const Dataset& test) {
  const bool masked = experiment.noise.kind == Noise::Kind::mask;
  report::TileFigure tiles;
  tiles.title = fmt::format("{}: noisy digits and what it makes of them", experiment.id);
  tiles.note = fmt::format("{}; noise {}; squared error {:.4f} a pixel", run_text(result.run),
                           name_of(experiment.noise),
                           result.run.figures.at(masked ? "mask_error" : "gaussian_error"));
  tiles.tile_width = test.image_width;
  tiles.tile_height = test.image_height;
  tiles.rows = {{"noisy input", result.artifacts.noisy, report::TileColors::grey},
                {"reconstruction", result.artifacts.denoised, report::TileColors::grey},
                {"clean target", pixels_of(test, sample_rows(test)), report::TileColors::grey}};
  return make_picture(
      fmt::format("{}-{}-denoising", experiment.id, result.run.scaling), experiment.id,
      result.run.scaling,
      fmt::format("Noisy test digits, their reconstructions by {} and the clean digits",
                  experiment.id),
      "The first test digit of each class. The model has seen neither the digits nor their noise.",
      tiles);
}

Picture filter_picture(const Experiment& experiment, const ExperimentRun& result,
                       const Dataset& test) {
  Matrix shown = result.artifacts.filters;
  const std::int64_t all = shown.rows;
  if (shown.rows > most_filters) {
    shown.rows = most_filters;
    shown.values.resize(static_cast<std::size_t>(shown.rows * shown.columns));
  }
  const char* what = experiment.is_pca() ? "components" : "encoder's weights";
  report::TileFigure tiles =
      report::filter_figure(fmt::format("{}: {}", experiment.id, what), shown,
                            std::min<std::int64_t>(shown.rows, shown.rows > 32 ? 16 : 8));
  tiles.note = fmt::format(
      "{}{}", run_text(result.run),
      all > shown.rows ? fmt::format("; the first {} of {}", shown.rows, all) : std::string());
  tiles.tile_width = test.image_width;
  tiles.tile_height = test.image_height;
  return make_picture(
      fmt::format("{}-{}-filters", experiment.id, result.run.scaling), experiment.id,
      result.run.scaling, fmt::format("The {} of {} as images", what, experiment.id),
      experiment.is_pca() ? "One image a component: red adds to it, blue takes away."
                          : "One image a code unit: pixels that raise it are red, that lower it "
                            "blue.",
      tiles);
}

Picture activation_picture(const Experiment& experiment, const ExperimentRun& result) {
  const Matrix& codes = result.artifacts.codes;
  const float largest = *std::max_element(codes.values.begin(), codes.values.end());
  const report::Range range{0.0, largest > 0 ? static_cast<double>(largest) : 1.0};
  constexpr std::size_t bins = 50;
  report::HistogramFigure histogram;
  histogram.title = fmt::format("{}: activations of the code", experiment.id);
  const Figures& figures = result.run.figures;
  histogram.note =
      fmt::format("{}; mean {:.3f}, exactly 0: {}, dead units: {:.0f} of {}", run_text(result.run),
                  figures.at("mean_activation"), percent(figures.at("zero_share")),
                  figures.at("dead_units"), codes.columns);
  histogram.x_label = "activation";
  histogram.y_label = "count";
  histogram.edges = report::equal_edges(bins, range);
  histogram.series = {{experiment.id, report::count_values(codes.values, bins, range)}};
  histogram.log_y = true;
  histogram.references = {{figures.at("mean_activation"), "mean"}};
  return make_picture(
      fmt::format("{}-{}-activations", experiment.id, result.run.scaling), experiment.id,
      result.run.scaling, fmt::format("Histogram of the activations of {}", experiment.id),
      "All units over all test digits; the counts are on a logarithmic axis.", histogram);
}

/// Mean over the seeds, with the lowest and the highest as a band.
report::LineSeries series_over_seeds(std::string name, std::span<const Run* const> runs,
                                     double EpochFigures::*figure, bool dashed) {
  report::LineSeries series;
  series.name = std::move(name);
  series.dashed = dashed;
  std::size_t epochs = std::numeric_limits<std::size_t>::max();
  for (const Run* run : runs)
    epochs = std::min(epochs, run->history.epochs.size());
  for (std::size_t e = 0; e < epochs; ++e) {
    double sum = 0;
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const Run* run : runs) {
      const double value = run->history.epochs[e].*figure;
      sum += value;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    series.y.push_back(sum / static_cast<double>(runs.size()));
    if (runs.size() > 1) {
      series.low.push_back(low);
      series.high.push_back(high);
    }
  }
  return series;
}

report::Bar bar_of(std::span<const Run> runs, std::string_view experiment, std::string_view scaling,
                   std::string_view figure, double factor) {
  report::Bar bar;
  const auto of_experiment = runs_of(runs, experiment, scaling);
  bar.samples = values_of(of_experiment, figure);
  for (double& value : bar.samples)
    value *= factor;
  const Statistic value = statistic(bar.samples);
  bar.value = value.mean;
  bar.error = value.count > 1 ? value.deviation : 0;
  return bar;
}

std::vector<std::string> in_order_of_appearance(std::span<const Run> runs,
                                                std::string Run::*field) {
  std::vector<std::string> names;
  for (const Run& run : runs) {
    if (std::find(names.begin(), names.end(), run.*field) == names.end())
      names.push_back(run.*field);
  }
  return names;
}

Picture bar_picture(std::span<const Run> runs, std::string name, std::string title,
                    std::string_view figure) {
  const FigureInfo& info = figure_info(figure);
  const double factor = info.percent ? 100 : 1;
  report::BarFigure bars;
  bars.title = std::move(title);
  bars.value_label = fmt::format("{}{}", info.label, info.percent ? " (%)" : "");
  bars.decimals = info.decimals;
  const auto scalings = in_order_of_appearance(runs, &Run::scaling);
  for (const std::string& scaling : scalings)
    bars.series.push_back({scaling, {}});
  for (const std::string& experiment : in_order_of_appearance(runs, &Run::experiment)) {
    std::vector<report::Bar> row;
    bool measured = false;
    for (const std::string& scaling : scalings) {
      row.push_back(bar_of(runs, experiment, scaling, figure, factor));
      measured = measured || !row.back().samples.empty();
    }
    if (!measured) continue;
    bars.groups.push_back(experiment);
    for (std::size_t s = 0; s < row.size(); ++s)
      bars.series[s].bars.push_back(row[s]);
  }
  const std::string alt = fmt::format("Bars of {} by experiment and scaling", info.label);
  return make_picture(std::move(name), "", "", alt, std::string(info.meaning), bars);
}

}  // namespace

std::vector<Picture> pictures_of(const Experiment& experiment, const ExperimentRun& result,
                                 const Dataset& test) {
  std::vector<Picture> pictures;
  if (experiment.view != View::none) pictures.push_back(map_picture(experiment, result.run, test));
  if (experiment.noise.kind != Noise::Kind::none) {
    pictures.push_back(denoising_picture(experiment, result, test));
  }
  pictures.push_back(reconstruction_picture(experiment, result, test));
  // Deeper encoders' first weights feed hidden units, not the code; two of a shallow one's are
  // still worth a look.
  if (experiment.is_pca() || experiment.hidden.size() == 1)
    pictures.push_back(filter_picture(experiment, result, test));
  if (!experiment.is_pca() && experiment.view != View::plane)
    pictures.push_back(activation_picture(experiment, result));
  return pictures;
}

Picture loss_picture(const Experiment& experiment, std::span<const Run* const> runs) {
  report::LineFigure lines;
  const std::string& scaling = runs.front()->scaling;
  lines.title = fmt::format("{}: loss by epoch", experiment.id);
  lines.note = runs.size() > 1
                   ? fmt::format("{} scaling; mean of {} seeds, lowest to highest shaded", scaling,
                                 runs.size())
                   : run_text(*runs.front());
  lines.y_label = "binary cross-entropy";
  if (!experiment.sparsity.any() && experiment.contractive == 0.0f) {
    const bool noisy = experiment.noise.kind != Noise::Kind::none;
    lines.series = {series_over_seeds(noisy ? "training, from noisy inputs" : "training", runs,
                                      &EpochFigures::loss, false),
                    series_over_seeds(noisy ? "test, from clean inputs" : "test", runs,
                                      &EpochFigures::validation_loss, true)};
  } else {
    lines.series = {
        series_over_seeds("training, with penalty", runs, &EpochFigures::loss, false),
        series_over_seeds("test, with penalty", runs, &EpochFigures::validation_loss, true),
        series_over_seeds("training reconstruction", runs, &EpochFigures::reconstruction, false),
        series_over_seeds("test reconstruction", runs, &EpochFigures::validation_reconstruction,
                          true)};
  }
  return make_picture(fmt::format("{}-{}-loss", experiment.id, scaling), experiment.id, scaling,
                      fmt::format("Training and test loss of {} by epoch", experiment.id),
                      experiment.noise.kind == Noise::Kind::none
                          ? "Training figures are means over the epoch while the weights move; "
                            "test figures are taken after it."
                          : "Clean digits are none that the model was trained on: their loss may "
                            "be higher than that of noisy ones.",
                      lines);
}

std::vector<Picture> overview_pictures(std::span<const Run> runs,
                                       std::span<const Run* const> first_runs,
                                       const Dataset& test) {
  std::vector<Picture> pictures;
  for (const std::string& scaling : in_order_of_appearance(runs, &Run::scaling)) {
    const auto row = [&](const char* name, std::string title, bool is_map, std::string caption,
                         const std::vector<std::string>& experiments) {
      report::ScatterRow figure;
      figure.title = std::move(title);
      figure.note = fmt::format("{} scaling, seed {}", scaling, first_runs.front()->seed);
      figure.panel_size = 340;
      for (const std::string& experiment : experiments) {
        for (const Run* run : first_runs) {
          if (run->scaling != scaling || run->experiment != experiment) continue;
          figure.panels.push_back(scatter_of(*run, test, is_map));
          figure.panels.back().title = experiment;
          // The other panels of a row stand for several kinds of unit.
          figure.panels.back().x_label.clear();
          figure.panels.back().y_label.clear();
        }
      }
      if (figure.panels.size() < 2) return;
      pictures.push_back(make_picture(fmt::format("{}-{}", name, scaling), "", scaling,
                                      figure.title, std::move(caption), figure));
    };
    row("planes", "Two-dimensional codes of the test digits", false,
        "The planes of the two-unit codes: each dot is a test digit.",
        {"shallow-2d", "deep-2d", "pca-2"});
    row("maps", "t-SNE of the simple and of the sparse codes", true,
        "From random starts with the same seed, so clusters may lie anywhere and turned: compare "
        "what is near what, not where.",
        {"simple", "sparse-l1", "sparse-kl"});
  }
  pictures.push_back(bar_picture(runs, "accuracy-codes",
                                 "Digits found by the nearest neighbour's label",
                                 "code_one_nn_leave_one_out"));
  const bool has_zeros = std::any_of(
      runs.begin(), runs.end(), [](const Run& run) { return run.figures.contains("zero_share"); });
  if (has_zeros) {
    pictures.push_back(bar_picture(runs, "zeros", "Activations that are exactly 0", "zero_share"));
  }
  const bool denoises = std::any_of(runs.begin(), runs.end(), [](const Run& run) {
    return run.experiment.starts_with("denoising");
  });
  if (denoises) {
    pictures.push_back(bar_picture(runs, "denoising-errors",
                                   "Errors of digits reconstructed from Gaussian noise",
                                   "gaussian_error"));
  }
  return pictures;
}

}  // namespace hourglass::article
