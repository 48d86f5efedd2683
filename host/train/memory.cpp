// What training and the passes of a trained model take. Each plan has the buffers of the code that
// it is made for, in the same order: fit.cpp, network.cpp, autoencoder.cpp, scaler.cpp.
#include "host/memory.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/train/batches.hpp"
#include "host/train/features.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr const char* activations = "activations";
constexpr const char* parameters = "parameters";

std::int64_t widest(const AutoencoderSpec& spec) {
  const std::vector<std::int64_t> widths = spec.widths();
  return *std::max_element(widths.begin(), widths.end());
}

std::int64_t widest_hidden(const AutoencoderSpec& spec) {
  const std::vector<std::int64_t> widths = spec.widths();
  return *std::max_element(widths.begin() + 1, widths.end() - 1);
}

/// Offsets and factors on the device.
std::uint64_t scaler_bytes(std::int64_t columns) {
  return bytes_of<float>({2, columns});
}

/// The same and what their zeros become.
std::uint64_t network_scaler_bytes(std::int64_t columns) {
  return scaler_bytes(columns) + bytes_of<float>(columns);
}

/// The workspace of a pass of `rows` rows through every layer, and where `trains` back.
void run_layers(MemoryTimeline& memory, const AutoencoderSpec& spec, std::int64_t rows,
                bool trains) {
  const WorkspaceModel& operations = memory.operations();
  const std::vector<std::int64_t> widths = spec.widths();
  memory.run(operations.batch(rows, widest(spec)));
  memory.run(operations.sparse_gemm(rows, widths[0], widths[1]));
  for (std::size_t l = 1; l < spec.layers(); ++l) {
    if (trains || spec.tied) memory.run(operations.gemm_transposed(widths[l], widths[l + 1]));
  }
  if (trains) memory.run(operations.output_layer(rows, widths.end()[-2], widths.back()));
}

/// All rows in a FeatureBuffer: none, where the device works in the host's memory and they are
/// there.
std::uint64_t resident_bytes(const MemoryTimeline& memory, const DataShape& data) {
  return memory.on_host() && !data.in_file ? 0 : bytes_of(data);
}

/// What for_blocks() takes for blocks of `rows` rows.
std::uint64_t block_bytes(const MemoryTimeline& memory, const DataShape& data, std::int64_t rows) {
  const DataShape block(std::min(rows, data.rows), data.columns, data.bytes, data.in_file);
  const std::uint64_t resident = resident_bytes(memory, block);
  return data.in_file && memory.on_host() ? buffers_of_blocks * resident : resident;
}

/// The batch, every layer's output and, where the derivative wants them, its products.
std::uint64_t activation_bytes(const AutoencoderSpec& spec, std::int64_t rows) {
  std::uint64_t bytes = bytes_of<float>({rows, spec.inputs}) + bytes_of<float>(spec.code_size());
  const std::vector<std::int64_t> widths = spec.widths();
  for (std::size_t l = 0; l < spec.layers(); ++l) {
    const int buffers = derivative_from_output(spec.activation_of(l)) ? 1 : 2;
    bytes += bytes_of<float>({buffers, rows, widths[l + 1]});
  }
  return bytes;
}

}  // namespace

