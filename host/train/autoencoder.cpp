#include "hourglass/autoencoder.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "host/train/features.hpp"
#include "host/train/network.hpp"
#include "host/train/spec.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/training.hpp"
#include "kernels/philox.hpp"

namespace hourglass {
namespace {

std::int64_t widest(const AutoencoderSpec& spec) {
  const std::vector<std::int64_t> widths = spec.widths();
  return *std::max_element(widths.begin(), widths.end());
}

void check_parameters(const Autoencoder& model) {
  model.spec.validate();
  if (std::cmp_not_equal(model.parameters.size(), model.spec.parameter_count())) {
    throw UsageError(fmt::format("the model has {} parameters; {} needs {}",
                                 model.parameters.size(), model.spec.name(),
                                 model.spec.parameter_count()));
  }
}

/// That `data` can go through the model here.
void check_pass(Device& device, const Autoencoder& model, const Dataset& data, ModelOutput output,
                std::optional<std::size_t> layer = std::nullopt) {
  check_parameters(model);
  model.scaler.check(data);
  model_memory(device.info(), model.spec, data, output, layer).check(device);
}

/// Calls body(network, first, count) for blocks of rows, the scaled rows in the network's inputs.
template <class Body>
void for_inputs(Device& device, const Autoencoder& model, const Dataset& data, Body&& body) {
  if (data.rows == 0) return;
  Backend& backend = device.backend();
  const std::int64_t rows = std::min(block_rows(widest(model.spec)), data.rows);
  Network network(backend, model.spec, model.parameters, rows);
  const DeviceScaler scaler(backend, model.scaler, data);
  for_blocks(backend, data, rows, [&](std::int64_t first, std::int64_t count, FeatureView source) {
    scaler.gather(backend, source, nullptr, 0, network.inputs(count));
    body(network, first, count);
  });
}

void download_rows(Backend& backend, ConstMat block, Matrix& to, std::int64_t first) {
  backend.download(to.row(first).data(), block.data,
                   static_cast<std::size_t>(block.size()) * sizeof(float));
}

double mean_loss(Device& device, const Autoencoder& model, const Dataset& data, Loss loss) {
  if (data.rows == 0) throw InputError(fmt::format("{}: no rows to compute a loss of", data.name));
  check_pass(device, model, data, ModelOutput::loss);
  Backend& backend = device.backend();
  const Range range(backend, "loss");
  Buffer<double> sum(backend, 1);
  sum.zero();
  for_inputs(device, model, data, [&](Network& network, std::int64_t, std::int64_t count) {
    network.encode(count);
    network.decode(count);
    network.add_loss(loss, count, sum.data());
  });
  return sum.download().front() / static_cast<double>(data.rows);
}

}  // namespace

Matrix corrupted(Device& device, const Matrix& scaled, const Noise& noise, Scaling scaling,
                 std::uint64_t seed) {
  if (noise.kind == Noise::Kind::none || scaled.rows == 0) return scaled;
  TrainingOptions options;
  options.noise = noise;
  options.validate({});
  Backend& backend = device.backend();
  const Buffer<float> clean(backend, std::span<const float>(scaled.values));
  Buffer<float> noisy(backend, clean.size());
  Buffer<std::int64_t> step(backend, 1);
  step.zero();
  backend.corrupt(clean.matrix(scaled.rows, scaled.columns), noise,
                  Objective::of(options, scaling).noise_range, seed, step.data(),
                  noisy.matrix(scaled.rows, scaled.columns));
  Matrix result(scaled.rows, scaled.columns);
  result.values = noisy.download();
  return result;
}

Autoencoder Autoencoder::initialise(const AutoencoderSpec& spec, Scaler scaler,
                                    std::uint64_t seed) {
  spec.validate();
  Autoencoder model;
  model.spec = spec;
  model.scaler = std::move(scaler);
  model.parameters.assign(static_cast<std::size_t>(spec.parameter_count()), 0.0f);
  const auto layers = layer_offsets(spec);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const LayerOffsets& at = layers[l];
    const auto limit =
        static_cast<float>(std::sqrt(6.0 / static_cast<double>(at.fan_in + at.fan_out)));
    if (at.transposed) continue;
    float* weights = model.parameters.data() + at.weights;
    const std::int64_t count = at.fan_in * at.fan_out;
    for (std::int64_t i = 0; i < count; i += 4) {
      const Philox4 words = philox4x32(seed, static_cast<std::uint64_t>(i / 4),
                                       static_cast<std::uint32_t>(RandomStream::weights),
                                       static_cast<std::uint32_t>(l));
      for (std::int64_t j = i; j < std::min(i + 4, count); ++j) {
        weights[j] = (2.0f * unit_uniform(words.v[j - i]) - 1.0f) * limit;
      }
    }
  }
  return model;
}

