// hourglass tsne, hourglass place
#include "hourglass/tsne.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string_view>

#include "commands.hpp"
#include "host/data/atomic_file.hpp"
#include "host/report/figure.hpp"
#include "hourglass/error.hpp"
#include "hourglass/scaler.hpp"
#include "hourglass/scores.hpp"

namespace hourglass::command {
namespace {

struct TsneArguments {
  std::string data;
  std::string labels;
  std::string scale = "auto";
  std::string out;
  std::string plot;
  std::string learning_rate = "auto";
  std::string init = "pca";
  std::string method = "auto";
  std::string metric = "euclidean";
  std::string neighbours = "auto";
  std::string neighbour_indices;
  std::string neighbour_distances;
  std::string distance_matrix;
  std::string snapshots;
  std::string resume;
  std::vector<double> perplexities{30.0};
  bool no_scores = false;
  TsneOptions options;

  /// Whether the neighbours come from a file, so that the data may be left out.
  [[nodiscard]] bool given_neighbours() const {
    return !neighbour_indices.empty() || !distance_matrix.empty();
  }
  [[nodiscard]] double largest_perplexity() const {
    return *std::max_element(perplexities.begin(), perplexities.end());
  }
};

Json or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json or_null(const std::optional<double>& value) {
  return value ? number(*value) : Json(nullptr);
}

void check_scale(const std::string& scale) {
  if (scale != "auto") parse_scaling(scale);
}

double parse_learning_rate(const std::string& text) {
  if (text == "auto") return 0.0;
  double rate = 0.0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, rate);
  if (error != std::errc{} || last != end || !(rate > 0.0) || !std::isfinite(rate)) {
    throw UsageError(fmt::format("--learning-rate {}: expected auto or a number above 0", text));
  }
  return rate;
}

void check_plot(const std::string& plot) {
  if (plot.empty() || plot.ends_with(".png") || plot.ends_with(".svg")) return;
  throw UsageError(fmt::format("--plot {}: expected a name that ends in .png or .svg", plot));
}

void write_plot(const std::string& path, const report::ScatterFigure& figure) {
  const report::Drawing drawing = draw(figure);
  write_file_atomically(path, path.ends_with(".png") ? to_png(drawing) : to_svg(drawing));
}

/// What can be said to be wrong before any file is read.
void check_arguments(const TsneArguments& a) {
  check_scale(a.scale);
  check_plot(a.plot);
  if (a.options.dimensions != 2 && a.options.dimensions != 3)
    throw UsageError(fmt::format("--dimensions {}: expected 2 or 3", a.options.dimensions));
  if (a.options.dimensions != 2 && !a.plot.empty()) {
    throw UsageError(fmt::format("--plot {}: a picture is of 2 dimensions, the map of {}", a.plot,
                                 a.options.dimensions));
  }
  if (a.neighbour_indices.empty() != a.neighbour_distances.empty())
    throw UsageError("--neighbour-indices and --neighbour-distances: expected both");
  if (a.data.empty() && !a.given_neighbours()) {
    throw UsageError(
        "--data is required, but where --distance-matrix or --neighbour-indices say all of it");
  }
  if (a.options.snapshot_every < tsne_interval || a.options.snapshot_every % tsne_interval != 0) {
    throw UsageError(fmt::format("--snapshot-every {}: expected a multiple of {}",
                                 a.options.snapshot_every, tsne_interval));
  }
  if (!(a.options.stop_below >= 0.0) || !(a.options.stop_below < 1.0)) {
    throw UsageError(fmt::format("--stop-below {}: expected a share, 0 or more and below 1",
                                 a.options.stop_below));
  }
}

void load_given_neighbours(Session& session, const TsneArguments& arguments, TsneOptions& options) {
  if (!arguments.neighbour_indices.empty()) {
    options.given_neighbours = session.time("load", [&] {
      return read_neighbours(arguments.neighbour_indices, arguments.neighbour_distances);
    });
  } else if (!arguments.distance_matrix.empty()) {
    options.given_neighbours = session.time("load", [&] {
      const std::int64_t points = distance_matrix_rows(arguments.distance_matrix);
      const double wanted = 3.0 * arguments.largest_perplexity();
      const auto most = static_cast<double>(points - 1);
      // A perplexity that is too large is refused by tsne(), which names the largest legal one.
      const auto k = static_cast<std::int64_t>(wanted >= 1.0 ? std::min(wanted, most) : 1.0);
      return read_distance_matrix(arguments.distance_matrix, k);
    });
  }
}

void load_start(Session& session, const TsneArguments& arguments, std::int64_t rows,
                TsneOptions& options) {
  if (arguments.init == "pca") {
    options.start = arguments.data.empty() ? TsneStart::random : TsneStart::pca;
  } else if (arguments.init == "random") {
    options.start = TsneStart::random;
  } else {
    options.start = TsneStart::given;
    options.given_start = session.time("load", [&] { return load_matrix(arguments.init); });
    if (options.given_start.rows != rows || options.given_start.columns != options.dimensions) {
      throw InputError(fmt::format("{}: {} x {}; a start for {} rows is {} x {}", arguments.init,
                                   options.given_start.rows, options.given_start.columns, rows,
                                   rows, options.dimensions));
    }
  }
}

std::string name_of_start(const TsneArguments& arguments, const TsneOptions& options) {
  if (options.resume) return "resume";
  return options.start == TsneStart::random ? "random" : arguments.init;
}

/// Writes maps and states as the run goes, and knows from where another one can go on.
class Snapshots {
 public:
  explicit Snapshots(std::string directory) : directory_(std::move(directory)) {}

