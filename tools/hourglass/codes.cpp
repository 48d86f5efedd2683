// hourglass encode, hourglass reconstruct, hourglass decode
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"
#include "hourglass/rows.hpp"

namespace hourglass::command {
namespace {

struct CodeArguments {
  std::string model;
  std::string data;
  std::string out;
  std::string layer;  ///< of encode; empty: the code
  std::string memory;
  bool original = false;
};

Autoencoder load_model(Session& session, const std::string& path) {
  Autoencoder model = session.time("load", [&] { return Autoencoder::load(path); });
  session.print_field("model", fmt::format("{}: {}, scale {}", path, model.spec.name(),
                                           name_of(model.scaler.scaling)));
  return model;
}

/// The limit of --memory; 0 where there is none.
std::uint64_t memory_limit(const CodeArguments& arguments) {
  return arguments.memory.empty() ? 0 : parse_bytes("--memory", arguments.memory);
}

Json limit_as_json(std::uint64_t limit) {
  return limit > 0 ? Json(limit) : Json(nullptr);
}

/// A file that can be read only as a whole, and has more bytes than its rows may take, is not read.
void check_file(const CodeArguments& arguments, std::uint64_t limit) {
  if (limit == 0 || RowFile::can_open(arguments.data)) return;
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(arguments.data, error);
  if (error || bytes <= limit) return;
  throw UsageError(
      fmt::format("--memory {}: {} has {} bytes and cannot be read piece by piece: save it as .npy",
                  arguments.memory, arguments.data, bytes));
}

/// Throws where the work, and the rows where they are in memory, take more than the limit.
void check_limit(Session& session, const CodeArguments& arguments, std::uint64_t limit,
                 const OpenRows& rows, const MemoryPlan& plan) {
  if (limit == 0) return;
  std::vector<MemoryPart> parts;
  // A GPU has its own memory.
  if (session.open_device().info().host_memory) parts = plan.parts();
  if (rows.in_memory()) {
    const RowSource source = rows.source();
    parts.push_back({"all rows", static_cast<std::uint64_t>(source.rows() * source.row_bytes())});
  }
  const MemoryPlan whole(plan.work(), "", std::move(parts));
  if (whole.total_bytes() <= limit) return;
  throw UsageError(
      fmt::format("--memory {}: {} needs {}{}", arguments.memory, whole.work(), whole.needs(),
                  rows.in_memory() ? ", since its file cannot be read piece by piece: save it as "
                                     ".npy"
                                   : ", read piece by piece"));
}

/// Shows how far the rows are, a few times a second.
class RowProgress {
 public:
  RowProgress(Session& session, std::int64_t rows) : session_(session), rows_(rows) {}
  ~RowProgress() { session_.clear_progress(); }
  void done(std::int64_t rows) {
    Session::check_interrupt();
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    session_.progress(fmt::format("{} of {} rows", grouped(rows), grouped(rows_)));
  }

