// hourglass train
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "commands.hpp"
#include "host/data/input_file.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"
#include "hourglass/rows.hpp"
#include "hourglass/training.hpp"

namespace hourglass::command {
namespace {

/// Options of the model are empty where not given: then they are those of --spec, or the defaults.
struct TrainArguments {
  std::string data;
  std::string out;
  std::string validation;
  std::string spec;
  std::vector<std::int64_t> hidden;
  std::vector<std::int64_t> decoder;
  bool tied = false;
  std::string activation;
  std::string code_activation;
  std::string output_activation;
  std::string loss;
  std::optional<float> bce_clip;
  std::string sparsity = "none";
  bool force = false;
  float contractive = 0.0f;
  std::string noise = "none";
  std::string scale = "unit";
  int epochs = 10;
  std::int64_t batch = 256;
  std::string optimiser = "adam";
  double learning_rate = 1e-3;
  std::string schedule = "constant";
  float momentum = 0.9f;
  float weight_decay = 0.0f;
  float clip_norm = 0.0f;
  int patience = 0;
  double min_improvement = 0.0;
  std::string checkpoint_every;
  bool resume = false;
  std::string memory;
  std::string precision = "float32";
};

AutoencoderSpec spec_of(const TrainArguments& arguments) {
  AutoencoderSpec spec;
  if (!arguments.spec.empty()) {
    spec = AutoencoderSpec::from_json(InputFile(arguments.spec).read_text(), arguments.spec);
  }
  if (!arguments.hidden.empty()) spec.hidden = arguments.hidden;
  if (!arguments.decoder.empty()) spec.decoder = arguments.decoder;
  if (arguments.tied) spec.tied = true;
  const auto take = [](const std::string& text, auto parse, auto& to) {
    if (!text.empty()) to = parse(text);
  };
  take(arguments.activation, parse_activation, spec.activation);
  take(arguments.code_activation, parse_activation, spec.code_activation);
  take(arguments.output_activation, parse_activation, spec.output_activation);
  take(arguments.loss, parse_loss, spec.loss);
  if (arguments.bce_clip) spec.bce_clip = *arguments.bce_clip;
  return spec;
}

/// "3" epochs or "500steps".
void parse_checkpoint_every(const std::string& text, CheckpointOptions& checkpoint) {
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(last, static_cast<std::size_t>(end - last));
  constexpr std::int64_t most_epochs = std::numeric_limits<int>::max();
  if (error != std::errc{} || number < 1 || (unit != "" && unit != "steps") ||
      (unit == "" && number > most_epochs)) {
    throw UsageError(fmt::format(
        "--checkpoint-every {}: expected a number of epochs, as 2, or of steps, as 500steps",
        text));
  }
  if (unit == "steps") {
    checkpoint.every_steps = number;
  } else {
    checkpoint.every_epochs = static_cast<int>(number);
  }
}

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
RowSource hold_out(RowSource& data, double fraction) {
  const auto count =
      static_cast<std::int64_t>(std::llround(fraction * static_cast<double>(data.rows())));
  if (count < 1 || count >= data.rows()) {
    throw UsageError(
        fmt::format("--validation {}: that is {} of {} rows, expected at least one for "
                    "validation and one for training",
                    fraction, count, data.rows()));
  }
  const RowSource held = data.slice(data.rows() - count, count);
  data = data.slice(0, data.rows() - count);
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

/// "bce + l1:0.0001 + contractive 0.1, noise mask:0.3".
std::string objective_name(const AutoencoderSpec& spec, const TrainingOptions& options) {
  std::string text(name_of(spec.loss));
  if (options.sparsity.any()) text += fmt::format(" + {}", options.sparsity.name());
  if (options.contractive != 0.0f) text += fmt::format(" + contractive {}", options.contractive);
  if (options.weight_decay != 0.0f) text += fmt::format(" + weight decay {}", options.weight_decay);
  if (options.noise.kind != Noise::Kind::none) {
    text += fmt::format(", noise {}", name_of(options.noise));
  }
  return text;
}

Json history_json(const std::vector<EpochFigures>& epochs) {
  Json json;
  for (const char* name : {"loss", "reconstruction", "penalty", "validation_loss",
                           "validation_reconstruction", "learning_rate", "seconds"}) {
    json[name] = Json::array();
  }
  for (const EpochFigures& e : epochs) {
    json["loss"].push_back(number(e.loss));
    json["reconstruction"].push_back(number(e.reconstruction));
    json["penalty"].push_back(number(e.penalty));
    json["validation_loss"].push_back(number(e.validation_loss));
    json["validation_reconstruction"].push_back(number(e.validation_reconstruction));
    json["learning_rate"].push_back(number(e.learning_rate));
    json["seconds"].push_back(number(e.seconds));
  }
  return json;
}

void train(Session& session, const TrainArguments& arguments) {
  // Options first, files next, then the device: what is wrong is said before anything takes time.
  AutoencoderSpec spec = spec_of(arguments);
  const std::int64_t inputs = spec.inputs;  // of --spec; 0 where it leaves them to the data
  if (arguments.spec.empty() || inputs == 0) spec.inputs = 1;
  const Scaling scaling = parse_scaling(arguments.scale);
  TrainingOptions options;
  options.epochs = arguments.epochs;
  options.batch = arguments.batch;
  options.optimiser = parse_optimiser(arguments.optimiser);
  options.precision = parse_precision(arguments.precision);
  options.learning_rate = arguments.learning_rate;
  options.schedule = LearningRateSchedule::parse(arguments.schedule);
  options.momentum = arguments.momentum;
  options.weight_decay = arguments.weight_decay;
  options.clip_norm = arguments.clip_norm;
  options.sparsity = Sparsity::parse(arguments.sparsity);
  options.force = arguments.force;
  options.contractive = arguments.contractive;
  options.noise = parse_noise(arguments.noise);
  options.patience = arguments.patience;
  options.min_improvement = arguments.min_improvement;
  options.seed = session.common.seed;
  // Written also when training is interrupted, whatever --checkpoint-every says.
  options.checkpoint.path = arguments.out + ".checkpoint";
  options.checkpoint.resume = arguments.resume;
  if (!arguments.memory.empty()) options.memory_bytes = parse_bytes("--memory", arguments.memory);
  if (!arguments.checkpoint_every.empty()) {
    parse_checkpoint_every(arguments.checkpoint_every, options.checkpoint);
  }
  spec.validate();
  options.validate(spec);
  std::optional<double> fraction;
  if (!arguments.validation.empty()) fraction = fraction_of(arguments.validation);
  if (options.patience > 0 && arguments.validation.empty()) {
    throw UsageError("--patience: early stopping watches the validation loss; give --validation");
  }
  session.claim_output(arguments.out);
  Device& device = session.open_device();

  const OpenRows opened = session.open_rows(arguments.data);
  RowSource data = opened.source();
  std::optional<OpenRows> opened_validation;
  std::optional<RowSource> validation;
  if (fraction) {
    validation = hold_out(data, *fraction);
  } else if (!arguments.validation.empty()) {
    opened_validation = session.open_rows(arguments.validation);
    validation = opened_validation->source();
  }
  if (!arguments.spec.empty() && inputs != 0 && inputs != data.columns()) {
    throw InputError(fmt::format("{}: key \"inputs\" is {}; {} has {} columns", arguments.spec,
                                 inputs, arguments.data, data.columns()));
  }
  spec.inputs = data.columns();
  spec.validate();
  const bool decays_in_loss = options.weight_decay != 0.0f && options.optimiser != Optimiser::adamw;
  const bool has_penalty = options.sparsity.any() || options.contractive != 0.0f || decays_in_loss;

  // Of the model what --spec and the options that override it came to.
  session.options = Json::parse(spec.to_json());
  session.options.update(Json{
      {"data", arguments.data},
      {"sparsity", options.sparsity.name()},
      {"force", options.force},
      {"contractive", shortest(options.contractive)},
      {"noise", name_of(options.noise)},
      {"scale", name_of(scaling)},
      {"epochs", options.epochs},
      {"batch", options.batch},
      {"optimiser", name_of(options.optimiser)},
      {"lr", options.learning_rate},
      {"precision", name_of(options.precision)},
      {"lr_schedule", options.schedule.name()},
      {"momentum", shortest(options.momentum)},
      {"weight_decay", shortest(options.weight_decay)},
      {"clip_norm", shortest(options.clip_norm)},
      {"validation", arguments.validation.empty() ? Json(nullptr) : Json(arguments.validation)},
      {"patience", options.patience},
      {"min_improvement", options.min_improvement},
      {"checkpoint_every",
       arguments.checkpoint_every.empty() ? Json(nullptr) : Json(arguments.checkpoint_every)},
      {"resume", options.checkpoint.resume},
      {"memory", options.memory_bytes > 0 ? Json(options.memory_bytes) : Json(nullptr)},
      {"out", arguments.out}});

  std::optional<DataShape> validation_shape;
  if (validation) validation_shape = *validation;
  session.plan(training_memory(device.info(), spec, data, options, validation_shape));
  const bool streamed = training_streams(device.info(), spec, data, options, validation_shape);
  Autoencoder model = session.time("scale", [&] {
    return Autoencoder::initialise(spec, Scaler::fit(device, data, scaling), options.seed);
  });
  session.print_field("model",
                      fmt::format("{}, {} parameters, {} hidden, {} code, {} output", spec.name(),
                                  grouped(spec.parameter_count()), name_of(spec.activation),
                                  name_of(spec.code_activation), name_of(spec.output_activation)));
  session.print_field("objective",
                      fmt::format("{}, scale {}", objective_name(spec, options), name_of(scaling)));
  session.print_field("training",
                      fmt::format("{} rows{}, {} epoch{} of batches of {}, {} at {}{}",
                                  grouped(data.rows()), streamed ? " read as they are needed" : "",
                                  options.epochs, options.epochs == 1 ? "" : "s", options.batch,
                                  name_of(options.optimiser), options.learning_rate,
                                  options.schedule == LearningRateSchedule{}
                                      ? ""
                                      : fmt::format(", {}", options.schedule.name())));

  std::vector<EpochFigures> epochs;  // with those that were resumed
  std::int64_t earlier_steps = 0;    // of the resumed training, in the epoch that it was in
  options.resumed = [&](const std::string& file, std::size_t done, std::int64_t steps) {
    earlier_steps = steps;
    session.print_field("resumed", fmt::format("{}: {} epoch{} and {} step{} done", file, done,
                                               done == 1 ? "" : "s", steps, steps == 1 ? "" : "s"));
  };
  options.warn = [&](const std::string& message) { session.warn(message); };
  options.progress = [&](const TrainingProgress& progress) {
    if (progress.finished != nullptr || is_interrupted()) {
      epochs.assign(progress.history.begin(), progress.history.end());
    }
    if (progress.finished != nullptr) {
      session.print("{}", epoch_line(progress, *progress.finished, has_penalty, data.rows()));
    } else {
      const auto rate = static_cast<double>(progress.steps_done) / progress.seconds;
      const auto left =
          static_cast<double>((progress.epochs - progress.epoch + 1) * progress.steps -
                              progress.step) /
          rate;
      session.progress(fmt::format(
          "epoch {:>3}/{}  step {}/{}  {} rows/s  {} left", progress.epoch, progress.epochs,
          progress.step, progress.steps,
          grouped(std::llround(rate * static_cast<double>(std::min(options.batch, data.rows())))),
          duration(left)));
    }
    return !is_interrupted();
  };

  int best_epoch = 0;
  bool stopped_early = false;
  const auto save = [&](bool interrupted) {
    // What made the model, without the name it is given: equal trainings give equal files.
    Json training = session.options;
    training["seed"] = options.seed;
    for (const char* key : {"out", "resume", "checkpoint_every", "memory"})
      training.erase(key);
    std::map<std::string, std::string> extra{{"training", training.dump()}};
    if (interrupted) {
      extra["interrupted"] = fmt::format("after {} of {} epochs", epochs.size(), options.epochs);
    }
    model.save(arguments.out, extra);
    session.results["parameters"] = spec.parameter_count();
    session.results["rows"] = data.rows();
    session.results["history"] = history_json(epochs);
    session.results["best_epoch"] = best_epoch;
    session.results["stopped_early"] = stopped_early;
    session.results["interrupted"] = interrupted;
  };

  try {
    const History history =
        session.time("train", [&] { return fit(device, model, data, options, validation); });
    epochs = history.epochs;
    best_epoch = history.best_epoch;
    stopped_early = history.stopped_early;
  } catch (const Interrupted& error) {
    // At once, and in one step: whoever interrupts a long training wants to keep what it has
    // learned.
    best_epoch = static_cast<int>(epochs.size());
    save(true);
    session.finish();
    throw Interrupted(fmt::format("{}; the model so far is in {}; --resume goes on from {}",
                                  error.what(), arguments.out, options.checkpoint.path));
  }
  if (options.patience > 0) {
    session.print_field(
        "best epoch", fmt::format("{} of {}, validation {:.6g}{}", best_epoch, epochs.size(),
                                  epochs[static_cast<std::size_t>(best_epoch - 1)].validation_loss,
                                  stopped_early ? "; stopped early" : ""));
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
  app->add_option("--spec", a.spec,
                  "The model as a JSON file, keys as in README; the options below override it")
      ->group("Model");
  app->add_option("--hidden", a.hidden, "Widths of the encoder, the code's last")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("INT,...")
      ->default_str("32")
      ->group("Model");
  app->add_option("--decoder", a.decoder, "Hidden widths of the decoder; without: mirrored")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("INT,...")
      ->group("Model");
  app->add_flag("--tied", a.tied, "The decoder's weights are the encoder's, transposed")
      ->group("Model");
  app->add_option("--activation", a.activation,
                  "Of hidden layers: relu, leaky_relu, elu, selu, gelu, tanh, sigmoid, linear")
      ->default_str("relu")
      ->group("Model");
  app->add_option("--code-activation", a.code_activation, "Of the code, from the same")
      ->default_str("relu")
      ->group("Model");
  app->add_option("--output-activation", a.output_activation, "sigmoid; linear with --loss mse")
      ->default_str("sigmoid")
      ->group("Model");
  app->add_option("--loss", a.loss, "bce (cross-entropy) or mse (squared error)")
      ->default_str("bce")
      ->group("Model");
  app->add_option("--bce-clip", a.bce_clip, "Clip of the sigmoid in bce, Keras's epsilon; 0: none")
      ->default_str("1e-07")
      ->group("Model");
  app->add_option("--sparsity", a.sparsity,
                  "Penalties on the code: none, or of l1:LAMBDA (mean over the batch), "
                  "l1sum:LAMBDA (sum), kl:RHO:BETA (sigmoid codes), by commas")
      ->capture_default_str()
      ->group("Objective");
  app->add_flag("--force", a.force, "Allow kl on codes that can leave (0, 1)")->group("Objective");
  app->add_option("--contractive", a.contractive,
                  "LAMBDA of the squared Jacobian of the codes; encoders of one layer")
      ->capture_default_str()
      ->group("Objective");
  app->add_option("--noise", a.noise,
                  "On the inputs, targets stay clean: none, gaussian:DEVIATION, mask:PROBABILITY")
      ->capture_default_str()
      ->group("Objective");
  app->add_option(
         "--weight-decay", a.weight_decay,
         "LAMBDA: adam, sgd: LAMBDA / 2 of the squared weights in the loss; adamw: decoupled")
      ->capture_default_str()
      ->group("Objective");
  app->add_option("--scale", a.scale,
                  "none; unit: bytes by 1/255; standard: mean 0, deviation 1 of each column")
      ->capture_default_str();
  app->add_option("--epochs", a.epochs, "Passes over the rows")->capture_default_str();
  app->add_option("--batch", a.batch, "Rows of a step")->capture_default_str();
  app->add_option("--optimiser", a.optimiser, "adam, adamw or sgd")->capture_default_str();
  app->add_option("--precision", a.precision,
                  "float32; tf32: products of the steps on tensor cores, of a GPU that has them")
      ->capture_default_str();
  app->add_option("--lr", a.learning_rate, "Learning rate")->capture_default_str();
  app->add_option("--lr-schedule", a.schedule,
                  "constant, cosine[:LAST], step:EVERY:FACTOR, plateau:EVERY:FACTOR[:LAST]; EVERY "
                  "in epochs, LAST and FACTOR as parts of --lr")
      ->capture_default_str();
  app->add_option("--momentum", a.momentum, "Of sgd")->capture_default_str();
  app->add_option("--clip-norm", a.clip_norm, "The longest gradient, over all parameters; 0: any")
      ->capture_default_str();
  app->add_option(
      "--validation", a.validation,
      "Rows that are scored after each epoch: a file, or a fraction of --data, whose last "
      "rows are then held out");
  app->add_option("--patience", a.patience,
                  "End after so many epochs without a lower validation loss, and keep the best "
                  "epoch's weights; 0: never")
      ->capture_default_str();
  app->add_option("--min-improvement", a.min_improvement,
                  "What a validation loss must fall by to be lower, for --patience")
      ->capture_default_str();
  app->add_option("--checkpoint-every", a.checkpoint_every,
                  "Write OUT.checkpoint every N epochs, or every Nsteps")
      ->type_name("N");
  app->add_option(
         "--memory", a.memory,
         "At most so much for training, as 512M: rows that do not fit are read as they are "
         "needed")
      ->type_name("BYTES");
  app->add_flag("--resume", a.resume, "Go on from OUT.checkpoint, where it is there");
  return {app, [arguments](Session& session) { train(session, *arguments); }};
}

}  // namespace hourglass::command
