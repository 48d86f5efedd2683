#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/train/features.hpp"
#include "host/train/network.hpp"
#include "host/train/permutation.hpp"
#include "host/train/sparsity.hpp"
#include "host/train/spec.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/training.hpp"

namespace hourglass {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_data(const Autoencoder& model, const Dataset& data) {
  if (data.rows < 1) throw InputError(fmt::format("{}: no rows", data.name));
  if (data.rows > std::numeric_limits<std::int32_t>::max()) {
    throw InputError(
        fmt::format("{}: {} rows; at most 2^31 - 1 can be trained on", data.name, data.rows));
  }
  model.scaler.check(data);
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100.0 * share);
}

/// The output is a sigmoid's, so targets outside [0, 1] are out of its reach.
void warn_of_range(const Autoencoder& model, const Dataset& data, const TrainingOptions& options) {
  if (!options.warn || model.spec.output_activation != Activation::sigmoid ||
      model.scaler.scaling == Scaling::unit) {
    return;
  }
  const ScaledRange range = scaled_range(model.scaler, data);
  if (range.minimum >= 0.0 && range.maximum <= 1.0) return;
  const std::string targets =
      fmt::format("{} of the targets lie below 0 and {} above 1 (scaling {}, {:.4g} to {:.4g})",
                  percent(range.below_zero), percent(range.above_one),
                  name_of(model.scaler.scaling), range.minimum, range.maximum);
  if (model.spec.loss == Loss::mse) {
    options.warn(fmt::format(
        "{}: a sigmoid output cannot reach them; use a linear output activation or scaling unit",
        targets));
  } else if (model.spec.bce_clip > 0.0f) {
    options.warn(fmt::format(
        "{}: binary cross-entropy has no minimum for them, goes below 0 and measures no distance; "
        "only the clip of the sigmoid keeps training finite. Use scaling unit, or loss mse",
        targets));
  } else {
    options.warn(fmt::format(
        "{}: binary cross-entropy has no minimum for them, goes below 0 and measures no distance; "
        "without the clip it runs away to minus infinity. Use scaling unit, or loss mse",
        targets));
  }
}

/// One run of fit(): the data on the device, the network and the figures.
class Training {
 public:
  Training(Device& device, Autoencoder& model, const Dataset& data, const TrainingOptions& options,
           const Dataset* validation)
      : backend_(device.backend()),
        model_(model),
        options_(options),
        rows_(data.rows),
        batch_(std::min(options.batch, data.rows)),
        steps_((data.rows + batch_ - 1) / batch_),
        source_(backend_, data, data.rows),
        view_(source_.load(data, 0, data.rows)),
        scaler_(backend_, model.scaler, data),
        shuffle_(data.rows),
        order_(backend_, data.rows),
        figures_(backend_, 2 * steps_),
        validation_(validation),
        validation_rows_(
            validation == nullptr ? 0 : std::min(block_rows(data.columns), validation->rows)),
        network_(backend_, model.spec, model.parameters, std::max(batch_, validation_rows_), batch_,
                 options.learning_rate) {
    if (validation != nullptr) {
      validation_source_ = FeatureBuffer(backend_, *validation, validation->rows);
      validation_view_ = validation_source_->load(*validation, 0, validation->rows);
      validation_scaler_.emplace(backend_, model.scaler, *validation);
      validation_figures_ = Buffer<double>(backend_, 2);
    }
  }

  History run() {
    History history;
    start_ = Clock::now();
    last_call_ = start_;
    for (int epoch = 1; epoch <= options_.epochs; ++epoch) {
      const Range range(backend_, "epoch");
      const auto epoch_start = Clock::now();
      shuffle_.permute(options_.seed, static_cast<std::uint32_t>(epoch - 1));
      order_.upload(shuffle_.order());
      figures_.zero();
      network_.remember();
      for (std::int64_t step = 0; step < steps_; ++step) {
        run_step(step);
        if (step + 1 < steps_ && !report(epoch, step + 1, nullptr)) interrupt(epoch, step + 1);
      }
      EpochFigures figures = read_figures(epoch);
      if (validation_ != nullptr) validate(epoch, figures);
      figures.seconds = seconds_since(epoch_start);
      history.epochs.push_back(figures);
      if (!report(epoch, steps_, &figures) && epoch < options_.epochs) interrupt(epoch, steps_);
    }
    auto parameters = network_.parameters().download();
    if (const auto layer = first_not_finite(parameters)) {
      throw NumericsError(
          fmt::format("epoch {}, step {}: the parameters of {} stopped being finite; try a smaller "
                      "learning rate",
                      options_.epochs, steps_, layer_name(model_.spec, *layer)));
    }
    model_.parameters = std::move(parameters);
    return history;
  }

