// hourglass train
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <memory>

#include "commands.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"
#include "hourglass/training.hpp"

namespace hourglass::command {
namespace {

struct TrainArguments {
  std::string data;
  std::string out;
  std::string validation;
  std::vector<std::int64_t> hidden{32};
  std::string activation = "relu";
  std::string code_activation = "relu";
  std::string output_activation = "sigmoid";
  std::string loss = "bce";
  float bce_clip = 1e-7f;
  std::string sparsity = "none";
  bool force = false;
  std::string scale = "unit";
  int epochs = 10;
  std::int64_t batch = 256;
  double learning_rate = 1e-3;
};

/// The part of the rows that --validation asks for, where it is a number.
std::optional<double> fraction_of(const std::string& text) {
  double value = 0.0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || last != end) return std::nullopt;
  if (!(value > 0.0 && value < 1.0)) {
    throw UsageError(fmt::format(
        "--validation {}: expected a file, or a fraction of the rows above 0 and below 1", text));
  }
  return value;
}

/// Splits the last rows off.
Dataset hold_out(Dataset& data, double fraction) {
  const auto count =
      static_cast<std::int64_t>(std::llround(fraction * static_cast<double>(data.rows)));
  if (count < 1 || count >= data.rows) {
    throw UsageError(
        fmt::format("--validation {}: that is {} of {} rows, expected at least one for "
                    "validation and one for training",
                    fraction, count, data.rows));
  }
  Dataset held = data.slice(data.rows - count, count);
  held.name = data.name + " (held out)";
  data = data.slice(0, data.rows - count);
  return held;
}

std::string epoch_line(const TrainingProgress& progress, const EpochFigures& figures,
                       bool has_penalty, std::int64_t rows) {
  std::string line =
      fmt::format("epoch {:>3}/{}  loss {:<9.6g}", progress.epoch, progress.epochs, figures.loss);
  if (has_penalty) {
    line += fmt::format("  reconstruction {:<9.6g}  penalty {:<9.6g}", figures.reconstruction,
                        figures.penalty);
  }
  if (!std::isnan(figures.validation_loss)) {
    line += fmt::format("  validation {:<9.6g}", figures.validation_loss);
    if (has_penalty) {
      line += fmt::format("  (reconstruction {:.6g})", figures.validation_reconstruction);
    }
  }
  return line + fmt::format("  {} ({} rows/s)", duration(figures.seconds),
                            grouped(std::llround(static_cast<double>(rows) / figures.seconds)));
}

Json history_json(const std::vector<EpochFigures>& epochs) {
  Json json;
  for (const char* name : {"loss", "reconstruction", "penalty", "validation_loss",
                           "validation_reconstruction", "seconds"}) {
    json[name] = Json::array();
  }
  for (const EpochFigures& e : epochs) {
    json["loss"].push_back(number(e.loss));
    json["reconstruction"].push_back(number(e.reconstruction));
    json["penalty"].push_back(number(e.penalty));
    json["validation_loss"].push_back(number(e.validation_loss));
    json["validation_reconstruction"].push_back(number(e.validation_reconstruction));
    json["seconds"].push_back(number(e.seconds));
  }
  return json;
}

void train(Session& session, const TrainArguments& arguments) {
  // Options first, files next, then the device: what is wrong is said before anything takes time.
  AutoencoderSpec spec;
  spec.hidden = arguments.hidden;
  spec.activation = parse_activation(arguments.activation);
  spec.code_activation = parse_activation(arguments.code_activation);
  spec.output_activation = parse_activation(arguments.output_activation);
  spec.loss = parse_loss(arguments.loss);
  spec.bce_clip = arguments.bce_clip;
  const Scaling scaling = parse_scaling(arguments.scale);
  TrainingOptions options;
  options.epochs = arguments.epochs;
  options.batch = arguments.batch;
  options.learning_rate = arguments.learning_rate;
  options.sparsity = Sparsity::parse(arguments.sparsity);
  options.force = arguments.force;
  options.seed = session.common.seed;
  spec.validate();
  options.validate(spec);
  std::optional<double> fraction;
  if (!arguments.validation.empty()) fraction = fraction_of(arguments.validation);
  session.claim_output(arguments.out);
  Device& device = session.open_device();

  Dataset data = session.load(arguments.data);
  std::optional<Dataset> validation;
  if (fraction) {
    validation = hold_out(data, *fraction);
  } else if (!arguments.validation.empty()) {
    validation = session.load(arguments.validation);
  }
  spec.inputs = data.columns;
  const bool has_penalty = options.sparsity.kind != Sparsity::Kind::none;

  session.options = {
      {"data", arguments.data},
      {"hidden", spec.hidden},
      {"activation", name_of(spec.activation)},
      {"code_activation", name_of(spec.code_activation)},
      {"output_activation", name_of(spec.output_activation)},
      {"loss", name_of(spec.loss)},
      {"bce_clip", shortest(spec.bce_clip)},
      {"sparsity", options.sparsity.name()},
      {"force", options.force},
      {"scale", name_of(scaling)},
      {"epochs", options.epochs},
      {"batch", options.batch},
      {"lr", options.learning_rate},
      {"validation", arguments.validation.empty() ? Json(nullptr) : Json(arguments.validation)},
      {"out", arguments.out}};

  std::optional<DataShape> validation_shape;
  if (validation) validation_shape = *validation;
  session.plan(training_memory(device.info(), spec, data, options.batch, validation_shape));
  Autoencoder model = session.time("scale", [&] {
    return Autoencoder::initialise(spec, Scaler::fit(device, data, scaling), options.seed);
  });
  session.print_field("model",
                      fmt::format("{}, {} parameters, {} hidden, {} code, {} output", spec.name(),
                                  grouped(spec.parameter_count()), name_of(spec.activation),
                                  name_of(spec.code_activation), name_of(spec.output_activation)));
  session.print_field("objective",
                      fmt::format("{}{}, scale {}", name_of(spec.loss),
                                  has_penalty ? fmt::format(" + {}", options.sparsity.name()) : "",
                                  name_of(scaling)));
  session.print_field(
      "training", fmt::format("{} rows, {} epoch{} of batches of {}, Adam at {}",
                              grouped(data.rows), options.epochs, options.epochs == 1 ? "" : "s",
                              options.batch, options.learning_rate));

  std::vector<EpochFigures> epochs;
  options.warn = [&](const std::string& message) { session.warn(message); };
  options.progress = [&](const TrainingProgress& progress) {
    if (progress.finished != nullptr) {
      epochs.push_back(*progress.finished);
      session.print("{}", epoch_line(progress, *progress.finished, has_penalty, data.rows));
    } else {
      const double done = progress.epoch - 1 +
                          static_cast<double>(progress.step) / static_cast<double>(progress.steps);
      const double rows = done * static_cast<double>(data.rows);
      session.progress(fmt::format("epoch {:>3}/{}  step {}/{}  {} rows/s  {} left", progress.epoch,
                                   progress.epochs, progress.step, progress.steps,
                                   grouped(std::llround(rows / progress.seconds)),
                                   duration(progress.seconds / done * (progress.epochs - done))));
    }
    return !is_interrupted();
  };

  const auto save = [&](bool interrupted) {
    // What made the model, without the name it is given: equal trainings give equal files.
    Json training = session.options;
    training["seed"] = options.seed;
    training.erase("out");
    std::map<std::string, std::string> extra{{"training", training.dump()}};
    if (interrupted) {
      extra["interrupted"] = fmt::format("after {} of {} epochs", epochs.size(), options.epochs);
    }
    model.save(arguments.out, extra);
    session.results["parameters"] = spec.parameter_count();
    session.results["rows"] = data.rows;
    session.results["history"] = history_json(epochs);
    session.results["interrupted"] = interrupted;
  };

  try {
    session.time("train", [&] {
      return fit(device, model, data, options, validation ? &*validation : nullptr);
    });
  } catch (const Interrupted& error) {
    // At once, and in one step: whoever interrupts a long training wants to keep what it has
    // learned.
    save(true);
    session.finish();
    throw Interrupted(fmt::format("{}; the model so far is in {}", error.what(), arguments.out));
  }
  session.time("save", [&] { save(false); });
  session.print_field("wrote", arguments.out);
}

}  // namespace