  [[nodiscard]] std::string state_path() const { return directory_ + "/state.safetensors"; }

  void prepare(Session& session) const {
    std::error_code error;
    std::filesystem::create_directories(directory_, error);
    if (error) {
      throw InputError(
          fmt::format("{}: the directory cannot be made: {}", directory_, error.message()));
    }
    session.claim_output(state_path());
  }

  void write(const TsneState& state) {
    save_matrix(fmt::format("{}/map-{:06}.npy", directory_, state.iteration), state.map);
    save_tsne_state(state_path(), state);
    iteration_ = state.iteration;
  }

  [[nodiscard]] std::string advice() const {
    if (iteration_ < 0) return "no snapshot was written yet";
    return fmt::format("--resume {} goes on from iteration {}", state_path(), iteration_);
  }

 private:
  std::string directory_;
  int iteration_ = -1;  ///< of the state that was written last
};

/// Speed is of the iterations since `first`, where a run goes on from.
std::string progress_line(const TsneProgress& progress, int first) {
  const double rate = (progress.iteration - first) / progress.seconds;
  std::string line = fmt::format("iteration {}/{}  {:.0f} iterations/s  {} left",
                                 progress.iteration, progress.iterations, rate,
                                 duration((progress.iterations - progress.iteration) / rate));
  if (progress.kl_divergence)
    line += fmt::format("  KL {:.4f}  span {:.4g}", *progress.kl_divergence, progress.span);
  return line;
}

/// tsne() with the file's name where a state does not fit, and with the way to go on where a run
/// with snapshots was interrupted.
TsneResult run_tsne(Device& device, const Matrix& x, const TsneOptions& options,
                    const TsneArguments& arguments, const Snapshots* snapshots) {
  constexpr std::string_view of_states = "t-SNE: the state";
  try {
    return hourglass::tsne(device, x, options);
  } catch (const InputError& error) {
    const std::string_view message = error.what();
    if (!options.resume || !message.starts_with(of_states)) throw;
    throw InputError(
        fmt::format("{}: the state{}", arguments.resume, message.substr(of_states.size())));
  } catch (const Interrupted& error) {
    if (snapshots == nullptr) throw;
    throw Interrupted(fmt::format("{}; {}", error.what(), snapshots->advice()));
  }
}

/// The rows as the neighbours were looked for in.
Matrix measured_rows(const Matrix& x, Metric metric) {
  Matrix rows = x;
  if (metric == Metric::euclidean) return rows;
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    double square = 0.0;
    for (const float value : rows.row(i))
      square += static_cast<double>(value) * value;
    for (float& value : rows.row(i))
      value = static_cast<float>(value / std::sqrt(square));
  }
  return rows;
}

