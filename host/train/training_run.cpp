#include "host/train/training_run.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <utility>

#include "host/train/features.hpp"
#include "host/train/schedule.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

template <class Time>
double seconds_since(Time start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

constexpr const char* advice = "try a smaller learning rate";

}  // namespace

TrainingRun::TrainingRun(Device& device, Autoencoder& model, const RowSource& data,
                         const TrainingOptions& options, const std::optional<RowSource>& validation,
                         Batches::Residence residence)
    : backend_(device.backend()),
      device_(fmt::format("{}, {} thread(s)", device.info().name, device.info().threads)),
      model_(model),
      options_(options),
      batches_(backend_, model.scaler, data, std::min(options.batch, data.rows()),
               Batches::Order::shuffled, residence),
      steps_(batches_.steps()),
      validation_rows_(validation ? std::min(block_rows(data.columns()), validation->rows()) : 0),
      network_(backend_, model.spec, model.parameters, std::max(batches_.batch(), validation_rows_),
               batches_.batch(), Objective::of(options, model.scaler.scaling),
               UpdateRule::of(options)),
      training_steps_(backend_, batches_, network_, steps_ * options.epochs, options.precision),
      data_(data),
      validation_(validation),
      first_parameters_(fingerprint(model.parameters)) {
  network_.expect_zeros(batches_.zero_row());
  if (validation) {
    validation_batches_.emplace(backend_, model.scaler, *validation, validation_rows_,
                                Batches::Order::as_they_lie, residence);
    validation_figures_ = Buffer<double>(backend_, 2);
  }
  if (options.patience > 0) {
    best_parameters_ = Buffer<float>(backend_, network_.parameters().size());
  }
}

const TrainingIdentity& TrainingRun::identity() {
  if (identity_.empty()) {
    identity_ = identity_of(model_, first_parameters_, data_, options_, validation_);
  }
  return identity_;
}

bool TrainingRun::ended() const {
  return epoch() > options_.epochs || stops_early(options_, history_.epochs);
}

History TrainingRun::run() {
  start_ = Clock::now();
  last_call_ = start_;
  const std::string& path = options_.checkpoint.path;
  if (options_.checkpoint.resume) resume();
  if (!path.empty() && !writer_) writer_.emplace(path, std::filesystem::exists(path));
  while (!ended()) {
    const bool go_on = run_epoch() && report(steps_, &history_.epochs.back());
    if (!go_on && !ended()) interrupt(0);
  }
  finish();
  return std::move(history_);
}

void TrainingRun::resume() {
  const std::string& path = options_.checkpoint.path;
  const std::string previous = previous_of(path);
  std::string reasons;
  for (const std::string& file : {path, previous}) {
    if (!std::filesystem::exists(file)) continue;
    try {
      take_over(load_checkpoint(file, identity()));
    } catch (const InputError& error) {
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
      continue;
    }
    if (!reasons.empty() && options_.warn) {
      options_.warn(fmt::format("{}; resumed from {}", reasons, file));
    }
    if (options_.resumed) options_.resumed(file, history_.epochs.size(), first_step_);
    // What was passed over is not kept as the previous one: that is the one in use.
    writer_.emplace(path, file == path);
    return;
  }
  if (!reasons.empty()) {
    throw InputError(fmt::format("no checkpoint to resume from: {}", reasons));
  }
  if (options_.warn) {
    options_.warn(fmt::format("no checkpoint {}: training begins anew", path));
  }
}

void TrainingRun::take_over(const Checkpoint& checkpoint) {
  const auto parameters = static_cast<std::size_t>(network_.parameters().size());
  const std::size_t second = options_.optimiser == Optimiser::sgd ? 0 : parameters;
  const TrainingState& state = checkpoint.state;
  const bool whole =
      state.parameters.size() == parameters && state.first_moment.size() == parameters &&
      state.second_moment.size() == second && checkpoint.step >= 0 && checkpoint.step < steps_ &&
      state.optimiser.step ==
          static_cast<std::int64_t>(checkpoint.epochs.size()) * steps_ + checkpoint.step &&
      checkpoint.best_parameters.size() ==
          (options_.patience > 0 && !checkpoint.epochs.empty() ? parameters : 0);
  if (!whole) {
    throw InputError(fmt::format("{}: its sizes do not go with {}", options_.checkpoint.path,
                                 model_.spec.name()));
  }
  if (checkpoint.device != device_ && options_.warn) {
    options_.warn(fmt::format(
        "the checkpoint was written on {}, this is {}: figures may differ by rounding from those "
        "of an unbroken training",
        checkpoint.device, device_));
  }
  network_.upload(state);
  if (!checkpoint.best_parameters.empty()) best_parameters_.upload(checkpoint.best_parameters);
  history_.epochs = checkpoint.epochs;
  first_step_ = checkpoint.step;
  resumed_ = {checkpoint.loss_sum, checkpoint.penalty_sum};
}

