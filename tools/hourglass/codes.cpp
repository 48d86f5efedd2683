// hourglass encode, hourglass reconstruct
#include <fmt/format.h>

#include <memory>

#include "commands.hpp"
#include "hourglass/autoencoder.hpp"

namespace hourglass::command {
namespace {

struct CodeArguments {
  std::string model;
  std::string data;
  std::string out;
  bool original = false;
};

Autoencoder load_model(Session& session, const std::string& path) {
  Autoencoder model = session.time("load", [&] { return Autoencoder::load(path); });
  session.print_field("model", fmt::format("{}: {}, scale {}", path, model.spec.name(),
                                           name_of(model.scaler.scaling)));
  return model;
}

void encode(Session& session, const CodeArguments& arguments) {
  session.claim_matrix(arguments.out);
  session.options = {{"model", arguments.model}, {"data", arguments.data}, {"out", arguments.out}};
  const Autoencoder model = load_model(session, arguments.model);
  const Dataset data = session.load(arguments.data);
  Device& device = session.open_device();
  session.plan(model_memory(device.info(), model.spec, data, ModelOutput::codes));
  const Matrix codes = session.time("encode", [&] { return model.encode(device, data); });
  session.time("save", [&] { save_matrix(arguments.out, codes); });
  session.results["rows"] = codes.rows;
  session.results["columns"] = codes.columns;
  session.print_field("wrote", fmt::format("{}: {} codes of {}", arguments.out, grouped(codes.rows),
                                           codes.columns));
}

void reconstruct(Session& session, const CodeArguments& arguments) {
  session.claim_matrix(arguments.out);
  session.options = {{"model", arguments.model},
                     {"data", arguments.data},
                     {"original_values", arguments.original},
                     {"out", arguments.out}};
  const Autoencoder model = load_model(session, arguments.model);
  const Dataset data = session.load(arguments.data);
  Device& device = session.open_device();
  session.plan(model_memory(device.info(), model.spec, data, ModelOutput::reconstructions));
  Matrix reconstructions =
      session.time("reconstruct", [&] { return model.reconstruct(device, data); });
  const double loss =
      session.time("score", [&] { return model.reconstruction_loss(device, data); });
  const double squared = session.time("score", [&] { return model.squared_error(device, data); });
  if (arguments.original) reconstructions = model.scaler.inverse_transform(reconstructions);
  session.time("save", [&] { save_matrix(arguments.out, reconstructions); });
  session.results["rows"] = reconstructions.rows;
  session.results["columns"] = reconstructions.columns;
  session.results["reconstruction_loss"] = number(loss);
  session.results["squared_error"] = number(squared);
  session.print_field("loss", fmt::format("{:.6g} ({})", loss, name_of(model.spec.loss)));
  session.print_field("squared error", fmt::format("{:.6g}", squared));
  session.print_field("wrote", fmt::format("{}: {} reconstructions of {}", arguments.out,
                                           grouped(reconstructions.rows), reconstructions.columns));
}

std::shared_ptr<CodeArguments> add_arguments(CLI::App* app, const char* out_help) {
  auto arguments = std::make_shared<CodeArguments>();
  app->add_option("--model", arguments->model, "A safetensors file that train wrote")->required();
  app->add_option("--data", arguments->data, data_help)->required();
  app->add_option("--out", arguments->out, out_help)->required();
  return arguments;
}

}  // namespace

Command add_encode(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("encode", "Codes of rows by a trained model");
  const auto arguments = add_arguments(app, "Codes, one row each: .npy, .csv or .tsv");
  return {app, [arguments](Session& session) { encode(session, *arguments); }};
}

Command add_reconstruct(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("reconstruct",
                                        "Rows as a trained model gives them back, and their loss");
  const auto arguments =
      add_arguments(app, "Reconstructions in the scaled space, one row each: .npy, .csv or .tsv");
  app->add_flag("--original-values", arguments->original,
                "Undo the model's scaling in the file; the figures stay those of the scaled space");
  return {app, [arguments](Session& session) { reconstruct(session, *arguments); }};
}

}  // namespace hourglass::command