Command add_train(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("train", "Train an autoencoder");
  const auto arguments = std::make_shared<TrainArguments>();
  TrainArguments& a = *arguments;
  app->add_option("--data", a.data, data_help)->required();
  app->add_option("--out", a.out, "The model, a safetensors file")->required();
  app->add_option("--hidden", a.hidden, "Widths of the encoder, the code's last; mirrored")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("INT,...")
      ->default_str("32");
  app->add_option("--activation", a.activation,
                  "Of hidden layers: relu, leaky_relu, elu, selu, gelu, tanh, sigmoid, linear")
      ->capture_default_str();
  app->add_option("--code-activation", a.code_activation, "Of the code, from the same")
      ->capture_default_str();
  app->add_option("--output-activation", a.output_activation, "sigmoid; linear with --loss mse")
      ->capture_default_str();
  app->add_option("--loss", a.loss, "bce (cross-entropy) or mse (squared error)")
      ->capture_default_str();
  app->add_option("--bce-clip", a.bce_clip, "Clip of the sigmoid in bce, Keras's epsilon; 0: none")
      ->capture_default_str();
  app->add_option("--sparsity", a.sparsity,
                  "Penalty on the code: none, l1:LAMBDA (mean over the batch), l1sum:LAMBDA (sum), "
                  "kl:RHO:BETA (sigmoid codes)")
      ->capture_default_str();
  app->add_flag("--force", a.force, "Allow kl on codes that can leave (0, 1)");
  app->add_option("--scale", a.scale,
                  "none; unit: bytes by 1/255; standard: mean 0, deviation 1 of each column")
      ->capture_default_str();
  app->add_option("--epochs", a.epochs, "Passes over the rows")->capture_default_str();
  app->add_option("--batch", a.batch, "Rows of a step")->capture_default_str();
  app->add_option("--lr", a.learning_rate, "Adam's learning rate")->capture_default_str();
  app->add_option(
      "--validation", a.validation,
      "Rows that are scored after each epoch: a file, or a fraction of --data, whose last "
      "rows are then held out");
  return {app, [arguments](Session& session) { train(session, *arguments); }};
}

}  // namespace hourglass::command