 private:
  Session& session_;
  std::int64_t rows_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void encode(Session& session, const CodeArguments& arguments) {
  const std::uint64_t limit = memory_limit(arguments);
  session.claim_matrix(arguments.out);
  session.options = {{"model", arguments.model},
                     {"data", arguments.data},
                     {"layer", arguments.layer.empty() ? Json(nullptr) : Json(arguments.layer)},
                     {"memory", limit_as_json(limit)},
                     {"out", arguments.out}};
  const Autoencoder model = load_model(session, arguments.model);
  const std::size_t layer =
      arguments.layer.empty() ? model.spec.code_layer() : parse_layer(model.spec, arguments.layer);
  check_file(arguments, limit);
  const OpenRows opened = session.open_rows(arguments.data);
  const RowSource rows = opened.source();
  Device& device = session.open_device();
  const MemoryPlan plan =
      model_memory(device.info(), model.spec, rows, ModelOutput::code_blocks, layer);
  check_limit(session, arguments, limit, opened, plan);
  session.plan(plan);
  const std::int64_t columns = model.spec.widths()[layer + 1];
  MatrixWriter writer(arguments.out, rows.rows(), columns);
  session.time("encode", [&] {
    RowProgress progress(session, rows.rows());
    model.activations(device, rows, layer, [&](std::int64_t first, std::span<float> codes) {
      progress.done(first);
      writer.write(codes);
    });
  });
  session.time("save", [&] { writer.commit(); });
  session.results["rows"] = rows.rows();
  session.results["columns"] = columns;
  session.results["layer"] = layer_name(model.spec, layer);
  session.print_field(
      "wrote", fmt::format("{}: {} {} of {}", arguments.out, grouped(rows.rows()),
                           layer == model.spec.code_layer() ? "codes" : "activations", columns));
}

struct DecodeArguments {
  std::string model;
  std::string codes;
  std::string out;
  bool original = false;
};

void decode(Session& session, const DecodeArguments& arguments) {
  session.claim_matrix(arguments.out);
  session.options = {{"model", arguments.model},
                     {"codes", arguments.codes},
                     {"original_values", arguments.original},
                     {"out", arguments.out}};
  const Autoencoder model = load_model(session, arguments.model);
  const Matrix codes = session.time("load", [&] { return load_matrix(arguments.codes); });
  if (codes.columns != model.spec.code_size()) {
    throw InputError(fmt::format("{}: {} columns; the code of {} has {}", arguments.codes,
                                 codes.columns, model.spec.name(), model.spec.code_size()));
  }
  Device& device = session.open_device();
  session.plan(model_memory(device.info(), model.spec, {codes.rows, model.spec.inputs},
                            ModelOutput::reconstructions));
  Matrix decoded = session.time("decode", [&] { return model.decode(device, codes); });
  if (arguments.original) decoded = model.scaler.inverse_transform(decoded);
  session.time("save", [&] { save_matrix(arguments.out, decoded); });
  session.results["rows"] = decoded.rows;
  session.results["columns"] = decoded.columns;
  session.print_field("wrote", fmt::format("{}: {} rows of {}", arguments.out,
                                           grouped(decoded.rows), decoded.columns));
}

void reconstruct(Session& session, const CodeArguments& arguments) {
  const std::uint64_t limit = memory_limit(arguments);
  session.claim_matrix(arguments.out);
  session.options = {{"model", arguments.model},
                     {"data", arguments.data},
                     {"original_values", arguments.original},
                     {"memory", limit_as_json(limit)},
                     {"out", arguments.out}};
  const Autoencoder model = load_model(session, arguments.model);
  check_file(arguments, limit);
  const OpenRows opened = session.open_rows(arguments.data);
  const RowSource rows = opened.source();
  Device& device = session.open_device();
  const MemoryPlan plan =
      model_memory(device.info(), model.spec, rows, ModelOutput::reconstruction_blocks);
  check_limit(session, arguments, limit, opened, plan);
  session.plan(plan);
  MatrixWriter writer(arguments.out, rows.rows(), rows.columns());
  const ReconstructionFigures figures = session.time("reconstruct", [&] {
    RowProgress progress(session, rows.rows());
    return model.reconstruct(device, rows,
                             [&](std::int64_t first, std::span<float> reconstructions) {
                               progress.done(first);
                               if (arguments.original) {
                                 model.scaler.inverse_transform(reconstructions);
                               }
                               writer.write(reconstructions);
                             });
  });
  session.time("save", [&] { writer.commit(); });
  session.results["rows"] = rows.rows();
  session.results["columns"] = rows.columns();
  session.results["reconstruction_loss"] = number(figures.loss);
  session.results["squared_error"] = number(figures.squared_error);
  session.print_field("loss", fmt::format("{:.6g} ({})", figures.loss, name_of(model.spec.loss)));
  session.print_field("squared error", fmt::format("{:.6g}", figures.squared_error));
  session.print_field("wrote", fmt::format("{}: {} reconstructions of {}", arguments.out,
                                           grouped(rows.rows()), rows.columns()));
}

std::shared_ptr<CodeArguments> add_arguments(CLI::App* app, const char* out_help) {
  auto arguments = std::make_shared<CodeArguments>();
  app->add_option("--model", arguments->model, "A safetensors file that train wrote")->required();
  app->add_option("--data", arguments->data, data_help)->required();
  app->add_option("--out", arguments->out, out_help)->required();
  app->add_option("--memory", arguments->memory,
                  "At most this much memory, such as 512M or 8G: larger files are read piece by "
                  "piece");
  return arguments;
}

}  // namespace

Command add_encode(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("encode", "Codes of rows by a trained model");
  const auto arguments = add_arguments(app, "Codes, one row each: .npy, .csv or .tsv");
  app->add_option("--layer", arguments->layer,
                  "Another layer's activations instead: encoder.0, ..., decoder.0, ...");
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

Command add_decode(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("decode", "Rows that a trained model makes of given codes");
  const auto arguments = std::make_shared<DecodeArguments>();
  app->add_option("--model", arguments->model, "A safetensors file that train wrote")->required();
  app->add_option("--codes", arguments->codes, "Codes, one row each: .npy, .csv, .tsv or IDX")
      ->required();
  app->add_option("--out", arguments->out,
                  "Rows in the scaled space, one a code: .npy, .csv or .tsv")
      ->required();
  app->add_flag("--original-values", arguments->original, "Undo the model's scaling");
  return {app, [arguments](Session& session) { decode(session, *arguments); }};
}

}  // namespace hourglass::command
