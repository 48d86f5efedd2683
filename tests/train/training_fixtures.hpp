// Small data and the bridge from a flat buffer of parameters to the oracle's layers.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "hourglass/autoencoder.hpp"
#include "hourglass/device.hpp"
#include "hourglass/training.hpp"
#include "tests/oracle/autoencoder.hpp"

namespace hourglass::testing_support {

/// The device that whole models are put to the test on: HOURGLASS_TEST_DEVICE, else the CPU.
inline Device device_under_test(int threads = 0) {
  const char* id = std::getenv("HOURGLASS_TEST_DEVICE");
  return Device::open(id != nullptr && *id != '\0' ? id : "cpu", threads);
}

inline Dataset random_floats(std::int64_t rows, std::int64_t columns, std::uint32_t seed,
                             float low = 0.0f, float high = 1.0f) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  Matrix matrix(rows, columns);
  for (float& value : matrix.values)
    value = uniform(generator);
  return Dataset::from_matrix("random", std::move(matrix));
}

inline Dataset random_bytes(std::int64_t rows, std::int64_t columns, std::uint32_t seed) {
  std::mt19937 generator(seed);
  Dataset data;
  data.name = "bytes";
  data.rows = rows;
  data.columns = columns;
  std::vector<std::uint8_t> values(static_cast<std::size_t>(rows * columns));
  for (std::uint8_t& value : values)
    value = static_cast<std::uint8_t>(generator() >> 24);
  data.values = std::move(values);
  return data;
}

/// Rows near a line through the unit cube: two numbers say all about them.
inline Dataset easy_data(std::int64_t rows, std::int64_t columns, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  Matrix matrix(rows, columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    const float at = uniform(generator);
    for (std::int64_t j = 0; j < columns; ++j) {
      matrix(i, j) = 0.1f + 0.8f * (j % 2 == 0 ? at : 1.0f - at);
    }
  }
  return Dataset::from_matrix("easy", std::move(matrix));
}

inline std::vector<oracle::DenseLayer> oracle_layers(const AutoencoderSpec& spec,
                                                     const std::vector<double>& parameters) {
  std::vector<oracle::DenseLayer> layers;
  const auto offsets = layer_offsets(spec);
  for (std::size_t l = 0; l < offsets.size(); ++l) {
    const LayerOffsets& at = offsets[l];
    const auto weights = parameters.begin() + at.weights;
    const auto bias = parameters.begin() + at.bias;
    layers.push_back({oracle::Matrix64(at.fan_in, at.fan_out, std::vector<double>(weights, bias)),
                      std::vector<double>(bias, bias + at.fan_out),
                      l + 1 == offsets.size() ? spec.output_activation : spec.activation_of(l)});
  }
  return layers;
}

inline std::vector<double> flatten(const std::vector<oracle::DenseLayer>& layers) {
  std::vector<double> flat;
  for (const oracle::DenseLayer& layer : layers) {
    flat.insert(flat.end(), layer.weights.values.begin(), layer.weights.values.end());
    flat.insert(flat.end(), layer.bias.begin(), layer.bias.end());
  }
  return flat;
}

inline oracle::Evaluation oracle_evaluate(const AutoencoderSpec& spec,
                                          const std::vector<double>& parameters,
                                          const oracle::Matrix64& inputs,
                                          const oracle::Objective& objective) {
  return oracle::evaluate(oracle_layers(spec, parameters),
                          static_cast<std::int64_t>(spec.hidden.size()), inputs, inputs, objective);
}

/// What Sparsity and the loss are in the oracle's words, for a batch of `rows`.
inline oracle::Objective oracle_objective(const AutoencoderSpec& spec, const Sparsity& sparsity,
                                          std::int64_t rows) {
  oracle::Objective objective;
  objective.loss =
      spec.loss == Loss::bce ? oracle::ReconstructionLoss::bce : oracle::ReconstructionLoss::mse;
  objective.bce_clip = spec.bce_clip;
  const auto weight = static_cast<double>(sparsity.weight);
  if (sparsity.kind == Sparsity::Kind::l1) objective.l1 = weight;
  if (sparsity.kind == Sparsity::Kind::l1_sum) objective.l1 = weight * static_cast<double>(rows);
  if (sparsity.kind == Sparsity::Kind::kl) {
    objective.kl_beta = weight;
    objective.kl_rho = static_cast<double>(sparsity.rho);
  }
  return objective;
}

}  // namespace hourglass::testing_support