namespace {

/// What Batches takes for the rows.
std::uint64_t batches_bytes(const MemoryTimeline& memory, const DataShape& data, std::int64_t batch,
                            bool streamed) {
  if (!streamed) return resident_bytes(memory, data);
  // Buffers of the stream lie in the host's memory, one more batch on a device that has its own.
  const DataShape rows(std::min(batch, data.rows), data.columns, data.bytes, true);
  return (memory.on_host() ? Batches::stream_buffers : 1) * bytes_of(rows);
}

MemoryPlan training_plan(const DeviceInfo& device, const AutoencoderSpec& spec,
                         const DataShape& data, const TrainingOptions& options,
                         const std::optional<DataShape>& validation, bool streamed) {
  spec.validate();
  MemoryTimeline memory(device);
  const std::int64_t rows = data.rows;
  const std::int64_t batch_rows = std::min(options.batch, rows);
  const std::int64_t steps = batch_rows > 0 ? (rows + batch_rows - 1) / batch_rows : 0;
  const std::int64_t count = spec.parameter_count();
  const std::int64_t validation_rows =
      validation ? std::min(block_rows(data.columns), validation->rows) : 0;
  const std::int64_t moment_count = options.optimiser == Optimiser::sgd ? 1 : 2;

  const auto source = memory.hold("data", batches_bytes(memory, data, batch_rows, streamed));
  const auto scaler = memory.hold("data", network_scaler_bytes(data.columns));
  // Of a stream two lists of 16 bytes a row that are sorted from one into the other, and the order.
  const auto shuffle =
      memory.hold_on_host("order of the rows", streamed ? bytes_of<char>({36, rows}) : 0);
  const auto order = memory.hold("order of the rows", streamed ? 0 : bytes_of<std::int32_t>(rows));
  if (!streamed) memory.run(memory.operations().shuffle_rows(rows));
  const auto figures = memory.hold("figures", bytes_of<double>({2, steps + 1}));
  const auto model = memory.hold(parameters, bytes_of<float>(count));
  const auto layers =
      memory.hold(activations, activation_bytes(spec, std::max(batch_rows, validation_rows)));
  const auto gradients = memory.hold("gradients", bytes_of<float>(count));
  const auto moments = memory.hold("moments", bytes_of<float>({moment_count, count}));
  const auto kept =
      memory.hold("copy from the epoch's start", bytes_of<float>({1 + moment_count, count}));
  const auto deltas =
      memory.hold(activations, bytes_of<float>({2, batch_rows, widest_hidden(spec)}));
  const auto noisy = memory.hold(activations, options.noise.kind == Noise::Kind::none
                                                  ? 0
                                                  : bytes_of<float>({batch_rows, spec.inputs}));
  const auto best =
      memory.hold("best parameters", options.patience > 0 ? bytes_of<float>(count) : 0);
  MemoryTimeline::Held validation_source;
  if (validation) {
    validation_source = memory.hold("validation data",
                                    batches_bytes(memory, *validation, validation_rows, streamed) +
                                        scaler_bytes(validation->columns));
  }
  run_layers(memory, spec, std::max(batch_rows, validation_rows), true);
  if (options.contractive != 0.0f) {
    memory.run(memory.operations().contractive_penalty(std::max(batch_rows, validation_rows),
                                                       spec.inputs, spec.code_size()));
  }
  const auto downloaded_figures = memory.hold_on_host("figures", bytes_of<double>({2, steps}));
  // A checkpoint is put together on the host, each part once more in the file that is written.
  const std::int64_t in_checkpoint = 1 + moment_count + (options.patience > 0 ? 1 : 0);
  const auto result = memory.hold_on_host(
      parameters,
      bytes_of<float>({options.checkpoint.path.empty() ? 1 : 2 * in_checkpoint, count}));
  return memory.plan(fmt::format("training {} on {} rows in batches of {}", spec.name(),
                                 size_text(data), batch_rows),
                     "use a smaller batch, narrower layers or fewer rows");
}

}  // namespace

bool training_streams(const DeviceInfo& device, const AutoencoderSpec& spec, const DataShape& data,
                      const TrainingOptions& options, const std::optional<DataShape>& validation) {
  const auto bytes = [&](bool streamed) {
    return training_plan(device, spec, data, options, validation, streamed).total_bytes();
  };
  const std::uint64_t resident = bytes(false);
  const bool fits = (options.memory_bytes == 0 || resident <= options.memory_bytes) &&
                    (device.free_bytes == 0 || resident <= device.free_bytes);
  // Rows that lie where the device reads them, and a few that make one batch, gain nothing.
  return !fits && bytes(true) < resident;
}