void print_result(Session& session, const TsneArguments& arguments, const TsneOptions& options,
                  const TsneResult& result, const MapFigures& figures) {
  std::string methods;
  for (const TsneMethodUse& use : result.methods) {
    if (!methods.empty()) methods += fmt::format(", from iteration {} ", use.from);
    methods += name_of(use.method);
  }
  session.print_field("method", methods.empty() ? name_of(result.method) : methods);
  std::string recall;
  if (result.neighbour_method == NeighbourMethod::approximate)
    recall = fmt::format(", recall {:.4f}", result.recall);
  session.print_field(
      "neighbours",
      fmt::format("{}, {}{}", result.neighbours,
                  arguments.given_neighbours() ? "given" : name_of(result.neighbour_method),
                  recall));
  session.print_field(
      "learning rate",
      fmt::format("{:.6g} in the first {} iterations, then {:.6g}", result.early_learning_rate,
                  std::min(options.exaggeration_iterations, result.iterations),
                  result.learning_rate));
  if (result.stopped_early) {
    session.print_field("stopped",
                        fmt::format("after {} of {} iterations: the KL divergence fell "
                                    "by less than {:g} of itself",
                                    result.iterations, options.iterations, options.stop_below));
  }
  session.print_field(
      "KL divergence",
      fmt::format(
          "{:.6f}{}", result.kl_divergence,
          result.exact_partition ? "" : ", with the partition that the method approximates"));
  session.print_field("span", fmt::format("{:.4g}", result.span));
  session.print_field("force error",
                      fmt::format("{:.2g} % of the root mean square, at {} points",
                                  100.0 * result.force_error, grouped(result.force_sample)));
  const std::string over = figures.sample < result.map.rows
                               ? fmt::format(", over {} rows", grouped(figures.sample))
                               : "";
  if (figures.neighbour_preservation_10) {
    std::string kept = fmt::format("{:.4f} of 10", *figures.neighbour_preservation_10);
    if (figures.neighbour_preservation_30)
      kept += fmt::format(", {:.4f} of 30", *figures.neighbour_preservation_30);
    session.print_field("neighbours kept", kept + over);
  }
  if (figures.trustworthiness) {
    session.print_field("trustworthiness",
                        fmt::format("{:.4f} at 12{}", *figures.trustworthiness, over));
  }
  session.print_field(
      "time", fmt::format("{}: neighbours {}, affinities {}, {} iterations {}",
                          duration(result.total_seconds), duration(result.neighbours_seconds),
                          duration(result.affinities_seconds),
                          result.iterations - (options.resume ? options.resume->iteration : 0),
                          duration(result.optimisation_seconds)));
}

void record_options(Session& session, const TsneArguments& arguments, const TsneOptions& options) {
  const bool loaded = !options.load_affinities.empty();
  session.options = {{"data", or_null(arguments.data)},
                     {"labels", or_null(arguments.labels)},
                     {"scale", arguments.scale},
                     {"dimensions", options.dimensions},
                     {"perplexity", loaded ? Json(nullptr) : Json(arguments.largest_perplexity())},
                     {"perplexities", loaded ? Json(nullptr) : Json(arguments.perplexities)},
                     {"metric", arguments.metric},
                     {"neighbours", arguments.neighbours},
                     {"neighbour_indices", or_null(arguments.neighbour_indices)},
                     {"neighbour_distances", or_null(arguments.neighbour_distances)},
                     {"distance_matrix", or_null(arguments.distance_matrix)},
                     {"affinities", or_null(options.load_affinities)},
                     {"save_affinities", or_null(options.save_affinities)},
                     {"iterations", options.iterations},
                     {"exaggeration_iterations", options.exaggeration_iterations},
                     {"early_exaggeration", options.early_exaggeration},
                     {"learning_rate", arguments.learning_rate},
                     {"init", name_of_start(arguments, options)},
                     {"method", arguments.method},
                     {"stop_below", options.stop_below},
                     {"snapshots", or_null(arguments.snapshots)},
                     {"snapshot_every", options.snapshot_every},
                     {"resume", or_null(arguments.resume)},
                     {"scores", !arguments.no_scores},
                     {"out", arguments.out},
                     {"plot", or_null(arguments.plot)}};
}