bool TrainingRun::run_epoch() {
  const Range range(backend_, "epoch");
  const auto epoch_start = Clock::now();
  const double learning_rate = next_learning_rate(options_, history_.epochs);
  network_.set_learning_rate(learning_rate);
  begin_epoch();
  network_.remember();
  bool go_on = true;
  for (std::int64_t step = first_step_; step < steps_;) {
    const std::int64_t count = steps_at_once(step);
    const auto start = Clock::now();
    training_steps_.run(step, count);
    step += count;
    steps_done_ += count;
    if (options_.step_end) go_on = options_.step_end(epoch(), step);
    if (step == steps_) break;
    if (options_.progress) {
      backend_.synchronize();
      pace_.took(count, seconds_since(start));
    }
    if (checkpoint_due(step)) write_checkpoint(step);
    if (!go_on || !report(step, nullptr)) interrupt(step);
  }
  EpochFigures figures = epoch_figures();
  figures.learning_rate = learning_rate;
  if (validation_batches_) validate(figures);
  figures.seconds = seconds_since(epoch_start);
  const bool due = checkpoint_due(steps_);
  history_.epochs.push_back(figures);
  first_step_ = 0;
  resumed_ = {};
  keep_if_best();
  if (options_.epoch_end) {
    model_.parameters = network_.parameters().download();
    options_.epoch_end(static_cast<int>(history_.epochs.size()), figures, model_);
  }
  if (due) write_checkpoint(0);
  return go_on;
}

void TrainingRun::begin_epoch() {
  batches_.begin(options_.seed, static_cast<std::uint32_t>(epoch() - 1), first_step_);
}

std::int64_t TrainingRun::steps_at_once(std::int64_t step) const {
  if (options_.step_end) return 1;
  std::int64_t count = steps_ - step;
  if (const std::int64_t every = options_.checkpoint.every_steps; every > 0) {
    count = std::min(count, every - ((epoch() - 1) * steps_ + step) % every);
  }
  return options_.progress ? std::min(count, pace_.steps()) : count;
}

TrainingRun::Sums TrainingRun::sums(std::int64_t steps) {
  const std::vector<double> values = training_steps_.figures().download();
  const auto losses = values.begin();
  const auto penalties = values.begin() + steps_;
  for (std::int64_t step = first_step_; step < steps; ++step) {
    if (!std::isfinite(losses[step])) fail(step, "loss", losses[step]);
    if (!std::isfinite(penalties[step])) fail(step, "penalty", penalties[step]);
  }
  return {std::accumulate(losses + first_step_, losses + steps, resumed_.loss),
          std::accumulate(penalties + first_step_, penalties + steps, resumed_.penalty)};
}

EpochFigures TrainingRun::epoch_figures() {
  const Sums sum = sums(steps_);
  const auto rows = static_cast<double>(batches_.rows());
  EpochFigures figures;
  figures.reconstruction = sum.loss / rows;
  figures.penalty = sum.penalty / rows;
  figures.loss = figures.reconstruction + figures.penalty;
  return figures;
}

void TrainingRun::validate(EpochFigures& figures) {
  const Range range(backend_, "evaluate");
  validation_figures_.zero();
  double* loss = validation_figures_.data();
  validation_batches_->begin();
  for (std::int64_t step = 0; step < validation_batches_->steps(); ++step) {
    const std::int64_t rows = validation_batches_->rows_of(step);
    validation_batches_->gather(step, network_.inputs(rows));
    network_.encode(rows);
    network_.decode(rows);
    network_.add_penalty(network_.objective(), rows, batches_.batch(), loss + 1);
    network_.add_loss(model_.spec.loss, rows, loss);
  }
  const std::vector<double> sums = validation_figures_.download();
  const auto rows = static_cast<double>(validation_batches_->rows());
  figures.validation_reconstruction = sums[0] / rows;
  figures.validation_loss = (sums[0] + sums[1]) / rows;
  if (std::isfinite(figures.validation_loss)) return;
  // With finite parameters only the validation rows themselves can be the cause.
  const auto layer = first_not_finite(network_.parameters().download());
  throw NumericsError(
      fmt::format("epoch {}, after its last step {}: the validation loss on {} is {}; {}", epoch(),
                  steps_, validation_->name(), figures.validation_loss,
                  layer ? fmt::format("the first layer whose parameters are not finite is {}; {}",
                                      layer_name(model_.spec, *layer), advice)
                        : "every parameter is finite, so its values are too large for float32"));
}

void TrainingRun::keep_if_best() {
  if (options_.patience == 0) return;
  if (std::cmp_equal(best_epoch(history_.epochs, options_.min_improvement),
                     history_.epochs.size())) {
    backend_.copy(best_parameters_.data(), network_.parameters().data(),
                  static_cast<std::size_t>(best_parameters_.size()) * sizeof(float));
  }
}

