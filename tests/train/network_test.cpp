// The gradient of a whole model: against the float64 oracle, and the oracle's against finite
// differences.
#include "host/train/network.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::corrupted;
using testing_support::device_under_test;
using testing_support::oracle_differentiate;
using testing_support::oracle_evaluate;

struct Case {
  AutoencoderSpec spec;
  Objective objective;
  std::int64_t rows = 13;
};

std::string describe(const Case& c) {
  return c.spec.to_json() + " " + c.objective.sparsity.name() + " contractive " +
         std::to_string(c.objective.contractive) + " l2 " + std::to_string(c.objective.l2) + " " +
         name_of(c.objective.noise) + " rows " + std::to_string(c.rows);
}

double norm(const std::vector<double>& x) {
  double sum = 0.0;
  for (const double value : x)
    sum += value * value;
  return std::sqrt(sum);
}

void check_gradient(const Case& c) {
  SCOPED_TRACE(describe(c));
  const Dataset data = testing_support::random_floats(c.rows, c.spec.inputs, 3);
  const auto& values = std::get<1>(data.values);
  Autoencoder model = Autoencoder::initialise(c.spec, {}, 5);
  // Biases of a trained model are not zero.
  std::mt19937 generator(9);
  std::uniform_real_distribution<float> uniform(-0.3f, 0.3f);
  for (const LayerOffsets& layer : layer_offsets(c.spec)) {
    for (std::int64_t i = layer.bias; i < layer.bias + layer.fan_out; ++i) {
      model.parameters[static_cast<std::size_t>(i)] = uniform(generator);
    }
  }

  Device device = device_under_test(2);
  Backend& backend = device.backend();
  // More room than rows: nothing may depend on it.
  TrainableNetwork network(backend, c.spec, model.parameters, c.rows + 5, c.rows + 3, c.objective,
                           {});
  Buffer<double> figures(backend, 2);
  figures.zero();
  const Mat inputs = network.inputs(c.rows);
  backend.upload(inputs.data, values.data(), values.size() * sizeof(float));
  network.differentiate(c.rows, figures.data(), figures.data() + 1);
  const auto sums = figures.download();
  const auto gradients = network.gradients().download();

  const std::vector<double> parameters(model.parameters.begin(), model.parameters.end());
  const oracle::Matrix64 x(c.rows, c.spec.inputs, values);
  const oracle::Matrix64 noisy = corrupted(x, c.objective, 0);
  const auto want = oracle_differentiate(c.spec, parameters, noisy, x, c.objective);
  const std::vector<double>& want_gradient = want.gradient;

  const auto rows = static_cast<double>(c.rows);
  EXPECT_NEAR(sums[0] / rows, want.reconstruction, 2e-6 * (1.0 + std::fabs(want.reconstruction)));
  EXPECT_NEAR(sums[1] / rows, want.penalty, 2e-6 * (1.0 + std::fabs(want.penalty)));
  ASSERT_EQ(gradients.size(), want_gradient.size());
  std::vector<double> difference(gradients.size());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    difference[i] = static_cast<double>(gradients[i]) - want_gradient[i];
  }
  EXPECT_LT(norm(difference), 5e-6 * norm(want_gradient) + 1e-9);

  const auto total = [&](std::size_t parameter, double step) {
    std::vector<double> moved = parameters;
    moved[parameter] += step;
    const auto e = oracle_differentiate(c.spec, moved, noisy, x, c.objective);
    return e.reconstruction + e.penalty;
  };
  constexpr double step = 1e-6;
  for (std::size_t i = 0; i < parameters.size(); i += 1 + parameters.size() / 17) {
    const double slope = (total(i, step) - total(i, -step)) / (2.0 * step);
    EXPECT_NEAR(want_gradient[i], slope, 1e-7 + 1e-5 * std::fabs(slope)) << "parameter " << i;
  }
}

AutoencoderSpec spec_of(std::vector<std::int64_t> hidden, Activation activation,
                        Activation code_activation) {
  AutoencoderSpec spec;
  spec.inputs = 11;
  spec.hidden = std::move(hidden);
  spec.activation = activation;
  spec.code_activation = code_activation;
  return spec;
}

TEST(NetworkGradient, EveryActivationAtEveryDepth) {
  for (const Activation f :
       {Activation::relu, Activation::leaky_relu, Activation::elu, Activation::selu,
        Activation::gelu, Activation::tanh, Activation::sigmoid, Activation::linear}) {
    for (const auto& hidden :
         std::vector<std::vector<std::int64_t>>{{5}, {7, 3}, {9, 6, 2}, {3, 17, 4, 1}}) {
      check_gradient({spec_of(hidden, f, f), {}});
      check_gradient({spec_of(hidden, f, Activation::sigmoid), {}});
    }
  }
}

TEST(NetworkGradient, EveryLoss) {
  for (const std::int64_t rows : {1, 2, 33}) {
    AutoencoderSpec spec = spec_of({6, 3}, Activation::tanh, Activation::relu);
    check_gradient({spec, {}, rows});
    spec.bce_clip = 0.0f;
    check_gradient({spec, {}, rows});
    spec.loss = Loss::mse;
    check_gradient({spec, {}, rows});
    spec.output_activation = Activation::linear;
    check_gradient({spec, {}, rows});
  }
}

