#include "hourglass/autoencoder.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "host/train/features.hpp"
#include "host/train/network.hpp"
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

/// That rows of this kind can go through the model here.
void check_pass(Device& device, const Autoencoder& model, const RowSource& rows, ModelOutput output,
                std::optional<std::size_t> layer = std::nullopt) {
  check_parameters(model);
  if (rows.columns() != model.scaler.columns()) {
    throw InputError(fmt::format("{}: {} columns; expected {}, as the scaler was fitted on",
                                 rows.name(), rows.columns(), model.scaler.columns()));
  }
  model_memory(device.info(), model.spec, rows, output, layer).check(device);
}

/// Calls body(network, first, count) for blocks of rows, the scaled rows in the network's inputs.
template <class Body>
void for_inputs(Device& device, const Autoencoder& model, const RowSource& rows, Body&& body) {
  if (rows.rows() == 0) return;
  Backend& backend = device.backend();
  const std::int64_t block = std::min(block_rows(widest(model.spec)), rows.rows());
  Network network(backend, model.spec, model.parameters, block);
  const DeviceScaler scaler(backend, model.scaler, rows);
  network.expect_zeros(scaler.zero_row(backend));
  for_blocks(backend, rows, block, value_check(model.scaler.scaling),
             [&](std::int64_t first, std::int64_t count, FeatureView source) {
               scaler.gather(backend, source, nullptr, 0, network.inputs(count));
               body(network, first, count);
             });
}

void download_block(Backend& backend, ConstMat block, float* to) {
  backend.download(to, block.data, static_cast<std::size_t>(block.size()) * sizeof(float));
}

/// Hands `block` to the sink by way of `values`.
void pass_on(Backend& backend, ConstMat block, std::vector<float>& values, const RowSink& sink,
             std::int64_t first) {
  values.resize(static_cast<std::size_t>(block.size()));
  download_block(backend, block, values.data());
  sink(first, values);
}

double mean_loss(Device& device, const Autoencoder& model, const RowSource& rows, Loss loss) {
  if (rows.rows() == 0) {
    throw InputError(fmt::format("{}: no rows to compute a loss of", rows.name()));
  }
  check_pass(device, model, rows, ModelOutput::loss);
  Backend& backend = device.backend();
  const Range range(backend, "loss");
  Buffer<double> sum(backend, 1);
  sum.zero();
  for_inputs(device, model, rows, [&](Network& network, std::int64_t, std::int64_t count) {
    network.encode(count);
    network.decode(count);
    network.add_loss(loss, count, sum.data());
  });
  return sum.download().front() / static_cast<double>(rows.rows());
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

Matrix Autoencoder::encode(Device& device, const RowSource& rows) const {
  return activations(device, rows, spec.code_layer());
}

void Autoencoder::encode(Device& device, const RowSource& rows, const RowSink& codes) const {
  activations(device, rows, spec.code_layer(), codes);
}

Matrix Autoencoder::activations(Device& device, const RowSource& rows, std::size_t layer) const {
  check_pass(device, *this, rows, ModelOutput::codes, layer);
  const Range range(device.backend(), "encode");
  Matrix result(rows.rows(), spec.widths()[layer + 1]);
  for_inputs(device, *this, rows, [&](Network& network, std::int64_t first, std::int64_t count) {
    download_block(device.backend(), network.activations(layer, count), result.row(first).data());
  });
  return result;
}

void Autoencoder::activations(Device& device, const RowSource& rows, std::size_t layer,
                              const RowSink& sink) const {
  check_pass(device, *this, rows, ModelOutput::code_blocks, layer);
  const Range range(device.backend(), "encode");
  std::vector<float> block;
  for_inputs(device, *this, rows, [&](Network& network, std::int64_t first, std::int64_t count) {
    pass_on(device.backend(), network.activations(layer, count), block, sink, first);
  });
}

Matrix Autoencoder::reconstruct(Device& device, const RowSource& rows) const {
  check_pass(device, *this, rows, ModelOutput::reconstructions);
  const Range range(device.backend(), "reconstruct");
  Matrix reconstructions(rows.rows(), spec.inputs);
  for_inputs(device, *this, rows, [&](Network& network, std::int64_t first, std::int64_t count) {
    network.encode(count);
    network.decode(count);
    download_block(device.backend(), network.reconstruct(count), reconstructions.row(first).data());
  });
  return reconstructions;
}

ReconstructionFigures Autoencoder::reconstruct(Device& device, const RowSource& rows,
                                               const RowSink& reconstructions) const {
  check_pass(device, *this, rows, ModelOutput::reconstruction_blocks);
  Backend& backend = device.backend();
  const Range range(backend, "reconstruct");
  Buffer<double> sums(backend, 2);
  sums.zero();
  std::vector<float> block;
  for_inputs(device, *this, rows, [&](Network& network, std::int64_t first, std::int64_t count) {
    // Each of the three spends the last layer's products.
    network.encode(count);
    network.decode(count);
    network.add_loss(spec.loss, count, sums.data());
    network.decode(count);
    if (spec.loss != Loss::mse) {
      network.add_loss(Loss::mse, count, sums.data() + 1);
      network.decode(count);
    }
    pass_on(backend, network.reconstruct(count), block, reconstructions, first);
  });
  const std::vector<double> totals = sums.download();
  const auto all = static_cast<double>(rows.rows());
  return {totals[0] / all, totals[spec.loss == Loss::mse ? 0 : 1] / all};
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
    download_block(backend, network.reconstruct(count), reconstructions.row(first).data());
  }
  return reconstructions;
}

double Autoencoder::reconstruction_loss(Device& device, const RowSource& rows) const {
  return mean_loss(device, *this, rows, spec.loss);
}

double Autoencoder::squared_error(Device& device, const RowSource& rows) const {
  return mean_loss(device, *this, rows, Loss::mse);
}

double Autoencoder::jacobian_norm(Device& device, const RowSource& rows) const {
  if (rows.rows() == 0) throw InputError(fmt::format("{}: no rows", rows.name()));
  TrainingOptions options;
  options.contractive = 1.0f;
  options.validate(spec);
  check_pass(device, *this, rows, ModelOutput::loss);
  Backend& backend = device.backend();
  const Range range(backend, "jacobian");
  Buffer<double> sum(backend, 1);
  sum.zero();
  const Objective objective = Objective::of(options, scaler.scaling);
  for_inputs(device, *this, rows, [&](Network& network, std::int64_t, std::int64_t count) {
    network.encode(count);
    network.add_penalty(objective, count, count, sum.data());
  });
  return sum.download().front() / static_cast<double>(rows.rows());
}

}  // namespace hourglass