MemoryPlan training_memory(const DeviceInfo& device, const AutoencoderSpec& spec,
                           const DataShape& data, const TrainingOptions& options,
                           const std::optional<DataShape>& validation) {
  const bool streamed = training_streams(device, spec, data, options, validation);
  MemoryPlan plan = training_plan(device, spec, data, options, validation, streamed);
  if (options.memory_bytes > 0 && plan.total_bytes() > options.memory_bytes) {
    throw UsageError(
        fmt::format("memory of {} bytes: {} needs {}, with its rows read batch by "
                    "batch",
                    options.memory_bytes, plan.work(), plan.needs()));
  }
  return plan;
}

MemoryPlan model_memory(const DeviceInfo& device, const AutoencoderSpec& spec,
                        const DataShape& data, ModelOutput output,
                        std::optional<std::size_t> layer) {
  spec.validate();
  MemoryTimeline memory(device);
  const std::int64_t rows = std::min(block_rows(widest(spec)), data.rows);
  const char* work = "the loss";
  MemoryTimeline::Held result;
  if (output == ModelOutput::codes || output == ModelOutput::code_blocks) {
    work = "codes";
    const std::size_t of = layer.value_or(spec.code_layer());
    if (of >= spec.layers()) {
      throw UsageError(fmt::format("layer {}: {} has layers 0 to {}, the code is layer {}", of,
                                   spec.name(), spec.layers() - 1, spec.code_layer()));
    }
    const std::int64_t held = output == ModelOutput::codes ? data.rows : rows;
    result = memory.hold_on_host(work, bytes_of<float>({held, spec.widths()[of + 1]}));
  } else if (output != ModelOutput::loss) {
    work = "reconstructions";
    const std::int64_t held = output == ModelOutput::reconstructions ? data.rows : rows;
    result = memory.hold_on_host(work, bytes_of<float>({held, spec.inputs}));
  }
  const auto model = memory.hold(parameters, bytes_of<float>(spec.parameter_count()));
  const auto layers = memory.hold(activations, activation_bytes(spec, rows));
  const auto scaler = memory.hold("data", network_scaler_bytes(data.columns));
  const auto block = memory.hold("data", block_bytes(memory, data, rows));
  run_layers(memory, spec, rows, false);
  return memory.plan(fmt::format("{} of {} rows by {}", work, size_text(data), spec.name()),
                     output == ModelOutput::codes || output == ModelOutput::reconstructions
                         ? "use fewer rows at a time"
                         : "use a narrower model");
}

MemoryPlan scaler_fit_memory(const DeviceInfo& device, const DataShape& data, Scaling scaling) {
  MemoryTimeline memory(device);
  if (scaling == Scaling::standard) {
    const std::int64_t rows = std::min(statistics_rows(data.columns), data.rows);
    const auto statistics = memory.hold("statistics", bytes_of<double>({2, data.columns}));
    const auto moments = memory.hold_on_host("statistics", bytes_of<double>({2, data.columns}));
    const auto block = memory.hold("data", block_bytes(memory, data, rows));
    memory.run(memory.operations().column_statistics(rows, data.columns));
    const auto downloaded = memory.hold_on_host("statistics", bytes_of<double>({2, data.columns}));
  } else if (data.in_file && !data.bytes) {
    const std::int64_t rows = std::min(block_rows(data.columns), data.rows);
    const auto checked = memory.hold_on_host("data", bytes_of<float>({rows, data.columns}));
  }
  return memory.plan(fmt::format("the scaling of {} rows", size_text(data)), "use fewer columns");
}

MemoryPlan scaler_transform_memory(const DeviceInfo& device, const DataShape& data) {
  MemoryTimeline memory(device);
  const std::int64_t rows = std::min(block_rows(data.columns), data.rows);
  const auto scaler = memory.hold("data", scaler_bytes(data.columns));
  const auto scaled = memory.hold("data", bytes_of<float>({rows, data.columns}));
  const auto result =
      memory.hold_on_host("scaled rows", bytes_of<float>({data.rows, data.columns}));
  const auto block = memory.hold("data", block_bytes(memory, data, rows));
  return memory.plan(fmt::format("{} scaled rows", size_text(data)), "use fewer rows");
}

}  // namespace hourglass
