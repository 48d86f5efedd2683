// hourglass pca, hourglass tsne
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <memory>

#include "commands.hpp"
#include "host/data/atomic_file.hpp"
#include "host/report/figure.hpp"
#include "hourglass/error.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scaler.hpp"
#include "hourglass/tsne.hpp"

namespace hourglass::command {

Matrix features(Device& device, const Dataset& data, const std::string& scale) {
  const Scaling scaling =
      scale == "auto" ? (data.is_bytes() ? Scaling::unit : Scaling::none) : parse_scaling(scale);
  return Scaler::fit(device, data, scaling).transform(device, data);
}

namespace {

struct PcaArguments {
  std::string data;
  std::string out;
  std::string scale = "auto";
  std::int64_t components = 2;
};

struct TsneArguments {
  std::string data;
  std::string labels;
  std::string scale = "auto";
  std::string out;
  std::string plot;
  std::string learning_rate = "auto";
  std::string init = "pca";
  std::string method = "auto";
  TsneOptions options;
};

void check_scale(const std::string& scale) {
  if (scale != "auto") parse_scaling(scale);
}

void pca(Session& session, const PcaArguments& arguments) {
  check_scale(arguments.scale);
  session.claim_matrix(arguments.out);
  session.options = {{"data", arguments.data},
                     {"scale", arguments.scale},
                     {"components", arguments.components},
                     {"out", arguments.out}};
  Device& device = session.open_device();
  const Dataset data = session.load(arguments.data);
  const DataShape shape(data.rows, data.columns);
  session.plan(pca_fit_memory(device.info(), shape, arguments.components));
  session.plan(pca_transform_memory(device.info(), shape, arguments.components));
  const Matrix x = session.time("scale", [&] { return features(device, data, arguments.scale); });
  const Pca fitted = session.time("fit", [&] { return Pca::fit(device, x, arguments.components); });
  const Matrix codes = session.time("transform", [&] { return fitted.transform(device, x); });
  session.time("save", [&] { save_matrix(arguments.out, codes); });
  double explained = 0.0;
  for (const double ratio : fitted.explained_ratio)
    explained += ratio;
  session.results["rows"] = codes.rows;
  session.results["explained_variance"] = fitted.explained_variance;
  session.results["explained_ratio"] = fitted.explained_ratio;
  session.results["explained"] = number(explained);
  session.print_field("explained",
                      fmt::format("{:.2f} % of the variance by {} component{}", 100.0 * explained,
                                  arguments.components, arguments.components == 1 ? "" : "s"));
  session.print_field(
      "wrote", fmt::format("{}: {} x {}", arguments.out, grouped(codes.rows), codes.columns));
}

bool ends_with_plot_name(const std::string& path) {
  return path.ends_with(".png") || path.ends_with(".svg");
}

void plot_map(const TsneArguments& arguments, const Dataset& data,
              const std::vector<std::int32_t>& labels, const TsneResult& result) {
  report::ScatterFigure figure;
  figure.title = fmt::format("t-SNE of {}", data.name);
  figure.note =
      fmt::format("{} points, perplexity {:g}, {} iterations, KL {:.3f}", grouped(result.map.rows),
                  arguments.options.perplexity, result.iterations, result.kl_divergence);
  figure.points = result.map;
  figure.labels = labels;
  figure.legend_title = data.name.starts_with("mnist") ? "digit" : "label";
  const report::Drawing drawing = draw(figure);
  write_file_atomically(arguments.plot,
                        arguments.plot.ends_with(".png") ? to_png(drawing) : to_svg(drawing));
}

void tsne(Session& session, const TsneArguments& arguments) {
  check_scale(arguments.scale);
  TsneOptions options = arguments.options;
  options.method = parse_tsne_method(arguments.method);
  options.seed = session.common.seed;
  if (arguments.learning_rate != "auto") {
    const std::string& text = arguments.learning_rate;
    const char* end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data(), end, options.learning_rate);
    if (error != std::errc{} || last != end || !(options.learning_rate > 0.0) ||
        !std::isfinite(options.learning_rate)) {
      throw UsageError(fmt::format("--learning-rate {}: expected auto or a number above 0", text));
    }
  }
  if (!arguments.plot.empty() && !ends_with_plot_name(arguments.plot)) {
    throw UsageError(
        fmt::format("--plot {}: expected a name that ends in .png or .svg", arguments.plot));
  }
  session.claim_matrix(arguments.out);
  if (!arguments.plot.empty()) session.claim_output(arguments.plot);
  Device& device = session.open_device();

  const Dataset data = session.load(arguments.data);
  std::vector<std::int32_t> labels = data.labels;
  if (!arguments.labels.empty()) {
    labels = session.time("load", [&] { return load_labels(arguments.labels, data.rows); });
  }
  if (arguments.init == "pca") {
    options.start = TsneStart::pca;
  } else if (arguments.init == "random") {
    options.start = TsneStart::random;
  } else {
    options.start = TsneStart::given;
    options.given_start = session.time("load", [&] { return load_matrix(arguments.init); });
    if (options.given_start.rows != data.rows || options.given_start.columns != 2) {
      throw InputError(fmt::format("{}: {} x {}; a start for {} rows is {} x 2", arguments.init,
                                   options.given_start.rows, options.given_start.columns, data.rows,
                                   data.rows));
    }
  }
  session.plan(tsne_memory(device.info(), {data.rows, data.columns}, options));
  const Matrix x = session.time("scale", [&] { return features(device, data, arguments.scale); });

