// hourglass pca, and the rows that maps and scores are made of
#include <fmt/format.h>

#include <memory>

#include "commands.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scaler.hpp"

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

}  // namespace hourglass::command