 private:
  std::int64_t rows_of(std::int64_t step) const { return std::min(batch_, rows_ - step * batch_); }
  void gather(std::int64_t step) {
    scaler_.gather(backend_, view_, order_.data() + step * batch_, 0,
                   network_.inputs(rows_of(step)));
  }
  void run_step(std::int64_t step) {
    const Range range(backend_, "step");
    gather(step);
    network_.differentiate(options_.sparsity, rows_of(step), figures_.data() + step,
                           figures_.data() + steps_ + step);
    network_.update(options_.adam);
  }

  /// False where training is to end.
  bool report(int epoch, std::int64_t step, const EpochFigures* finished) {
    constexpr auto pause = std::chrono::milliseconds(100);
    if (!options_.progress) return true;
    if (finished == nullptr && Clock::now() - last_call_ < pause) return true;
    last_call_ = Clock::now();
    TrainingProgress progress;
    progress.epoch = epoch;
    progress.epochs = options_.epochs;
    progress.step = step;
    progress.steps = steps_;
    progress.seconds = seconds_since(start_);
    progress.finished = finished;
    return options_.progress(progress);
  }

  [[noreturn]] void interrupt(int epoch, std::int64_t step) {
    model_.parameters = network_.parameters().download();
    throw Interrupted(fmt::format("training interrupted in epoch {} of {}, after step {} of {}",
                                  epoch, options_.epochs, step, steps_));
  }

  EpochFigures read_figures(int epoch) {
    const std::vector<double> values = figures_.download();
    const auto penalties = values.begin() + steps_;
    for (std::int64_t step = 0; step < steps_; ++step) {
      const auto at = static_cast<std::size_t>(step);
      if (!std::isfinite(values[at])) fail(epoch, step, "loss", values[at]);
      if (!std::isfinite(penalties[step])) fail(epoch, step, "penalty", penalties[step]);
    }
    const auto rows = static_cast<double>(rows_);
    EpochFigures figures;
    figures.reconstruction = std::accumulate(values.begin(), penalties, 0.0) / rows;
    figures.penalty = std::accumulate(penalties, values.end(), 0.0) / rows;
    figures.loss = figures.reconstruction + figures.penalty;
    figures.validation_loss = std::numeric_limits<double>::quiet_NaN();
    figures.validation_reconstruction = std::numeric_limits<double>::quiet_NaN();
    return figures;
  }

  void validate(int epoch, EpochFigures& figures) {
    const Range range(backend_, "evaluate");
    validation_figures_.zero();
    double* loss = validation_figures_.data();
    for (std::int64_t first = 0; first < validation_->rows; first += validation_rows_) {
      const std::int64_t rows = std::min(validation_rows_, validation_->rows - first);
      validation_scaler_->gather(backend_, validation_view_, nullptr, first, network_.inputs(rows));
      network_.encode(rows);
      network_.decode(rows);
      network_.add_penalty(options_.sparsity, rows, batch_, loss + 1);
      network_.add_loss(model_.spec.loss, rows, loss);
    }
    const std::vector<double> sums = validation_figures_.download();
    const auto rows = static_cast<double>(validation_->rows);
    figures.validation_reconstruction = sums[0] / rows;
    figures.validation_loss = (sums[0] + sums[1]) / rows;
    if (std::isfinite(figures.validation_loss)) return;
    // With finite parameters only the validation rows themselves can be the cause.
    const auto layer = first_not_finite(network_.parameters().download());
    throw NumericsError(fmt::format(
        "epoch {}, after its last step {}: the validation loss on {} is {}; {}", epoch, steps_,
        validation_->name, figures.validation_loss,
        layer ? fmt::format("the first layer whose parameters are not finite is {}; try a smaller "
                            "learning rate",
                            layer_name(model_.spec, *layer))
              : "every parameter is finite, so its values are too large for float32"));
  }