  int announced = 0;
  options.progress = [&](const TsneProgress& progress) {
    // In a pipe a line every 250 iterations is enough to see that it is alive.
    const bool plain = progress.iteration / 250 > announced;
    if (plain) announced = progress.iteration / 250;
    if (progress.iteration > 0 && progress.seconds > 0.0) {
      const double rate = progress.iteration / progress.seconds;
      session.progress(fmt::format("iteration {}/{}  {:.0f} iterations/s  {} left",
                                   progress.iteration, progress.iterations, rate,
                                   duration((progress.iterations - progress.iteration) / rate)),
                       plain);
    }
    return !is_interrupted();
  };
  const TsneResult result =
      session.time("tsne", [&] { return hourglass::tsne(device, x, options); });

  session.time("save", [&] {
    save_matrix(arguments.out, result.map);
    if (!arguments.plot.empty()) plot_map(arguments, data, labels, result);
  });
  session.options = {{"data", arguments.data},
                     {"labels", arguments.labels.empty() ? Json(nullptr) : Json(arguments.labels)},
                     {"scale", arguments.scale},
                     {"perplexity", options.perplexity},
                     {"iterations", options.iterations},
                     {"exaggeration_iterations", options.exaggeration_iterations},
                     {"early_exaggeration", options.early_exaggeration},
                     {"learning_rate", arguments.learning_rate},
                     {"init", arguments.init},
                     {"method", arguments.method},
                     {"out", arguments.out},
                     {"plot", arguments.plot.empty() ? Json(nullptr) : Json(arguments.plot)}};
  Json& json = session.results;
  json["rows"] = result.map.rows;
  json["kl_divergence"] = number(result.kl_divergence);
  json["exact_partition"] = result.exact_partition;
  json["method"] = name_of(result.method);
  json["neighbours"] = result.neighbours;
  json["early_learning_rate"] = result.early_learning_rate;
  json["learning_rate"] = result.learning_rate;
  json["iterations"] = result.iterations;
  json["span"] = number(result.span);
  json["phases"] = {{"neighbours", result.neighbours_seconds},
                    {"affinities", result.affinities_seconds},
                    {"optimisation", result.optimisation_seconds}};
  session.print_field("method",
                      fmt::format("{}, {} neighbours", name_of(result.method), result.neighbours));
  session.print_field(
      "learning rate",
      fmt::format("{:.6g} in the first {} iterations, then {:.6g}", result.early_learning_rate,
                  std::min(options.exaggeration_iterations, result.iterations),
                  result.learning_rate));
  session.print_field(
      "KL divergence",
      fmt::format(
          "{:.6f}{}", result.kl_divergence,
          result.exact_partition ? "" : ", with the partition that the method approximates"));
  session.print_field("span", fmt::format("{:.4g}", result.span));
  session.print_field(
      "time", fmt::format("{}: neighbours {}, affinities {}, {} iterations {}",
                          duration(result.total_seconds), duration(result.neighbours_seconds),
                          duration(result.affinities_seconds), result.iterations,
                          duration(result.optimisation_seconds)));
  session.print_field("wrote", arguments.out);
  if (!arguments.plot.empty()) session.print_field("wrote", arguments.plot);
}

}  // namespace

Command add_pca(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("pca", "Principal components of rows");
  const auto arguments = std::make_shared<PcaArguments>();
  PcaArguments& a = *arguments;
  app->add_option("--data", a.data, data_help)->required();
  app->add_option("--components", a.components, "How many")->required();
  app->add_option("--out", a.out, "Coordinates, one row each: .npy, .csv or .tsv")->required();
  app->add_option("--scale", a.scale, scale_help)->capture_default_str();
  return {app, [arguments](Session& session) { pca(session, *arguments); }};
}

Command add_tsne(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("tsne", "A 2-D map in which neighbours stay neighbours");
  const auto arguments = std::make_shared<TsneArguments>();
  TsneArguments& a = *arguments;
  app->add_option("--data", a.data, data_help)->required();
  app->add_option("--out", a.out, "The map, N x 2: .npy, .csv or .tsv")->required();
  app->add_option("--labels", a.labels, "One integer a row, colours of the plot");
  app->add_option("--plot", a.plot, "A picture of the map, .png or .svg");
  app->add_option("--scale", a.scale, scale_help)->capture_default_str();
  app->add_option("--perplexity", a.options.perplexity, "Effective number of neighbours")
      ->capture_default_str();
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
  app->add_option("--init", a.init, "pca, random, or a file with an N x 2 start")
      ->capture_default_str();
  app->add_option("--method", a.method, "auto, exact or tree")->capture_default_str();
  return {app, [arguments](Session& session) { tsne(session, *arguments); }};
}

}  // namespace hourglass::command