void record_result(Session& session, const TsneArguments& arguments, const TsneResult& result,
                   const MapFigures& figures) {
  Json& json = session.results;
  json["rows"] = result.map.rows;
  json["dimensions"] = result.map.columns;
  json["kl_divergence"] = number(result.kl_divergence);
  json["exact_partition"] = result.exact_partition;
  json["method"] = name_of(result.method);
  json["methods"] = Json::array();
  for (const TsneMethodUse& use : result.methods)
    json["methods"].push_back({{"from", use.from}, {"method", name_of(use.method)}});
  json["neighbours"] = result.neighbours;
  json["neighbour_method"] =
      arguments.given_neighbours() ? "given" : name_of(result.neighbour_method);
  json["recall"] = number(result.recall);
  json["early_learning_rate"] = result.early_learning_rate;
  json["learning_rate"] = result.learning_rate;
  json["iterations"] = result.iterations;
  json["stopped_early"] = result.stopped_early;
  json["span"] = number(result.span);
  json["force_error"] = number(result.force_error);
  json["force_sample"] = result.force_sample;
  json["neighbour_preservation_10"] = or_null(figures.neighbour_preservation_10);
  json["neighbour_preservation_30"] = or_null(figures.neighbour_preservation_30);
  json["trustworthiness"] = or_null(figures.trustworthiness);
  json["figure_sample"] = figures.sample;
  json["phases"] = {{"neighbours", result.neighbours_seconds},
                    {"affinities", result.affinities_seconds},
                    {"optimisation", result.optimisation_seconds}};
}

void plot_map(const TsneArguments& arguments, const std::string& name,
              const std::vector<std::int32_t>& labels, const TsneResult& result) {
  const std::string perplexity =
      arguments.options.load_affinities.empty()
          ? fmt::format(" perplexity {:g},", fmt::join(arguments.perplexities, ", "))
          : "";
  report::ScatterFigure figure;
  figure.title = fmt::format("t-SNE of {}", name);
  figure.note = fmt::format("{} points,{} {} iterations, KL {:.3f}", grouped(result.map.rows),
                            perplexity, result.iterations, result.kl_divergence);
  figure.points = result.map;
  figure.labels = labels;
  figure.legend_title = name.starts_with("mnist") ? "digit" : "label";
  write_plot(arguments.plot, figure);
}