  /// The first layer with a parameter that is NaN or infinite.
  std::optional<std::size_t> first_not_finite(const std::vector<float>& parameters) const {
    const auto& layers = network_.layers();
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const auto first = parameters.begin() + layers[l].weights;
      const auto last = parameters.begin() + layers[l].bias + layers[l].fan_out;
      if (!std::all_of(first, last, [](float p) { return std::isfinite(p); })) return l;
    }
    return std::nullopt;
  }

  /// By the end of an epoch NaN is everywhere. To tell where it began the epoch is run again up to
  /// the step that failed, which gives the same bits, and that step's forward pass is looked at
  /// layer by layer.
  [[noreturn]] void fail(int epoch, std::int64_t step, const char* what, double value) {
    network_.restore();
    for (std::int64_t done = 0; done < step; ++done)
      run_step(done);
    const std::string where =
        fmt::format("epoch {}, step {}: the {} is {}", epoch, step + 1, what, value);
    constexpr const char* advice = "try a smaller learning rate";
    if (const auto layer = first_not_finite(network_.parameters().download())) {
      throw NumericsError(
          fmt::format("{}; the first layer whose parameters are not finite is {}, since the step "
                      "before; {}",
                      where, layer_name(model_.spec, *layer), advice));
    }
    const std::int64_t rows = rows_of(step);
    gather(step);
    network_.encode(rows);
    network_.decode(rows);
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

  Backend& backend_;
  Autoencoder& model_;
  const TrainingOptions& options_;
  std::int64_t rows_;
  std::int64_t batch_;
  std::int64_t steps_;
  FeatureBuffer source_;
  FeatureView view_;
  DeviceScaler scaler_;
  Shuffle shuffle_;
  Buffer<std::int32_t> order_;
  Buffer<double> figures_;  // the loss of each step, then its penalty, weighted by the rows
  const Dataset* validation_;
  std::int64_t validation_rows_;
  TrainableNetwork network_;
  std::optional<FeatureBuffer> validation_source_;
  FeatureView validation_view_;
  std::optional<DeviceScaler> validation_scaler_;
  Buffer<double> validation_figures_;
  Clock::time_point start_;
  Clock::time_point last_call_;
};

}  // namespace

void TrainingOptions::validate(const AutoencoderSpec& spec) const {
  if (epochs < 1) {
    throw UsageError(fmt::format("epochs {}: expected 1 or more", epochs));
  }
  if (batch < 1) {
    throw UsageError(fmt::format("batch {}: expected 1 or more", batch));
  }
  if (!(learning_rate > 0.0) || !std::isfinite(learning_rate)) {
    throw UsageError(
        fmt::format("learning rate {}: expected a finite number above 0", learning_rate));
  }
  if (!(adam.beta1 >= 0.0f && adam.beta1 < 1.0f && adam.beta2 >= 0.0f && adam.beta2 < 1.0f &&
        adam.epsilon > 0.0f && std::isfinite(adam.epsilon))) {
    throw UsageError(fmt::format(
        "Adam's beta1 {}, beta2 {}, epsilon {}: expected betas in [0, 1) and an epsilon above 0",
        adam.beta1, adam.beta2, adam.epsilon));
  }
  check_sparsity(sparsity, spec, force);
}

History fit(Device& device, Autoencoder& model, const Dataset& data, const TrainingOptions& options,
            const Dataset* validation) {
  model.spec.validate();
  options.validate(model.spec);
  if (std::cmp_not_equal(model.parameters.size(), model.spec.parameter_count()) ||
      model.scaler.columns() != model.spec.inputs) {
    throw UsageError(
        fmt::format("the model has {} parameters and a scaler of {} columns; {} needs "
                    "{} and {}",
                    model.parameters.size(), model.scaler.columns(), model.spec.name(),
                    model.spec.parameter_count(), model.spec.inputs));
  }
  check_data(model, data);
  if (validation != nullptr) check_data(model, *validation);
  std::optional<DataShape> validation_shape;
  if (validation != nullptr) validation_shape = *validation;
  training_memory(device.info(), model.spec, data, options.batch, validation_shape).check(device);
  warn_of_range(model, data, options);
  const Range range(device.backend(), "train");
  return Training(device, model, data, options, validation).run();
}

}  // namespace hourglass