void TrainingRun::finish() {
  const auto epochs = static_cast<int>(history_.epochs.size());
  history_.stopped_early = epochs < options_.epochs;
  history_.best_epoch =
      options_.patience > 0 ? best_epoch(history_.epochs, options_.min_improvement) : epochs;
  auto parameters =
      options_.patience > 0 ? best_parameters_.download() : network_.parameters().download();
  if (const auto layer = first_not_finite(parameters)) {
    throw NumericsError(
        fmt::format("epoch {}, step {}: the parameters of {} stopped being finite; {}",
                    history_.best_epoch, steps_, layer_name(model_.spec, *layer), advice));
  }
  model_.parameters = std::move(parameters);
}

bool TrainingRun::checkpoint_due(std::int64_t step) const {
  const CheckpointOptions& checkpoint = options_.checkpoint;
  const std::int64_t steps = (epoch() - 1) * steps_ + step;
  const bool last = step == steps_;
  return (checkpoint.every_steps > 0 && steps % checkpoint.every_steps == 0) ||
         (checkpoint.every_epochs > 0 && last &&
          (epoch() % checkpoint.every_epochs == 0 || epoch() == options_.epochs));
}

void TrainingRun::write_checkpoint(std::int64_t step) {
  const Range range(backend_, "checkpoint");
  Checkpoint checkpoint;
  checkpoint.training = identity();
  checkpoint.device = device_;
  checkpoint.epochs = history_.epochs;
  checkpoint.step = step;
  if (step > 0) {
    const Sums sum = sums(step);
    checkpoint.loss_sum = sum.loss;
    checkpoint.penalty_sum = sum.penalty;
  }
  checkpoint.state = network_.download();
  if (options_.patience > 0 && !history_.epochs.empty()) {
    checkpoint.best_parameters = best_parameters_.download();
  }
  writer_->write(checkpoint);
}

bool TrainingRun::report(std::int64_t step, const EpochFigures* finished) {
  constexpr auto pause = std::chrono::milliseconds(100);
  if (!options_.progress) return true;
  if (finished == nullptr && Clock::now() - last_call_ < pause) return true;
  last_call_ = Clock::now();
  TrainingProgress progress;
  progress.epoch = finished != nullptr ? epoch() - 1 : epoch();
  progress.epochs = options_.epochs;
  progress.step = step;
  progress.steps = steps_;
  progress.steps_done = steps_done_;
  progress.seconds = seconds_since(start_);
  progress.finished = finished;
  progress.history = history_.epochs;
  return options_.progress(progress);
}

void TrainingRun::interrupt(std::int64_t step) {
  if (writer_) write_checkpoint(step);
  model_.parameters = network_.parameters().download();
  const int in = step > 0 ? epoch() : epoch() - 1;
  throw Interrupted(fmt::format("training interrupted in epoch {} of {}, after step {} of {}", in,
                                options_.epochs, step > 0 ? step : steps_, steps_));
}

/// The first layer with a parameter that is NaN or infinite.
std::optional<std::size_t> TrainingRun::first_not_finite(
    const std::vector<float>& parameters) const {
  const auto finite = [&](std::int64_t first, std::int64_t count) {
    return std::all_of(parameters.begin() + first, parameters.begin() + first + count,
                       [](float p) { return std::isfinite(p); });
  };
  const auto& layers = network_.layers();
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const LayerOffsets& at = layers[l];
    if (!finite(at.weights, at.fan_in * at.fan_out) || !finite(at.bias, at.fan_out)) return l;
  }
  return std::nullopt;
}

/// By the end of an epoch NaN is everywhere. To tell where it began the epoch is run again up to
/// the step that failed, which gives the same bits, and that step's forward pass is looked at layer
/// by layer.
void TrainingRun::fail(std::int64_t step, const char* what, double value) {
  network_.restore();
  begin_epoch();
  training_steps_.run(first_step_, step - first_step_);
  const std::string where =
      fmt::format("epoch {}, step {}: the {} is {}", epoch(), step + 1, what, value);
  if (const auto layer = first_not_finite(network_.parameters().download())) {
    throw NumericsError(
        fmt::format("{}; the first layer whose parameters are not finite is {}, since the step "
                    "before; {}",
                    where, layer_name(model_.spec, *layer), advice));
  }
  const std::int64_t rows = batches_.rows_of(step);
  const GemmPrecision precision(backend_, options_.precision);
  batches_.gather_shuffled(network_.steps_done(), network_.inputs(rows));
  network_.run_forward(rows);
  for (std::size_t l = 0; l < network_.layers().size(); ++l) {
    const Mat output = network_.output(l, rows);
    std::vector<float> values(static_cast<std::size_t>(output.size()));
    backend_.download(values.data(), output.data, values.size() * sizeof(float));
    if (!std::all_of(values.begin(), values.end(), [](float y) { return std::isfinite(y); })) {
      throw NumericsError(fmt::format("{}; the first layer whose output is not finite is {}; {}",
                                      where, layer_name(model_.spec, l), advice));
    }
  }
  throw NumericsError(
      fmt::format("{}; every layer's output is finite, up to {}: the {} itself overflows; {}",
                  where, layer_name(model_.spec, network_.layers().size() - 1), what, advice));
}

}  // namespace hourglass