void tsne(Session& session, const TsneArguments& arguments) {
  check_arguments(arguments);
  TsneOptions options = arguments.options;
  options.method = parse_tsne_method(arguments.method);
  options.neighbours.method = parse_neighbour_method(arguments.neighbours);
  options.neighbours.metric = parse_metric(arguments.metric);
  options.seed = session.common.seed;
  options.learning_rate = parse_learning_rate(arguments.learning_rate);
  options.perplexities = arguments.perplexities;
  session.claim_matrix(arguments.out);
  if (!arguments.plot.empty()) session.claim_output(arguments.plot);
  if (!options.save_affinities.empty()) session.claim_output(options.save_affinities);
  Device& device = session.open_device();

  load_given_neighbours(session, arguments, options);
  std::optional<Dataset> data;
  if (!arguments.data.empty()) data = session.load(arguments.data);
  const std::int64_t rows = data ? data->rows : options.given_neighbours->rows;
  std::vector<std::int32_t> labels;
  if (data) labels = data->labels;
  if (!arguments.labels.empty()) {
    labels = session.time("load", [&] { return load_labels(arguments.labels, rows); });
  }
  load_start(session, arguments, rows, options);
  if (!arguments.resume.empty())
    options.resume = session.time("load", [&] { return load_tsne_state(arguments.resume); });
  const DataShape shape(rows, data ? data->columns : 0);
  session.plan(tsne_memory(device.info(), shape, options));
  const bool scored = data && !arguments.no_scores;
  if (scored)
    session.plan(map_figures_memory(device.info(), shape, DataShape(rows, options.dimensions)));
  const Matrix x =
      data ? session.time("scale", [&] { return features(device, *data, arguments.scale); })
           : Matrix(rows, 0);

  std::optional<Snapshots> snapshots;
  if (!arguments.snapshots.empty()) {
    snapshots.emplace(arguments.snapshots);
    snapshots->prepare(session);
    options.snapshot = [&](const TsneState& state) { snapshots->write(state); };
  }
  const int first = options.resume ? options.resume->iteration : 0;
  int announced = first / 250;
  options.progress = [&](const TsneProgress& progress) {
    // In a pipe a line every 250 iterations is enough to see that it is alive.
    const bool plain = progress.iteration / 250 > announced;
    if (plain) announced = progress.iteration / 250;
    if (progress.iteration > first && progress.seconds > 0.0)
      session.progress(progress_line(progress, first), plain);
    return !is_interrupted();
  };
  const TsneResult result = session.time("tsne", [&] {
    return run_tsne(device, x, options, arguments, snapshots ? &*snapshots : nullptr);
  });
  session.time("save", [&] {
    save_matrix(arguments.out, result.map);
    if (!arguments.plot.empty())
      plot_map(arguments, data ? data->name : "given neighbours", labels, result);
  });
  MapFigures figures;
  if (scored) {
    figures = session.time("scores", [&] {
      return map_figures(device, measured_rows(x, options.neighbours.metric), result.map);
    });
  }
  record_options(session, arguments, options);
  record_result(session, arguments, result, figures);
  print_result(session, arguments, options, result, figures);
  session.print_field("wrote", arguments.out);
  if (!arguments.plot.empty()) session.print_field("wrote", arguments.plot);
  if (!options.save_affinities.empty()) session.print_field("wrote", options.save_affinities);
  if (snapshots) session.print_field("wrote", snapshots->state_path());
}

struct PlaceArguments {
  std::string data;
  std::string reference;
  std::string map;
  std::string out;
  std::string plot;
  std::string scale = "auto";
  TsneTransformOptions options;
};

void plot_places(const PlaceArguments& arguments, const Matrix& map, const Matrix& places) {
  report::ScatterFigure figure;
  figure.title = fmt::format("{} in {}", arguments.data, arguments.map);
  figure.note = fmt::format("{} points among {}", grouped(places.rows), grouped(map.rows));
  figure.points = Matrix(map.rows + places.rows, map.columns);
  const auto end = std::copy(map.values.begin(), map.values.end(), figure.points.values.begin());
  std::copy(places.values.begin(), places.values.end(), end);
  figure.labels.assign(static_cast<std::size_t>(map.rows), -1);
  figure.labels.resize(static_cast<std::size_t>(figure.points.rows), 0);
  figure.class_names = {"placed"};
  figure.legend_title = "";
  write_plot(arguments.plot, figure);
}

