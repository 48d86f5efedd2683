#include <fmt/core.h>

#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "host/train/training_run.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/training.hpp"
#include "kernels/backend.hpp"

namespace hourglass {
namespace {

void check_data(const Autoencoder& model, const RowSource& data) {
  if (data.rows() < 1) throw InputError(fmt::format("{}: no rows", data.name()));
  if (data.rows() > std::numeric_limits<std::int32_t>::max()) {
    throw InputError(
        fmt::format("{}: {} rows; at most 2^31 - 1 can be trained on", data.name(), data.rows()));
  }
  model.scaler.check(data);
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100.0 * share);
}

/// The output is a sigmoid's, so targets outside [0, 1] are out of its reach.
void warn_of_range(const Autoencoder& model, const RowSource& data,
                   const TrainingOptions& options) {
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

}  // namespace

History fit(Device& device, Autoencoder& model, const RowSource& data,
            const TrainingOptions& options, const std::optional<RowSource>& validation) {
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
  if (options.patience > 0 && !validation) {
    throw UsageError(fmt::format(
        "patience {}: early stopping watches the validation loss, and there are no validation rows",
        options.patience));
  }
  if (options.precision == Precision::tf32 && !device.backend().info().tf32) {
    throw UsageError(fmt::format(
        "precision tf32: {} has no such products; expected float32, or a GPU of compute "
        "capability 8.0 or above",
        device.info().name));
  }
  check_data(model, data);
  if (validation) check_data(model, *validation);
  DeviceInfo info = device.info();
  info.free_bytes = device.backend().info().free_bytes;
  std::optional<DataShape> validation_shape;
  if (validation) validation_shape = *validation;
  training_memory(info, model.spec, data, options, validation_shape).check(device);
  const bool streamed = training_streams(info, model.spec, data, options, validation_shape);
  warn_of_range(model, data, options);
  const Range range(device.backend(), "train");
  return TrainingRun(device, model, data, options, validation,
                     streamed ? Batches::Residence::streamed : Batches::Residence::device)
      .run();
}

}  // namespace hourglass
