// Small data and the bridge from a flat buffer of parameters to the oracle's layers.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "host/train/network.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/device.hpp"
#include "hourglass/training.hpp"
#include "kernels/philox.hpp"
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

/// W of a layer, whichever way round it lies.
inline oracle::Matrix64 oracle_weights(const LayerOffsets& at,
                                       const std::vector<double>& parameters) {
  const auto first = parameters.begin() + at.weights;
  const std::vector<double> values(first, first + at.fan_in * at.fan_out);
  if (!at.transposed) return {at.fan_in, at.fan_out, values};
  oracle::Matrix64 weights(at.fan_in, at.fan_out);
  for (std::int64_t i = 0; i < at.fan_in; ++i) {
    for (std::int64_t j = 0; j < at.fan_out; ++j)
      weights(i, j) = values[static_cast<std::size_t>(j * at.fan_in + i)];
  }
  return weights;
}

inline std::vector<oracle::DenseLayer> oracle_layers(const AutoencoderSpec& spec,
                                                     const std::vector<double>& parameters) {
  std::vector<oracle::DenseLayer> layers;
  const auto offsets = layer_offsets(spec);
  for (std::size_t l = 0; l < offsets.size(); ++l) {
    const LayerOffsets& at = offsets[l];
    const auto bias = parameters.begin() + at.bias;
    layers.push_back({oracle_weights(at, parameters), std::vector<double>(bias, bias + at.fan_out),
                      l + 1 == offsets.size() ? spec.output_activation : spec.activation_of(l)});
  }
  return layers;
}

/// The gradient as one flat buffer: those of shared weights add up.
inline std::vector<double> flatten(const AutoencoderSpec& spec,
                                   const std::vector<oracle::DenseLayer>& layers) {
  std::vector<double> flat(static_cast<std::size_t>(spec.parameter_count()), 0.0);
  const auto offsets = layer_offsets(spec);
  for (std::size_t l = 0; l < offsets.size(); ++l) {
    const LayerOffsets& at = offsets[l];
    for (std::int64_t i = 0; i < at.fan_in; ++i) {
      for (std::int64_t j = 0; j < at.fan_out; ++j) {
        const std::int64_t place = at.transposed ? j * at.fan_in + i : i * at.fan_out + j;
        flat[static_cast<std::size_t>(at.weights + place)] += layers[l].weights(i, j);
      }
    }
    for (std::int64_t j = 0; j < at.fan_out; ++j) {
      flat[static_cast<std::size_t>(at.bias + j)] += layers[l].bias[static_cast<std::size_t>(j)];
    }
  }
  return flat;
}

/// Everything that is differentiated, and its gradient in the flat buffer's order.
struct Differentiated {
  double reconstruction = 0.0;
  double penalty = 0.0;
  std::vector<double> gradient;
};

/// What `spec` and `objective` minimise on a batch of `rows`, but for the squares of the weights.
inline oracle::Objective oracle_objective(const AutoencoderSpec& spec, const Objective& objective,
                                          std::int64_t rows) {
  const Sparsity& sparsity = objective.sparsity;
  oracle::Objective result;
  result.loss =
      spec.loss == Loss::bce ? oracle::ReconstructionLoss::bce : oracle::ReconstructionLoss::mse;
  result.bce_clip = spec.bce_clip;
  result.l1 = static_cast<double>(sparsity.l1) +
              static_cast<double>(sparsity.l1_sum) * static_cast<double>(rows);
  if (sparsity.kl != 0.0f) {
    result.kl_beta = static_cast<double>(sparsity.kl);
    result.kl_rho = static_cast<double>(sparsity.rho);
  }
  result.contractive = static_cast<double>(objective.contractive);
  return result;
}

inline oracle::Evaluation oracle_evaluate(const AutoencoderSpec& spec,
                                          const std::vector<double>& parameters,
                                          const oracle::Matrix64& inputs,
                                          const oracle::Matrix64& targets,
                                          const Objective& objective = {}) {
  return oracle::evaluate(oracle_layers(spec, parameters),
                          static_cast<std::int64_t>(spec.hidden.size()), inputs, targets,
                          oracle_objective(spec, objective, inputs.rows));
}

/// `inputs` are what the encoder sees, `targets` what the loss compares with.
inline Differentiated oracle_differentiate(const AutoencoderSpec& spec,
                                           const std::vector<double>& parameters,
                                           const oracle::Matrix64& inputs,
                                           const oracle::Matrix64& targets,
                                           const Objective& objective) {
  const oracle::Evaluation e = oracle_evaluate(spec, parameters, inputs, targets, objective);
  Differentiated result{e.reconstruction, e.penalty, flatten(spec, e.gradient)};
  const auto l2 = static_cast<double>(objective.l2);
  for (std::size_t i = 0; i < static_cast<std::size_t>(spec.weight_count()); ++i) {
    result.penalty += l2 / 2.0 * parameters[i] * parameters[i];
    result.gradient[i] += l2 * parameters[i];
  }
  return result;
}

/// The corrupted copy of a batch, as corrupt() of kernels/backend.hpp defines it.
inline oracle::Matrix64 corrupted(const oracle::Matrix64& clean, const Objective& objective,
                                  std::int64_t step) {
  oracle::Matrix64 noisy = clean;
  for (std::size_t i = 0; i < noisy.values.size(); ++i) {
    const Philox4 words =
        philox4x32(objective.seed, i / 4, static_cast<std::uint32_t>(RandomStream::noise),
                   static_cast<std::uint32_t>(step));
    const auto x = static_cast<float>(clean.values[i]);
    if (objective.noise.kind == Noise::Kind::mask) {
      noisy.values[i] =
          static_cast<double>(mask_noise(x, unit_uniform(words.v[i % 4]), objective.noise.amount));
    } else if (objective.noise.kind == Noise::Kind::gaussian) {
      const std::size_t pair = i % 4 / 2 * 2;
      float normal[2];
      normal_pair(words.v[pair], words.v[pair + 1], normal[0], normal[1]);
      noisy.values[i] = static_cast<double>(
          gaussian_noise(x, normal[i % 2], objective.noise.amount, objective.noise_range));
    }
  }
  return noisy;
}

}  // namespace hourglass::testing_support