Matrix Autoencoder::encode(Device& device, const Dataset& data) const {
  return activations(device, data, spec.code_layer());
}

Matrix Autoencoder::activations(Device& device, const Dataset& data, std::size_t layer) const {
  spec.validate();
  if (layer >= spec.layers()) {
    throw UsageError(fmt::format("layer {}: {} has layers 0 to {}, the code is layer {}", layer,
                                 spec.name(), spec.layers() - 1, spec.code_layer()));
  }
  if (layer + 1 == spec.layers()) return reconstruct(device, data);
  check_pass(device, *this, data, ModelOutput::codes, layer);
  const Range range(device.backend(), "encode");
  Matrix result(data.rows, spec.widths()[layer + 1]);
  for_inputs(device, *this, data, [&](Network& network, std::int64_t first, std::int64_t count) {
    network.run_to(layer, count);
    download_rows(device.backend(), network.output(layer, count), result, first);
  });
  return result;
}

Matrix Autoencoder::reconstruct(Device& device, const Dataset& data) const {
  check_pass(device, *this, data, ModelOutput::reconstructions);
  const Range range(device.backend(), "reconstruct");
  Matrix reconstructions(data.rows, spec.inputs);
  for_inputs(device, *this, data, [&](Network& network, std::int64_t first, std::int64_t count) {
    network.encode(count);
    network.decode(count);
    download_rows(device.backend(), network.reconstruct(count), reconstructions, first);
  });
  return reconstructions;
}

Matrix Autoencoder::decode(Device& device, const Matrix& codes) const {
  check_parameters(*this);
  if (codes.columns != spec.code_size()) {
    throw InputError(fmt::format("codes: {} columns; the code of {} has {}", codes.columns,
                                 spec.name(), spec.code_size()));
  }
  model_memory(device.info(), spec, {codes.rows, spec.inputs}, ModelOutput::reconstructions)
      .check(device);
  Matrix reconstructions(codes.rows, spec.inputs);
  if (codes.rows == 0) return reconstructions;
  Backend& backend = device.backend();
  const Range range(backend, "decode");
  const std::int64_t rows = std::min(block_rows(widest(spec)), codes.rows);
  Network network(backend, spec, parameters, rows);
  for (std::int64_t first = 0; first < codes.rows; first += rows) {
    const std::int64_t count = std::min(rows, codes.rows - first);
    backend.upload(network.codes(count).data, codes.row(first).data(),
                   static_cast<std::size_t>(count * codes.columns) * sizeof(float));
    network.decode(count);
    download_rows(backend, network.reconstruct(count), reconstructions, first);
  }
  return reconstructions;
}

double Autoencoder::reconstruction_loss(Device& device, const Dataset& data) const {
  return mean_loss(device, *this, data, spec.loss);
}

double Autoencoder::squared_error(Device& device, const Dataset& data) const {
  return mean_loss(device, *this, data, Loss::mse);
}

double Autoencoder::jacobian_norm(Device& device, const Dataset& data) const {
  if (data.rows == 0) throw InputError(fmt::format("{}: no rows", data.name));
  TrainingOptions options;
  options.contractive = 1.0f;
  options.validate(spec);
  check_pass(device, *this, data, ModelOutput::loss);
  Backend& backend = device.backend();
  const Range range(backend, "jacobian");
  Buffer<double> sum(backend, 1);
  sum.zero();
  const Objective objective = Objective::of(options, scaler.scaling);
  for_inputs(device, *this, data, [&](Network& network, std::int64_t, std::int64_t count) {
    network.encode(count);
    network.add_penalty(objective, count, count, sum.data());
  });
  return sum.download().front() / static_cast<double>(data.rows);
}

}  // namespace hourglass