TEST(NetworkGradient, EveryPenalty) {
  for (const char* text :
       {"l1:0.05", "l1sum:0.01", "kl:0.05:0.3", "l1:0.02,kl:0.1:0.2", "l1:0.03,l1sum:0.01"}) {
    for (const auto& hidden : std::vector<std::vector<std::int64_t>>{{6}, {8, 4}, {8, 6, 4}}) {
      for (const Activation f : {Activation::tanh, Activation::gelu}) {
        check_gradient(
            {spec_of(hidden, f, Activation::sigmoid), {.sparsity = Sparsity::parse(text)}});
      }
    }
  }
  for (const Activation code : {Activation::relu, Activation::gelu, Activation::tanh}) {
    check_gradient(
        {spec_of({8, 4}, Activation::relu, code), {.sparsity = Sparsity::parse("l1:0.05")}});
  }
}

TEST(NetworkGradient, ContractiveOfEveryCodeActivation) {
  for (const Activation f :
       {Activation::relu, Activation::leaky_relu, Activation::elu, Activation::selu,
        Activation::gelu, Activation::tanh, Activation::sigmoid, Activation::linear}) {
    for (const bool tied : {false, true}) {
      AutoencoderSpec spec = spec_of({6}, Activation::relu, f);
      spec.tied = tied;
      check_gradient({spec, {.contractive = 0.3f}});
    }
  }
  AutoencoderSpec spec = spec_of({6}, Activation::relu, Activation::sigmoid);
  spec.decoder = {5, 7};
  check_gradient(
      {spec,
       {.sparsity = Sparsity::parse("l1:0.02,kl:0.1:0.2"), .contractive = 0.2f, .l2 = 0.01f}});
}

TEST(NetworkGradient, WeightsInTheLossAndNoise) {
  for (const auto& hidden : std::vector<std::vector<std::int64_t>>{{6}, {8, 4}}) {
    const AutoencoderSpec spec = spec_of(hidden, Activation::tanh, Activation::sigmoid);
    check_gradient({spec, {.l2 = 0.05f}});
    check_gradient({spec, {.noise = {Noise::Kind::mask, 0.4f}, .seed = 3}});
    check_gradient({spec, {.noise = {Noise::Kind::gaussian, 0.5f}, .seed = 4}});
    check_gradient(
        {spec, {.noise = {Noise::Kind::gaussian, 0.5f}, .noise_range = {0.0f, 1.0f}, .seed = 5}});
  }
  check_gradient({spec_of({6}, Activation::tanh, Activation::sigmoid),
                  {.contractive = 0.2f, .noise = {Noise::Kind::mask, 0.3f}, .seed = 6}});
}

TEST(NetworkGradient, DecodersOfTheirOwnAndTiedOnes) {
  for (const Activation f : {Activation::tanh, Activation::gelu}) {
    for (const auto& hidden :
         std::vector<std::vector<std::int64_t>>{{5}, {7, 3}, {9, 6, 2}, {3, 17, 4, 1}}) {
      AutoencoderSpec spec = spec_of(hidden, f, f);
      spec.tied = true;
      check_gradient({spec, {}});
      check_gradient({spec, {.sparsity = Sparsity::parse("l1:0.05"), .l2 = 0.02f}});
      spec.tied = false;
      for (const auto& decoder : std::vector<std::vector<std::int64_t>>{{}, {4}, {2, 19, 5}}) {
        spec.decoder = decoder;
        check_gradient({spec, {}});
      }
    }
  }
}

TEST(Network, EncodeAndDecodeMatchTheOracle) {
  for (const Activation f : {Activation::relu, Activation::gelu}) {
    const AutoencoderSpec spec = spec_of({7, 3}, f, f);
    const Autoencoder model = Autoencoder::initialise(spec, {}, 2);
    const Dataset data = testing_support::random_floats(9, spec.inputs, 8);
    const auto& values = std::get<1>(data.values);
    Device device = device_under_test(1);
    Backend& backend = device.backend();
    Network network(backend, spec, model.parameters, 9);
    backend.upload(network.inputs(9).data, values.data(), values.size() * sizeof(float));
    network.encode(9);
    std::vector<float> codes(27);
    backend.download(codes.data(), network.codes(9).data, codes.size() * sizeof(float));
    network.decode(9);
    std::vector<float> reconstructions(99);
    backend.download(reconstructions.data(), network.reconstruct(9).data,
                     reconstructions.size() * sizeof(float));
    const auto want = oracle_evaluate(spec, {model.parameters.begin(), model.parameters.end()},
                                      oracle::Matrix64(9, spec.inputs, values),
                                      oracle::Matrix64(9, spec.inputs, values));
    for (std::size_t i = 0; i < codes.size(); ++i) {
      EXPECT_NEAR(codes[i], want.codes.values[i], 1e-6);
    }
    for (std::size_t i = 0; i < reconstructions.size(); ++i) {
      EXPECT_NEAR(reconstructions[i], want.reconstructions.values[i], 1e-6);
    }
  }
}

}  // namespace
}  // namespace hourglass