void place(Session& session, const PlaceArguments& arguments) {
  check_scale(arguments.scale);
  check_plot(arguments.plot);
  session.claim_matrix(arguments.out);
  if (!arguments.plot.empty()) session.claim_output(arguments.plot);
  TsneTransformOptions options = arguments.options;
  session.options = {{"data", arguments.data},
                     {"reference", arguments.reference},
                     {"map", arguments.map},
                     {"scale", arguments.scale},
                     {"perplexity", options.perplexity},
                     {"iterations", options.iterations},
                     {"learning_rate", options.learning_rate},
                     {"out", arguments.out},
                     {"plot", or_null(arguments.plot)}};
  Device& device = session.open_device();
  const Matrix map = session.time("load", [&] { return load_matrix(arguments.map); });
  const Dataset reference = session.load(arguments.reference);
  if (map.rows != reference.rows || (map.columns != 2 && map.columns != 3)) {
    throw InputError(fmt::format("{}: {} x {}; a map of {} is {} x 2 or 3", arguments.map, map.rows,
                                 map.columns, arguments.reference, reference.rows));
  }
  if (!arguments.plot.empty() && map.columns != 2) {
    throw UsageError(fmt::format("--plot {}: a picture is of 2 dimensions, the map of {}",
                                 arguments.plot, map.columns));
  }
  const Dataset data = session.load(arguments.data);
  if (data.columns != reference.columns) {
    throw InputError(fmt::format("{}: {} columns; expected {}, as {} has", arguments.data,
                                 data.columns, reference.columns, arguments.reference));
  }
  if (data.is_bytes() != reference.is_bytes() && arguments.scale != "none") {
    throw InputError(fmt::format("{}: {}, and {} are {}; expected one type, or --scale none",
                                 arguments.data, data.is_bytes() ? "bytes" : "floats",
                                 arguments.reference, reference.is_bytes() ? "bytes" : "floats"));
  }
  const Scaling scaling = arguments.scale == "auto"
                              ? (reference.is_bytes() ? Scaling::unit : Scaling::none)
                              : parse_scaling(arguments.scale);
  // New rows are scaled as those are that the map was made of.
  const auto [old_rows, new_rows] = session.time("scale", [&] {
    const Scaler scaler = Scaler::fit(device, reference, scaling);
    return std::pair(scaler.transform(device, reference), scaler.transform(device, data));
  });
  options.progress = [&](const TsneProgress& progress) {
    if (progress.seconds > 0.0) session.progress(progress_line(progress, 0));
    return !is_interrupted();
  };
  session.plan(tsne_transform_memory(device.info(), {reference.rows, reference.columns}, data.rows,
                                     map.columns, options.perplexity));
  const Matrix places = session.time("place", [&, &old_points = old_rows, &new_points = new_rows] {
    return tsne_transform(device, old_points, map, new_points, options);
  });
  session.time("save", [&] {
    save_matrix(arguments.out, places);
    if (!arguments.plot.empty()) plot_places(arguments, map, places);
  });
  session.results["rows"] = places.rows;
  session.results["dimensions"] = places.columns;
  session.print_field("placed",
                      fmt::format("{} points among {}", grouped(places.rows), grouped(map.rows)));
  session.print_field("wrote", arguments.out);
  if (!arguments.plot.empty()) session.print_field("wrote", arguments.plot);
}

}  // namespace

Command add_tsne(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand(
      "tsne", "A map of 2 or 3 dimensions in which neighbours stay neighbours");
  const auto arguments = std::make_shared<TsneArguments>();
  TsneArguments& a = *arguments;
  app->add_option("--data", a.data,
                  std::string(data_help) + "; not needed where the neighbours are given");
  app->add_option("--out", a.out, "The map, N x dimensions: .npy, .csv or .tsv")->required();
  app->add_option("--labels", a.labels, "One integer a row, colours of the plot");
  app->add_option("--plot", a.plot, "A picture of a map of 2 dimensions, .png or .svg");
  app->add_option("--scale", a.scale, scale_help)->capture_default_str();
  app->add_option("--dimensions", a.options.dimensions, "Of the map: 2 or 3")
      ->capture_default_str();
  CLI::Option* perplexity =
      app->add_option("--perplexity", a.perplexities,
                      "Effective number of neighbours; of several, such as 10,30,100, the mean of "
                      "the affinities at each")
          ->delimiter(',')
          ->default_str("30");
  CLI::Option* metric = app->add_option("--metric", a.metric, "euclidean or cosine");
  CLI::Option* neighbours = app->add_option("--neighbours", a.neighbours,
                                            "auto, exact or approximate, whose recall is measured");
  metric->capture_default_str();
  neighbours->capture_default_str();
  CLI::Option* indices =
      app->add_option("--neighbour-indices", a.neighbour_indices,
                      "Neighbours instead of a search: N x k integers, .npy, with at least 3 times "
                      "the perplexity of them a row");
  CLI::Option* distances = app->add_option("--neighbour-distances", a.neighbour_distances,
                                           "Their distances, not squared: N x k, .npy");
  CLI::Option* matrix = app->add_option("--distance-matrix", a.distance_matrix,
                                        "Distances of every pair instead: N x N, .npy");
  CLI::Option* affinities =
      app->add_option("--affinities", a.options.load_affinities,
                      "Affinities that --save-affinities wrote, instead of all of these");
  app->add_option("--save-affinities", a.options.save_affinities,
                  "Where to: a safetensors file, for more maps without another search");
  for (CLI::Option* given : {indices, distances, matrix, affinities}) {
    given->excludes(metric);
    given->excludes(neighbours);
  }
  for (CLI::Option* table : {indices, distances}) {
    table->excludes(matrix);
    table->excludes(affinities);
  }
  matrix->excludes(affinities);
  affinities->excludes(perplexity);
  app->add_option("--iterations", a.options.iterations, "In all")->capture_default_str();
  app->add_option("--exaggeration-iterations", a.options.exaggeration_iterations,
                  "The first of them, with early exaggeration")
      ->capture_default_str();
  app->add_option("--early-exaggeration", a.options.early_exaggeration,
                  "Attraction is multiplied by it at first")
      ->capture_default_str();
  app->add_option(
         "--learning-rate", a.learning_rate,
         "auto (rows / exaggeration in each phase, at least 50) or a number; it multiplies "
         "the gradient without its factor 4: scikit-learn's 200 is 800 here")
      ->capture_default_str();
  app->add_option("--stop-below", a.options.stop_below,
                  "Stop where the KL divergence falls by less than this share of itself in 50 "
                  "iterations after the exaggeration; 0: never")
      ->capture_default_str();
  CLI::Option* init =
      app->add_option("--init", a.init,
                      "pca (random without --data), random, or a file with an N x dimensions start")
          ->capture_default_str();
  app->add_option("--method", a.method,
                  "Of the repulsive forces: exact (every pair), tree (CPU), fft (2 dimensions), or "
                  "auto: the fastest, decided anew every 50 iterations")
      ->capture_default_str();
  CLI::Option* snapshots = app->add_option(
      "--snapshots", a.snapshots,
      "A directory for maps as they come, map-000050.npy and so on, and state.safetensors");
  app->add_option("--snapshot-every", a.options.snapshot_every, "Iterations, a multiple of 50")
      ->capture_default_str()
      ->needs(snapshots);
  app->add_option("--resume", a.resume,
                  "Go on from such a state, with the data and options that it began with: ends "
                  "with the bytes of the unbroken run")
      ->excludes(init);
  app->add_flag("--no-scores", a.no_scores,
                fmt::format("Leave out neighbours kept and trustworthiness, which take a search "
                            "more (over all rows up to {}, else over {} of them)",
                            grouped(most_rows_of_full_figures), grouped(rows_of_a_figure_sample)));
  return {app, [arguments](Session& session) { tsne(session, *arguments); }};
}

Command add_place(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("place", "New rows in a t-SNE map that stands still");
  const auto arguments = std::make_shared<PlaceArguments>();
  PlaceArguments& a = *arguments;
  app->add_option("--data", a.data, std::string("The new rows: ") + data_help)->required();
  app->add_option("--reference", a.reference, "What the map was made of, in its order")->required();
  app->add_option("--map", a.map, "The map, of 2 or 3 dimensions: .npy, .csv or .tsv")->required();
  app->add_option("--out", a.out, "The places, one row each: .npy, .csv or .tsv")->required();
  app->add_option("--plot", a.plot, "A picture of them in the map, which is grey: .png or .svg");
  app->add_option("--scale", a.scale,
                  std::string("Of both, as the reference needs it: ") + scale_help)
      ->capture_default_str();
  app->add_option("--perplexity", a.options.perplexity,
                  "Effective number of neighbours in the reference, by Euclidean distance")
      ->capture_default_str();
  app->add_option("--iterations", a.options.iterations,
                  "0: the mean of the neighbours' places, weighted by affinity")
      ->capture_default_str();
  app->add_option("--learning-rate", a.options.learning_rate, "Of a point's own divergence")
      ->capture_default_str();
  return {app, [arguments](Session& session) { place(session, *arguments); }};
}

}  // namespace hourglass::command
