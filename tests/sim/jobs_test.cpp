// Whole jobs on the model of CUDA, as on the CPU within rounding: the drivers of host/ and the
// kernels of kernels/cuda together.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "host/embed/affinities.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/training.hpp"
#include "hourglass/tsne.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cuda/backend.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass {
namespace {

Device cpu_device() {
  return Device::over(std::make_unique<cpu::CpuBackend>(1), "cpu");
}

Device sim_device() {
  return Device::over(std::make_unique<cuda::CudaBackend>(0), "cuda:0");
}

/// Rows of bytes that look a little like pictures: bright in one of five regions.
Dataset pictures(std::int64_t rows, std::int64_t columns) {
  parity::Random random(5);
  Dataset data;
  data.name = "pictures";
  data.rows = rows;
  data.columns = columns;
  std::vector<std::uint8_t> values(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const bool bright = j * 5 / columns == i % 5;
      values[static_cast<std::size_t>(i * columns + j)] =
          static_cast<std::uint8_t>(random.below(bright ? 256 : 40));
    }
  }
  data.values = std::move(values);
  return data;
}

void expect_close(const std::vector<float>& got, const std::vector<float>& want, double relative) {
  ASSERT_EQ(got.size(), want.size());
  double largest = 0.0;
  for (const float value : want)
    largest = std::max(largest, std::abs(double{value}));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::abs(double{got[i]} - double{want[i]}) <= relative * largest)
        << "[" << i << "] " << got[i] << " on the model, " << want[i] << " on the CPU";
  }
}

struct Fitted {
  Autoencoder model;
  History history;
};

Fitted fitted(Device device, const AutoencoderSpec& spec, TrainingOptions options) {
  const Dataset data = pictures(150, spec.inputs);
  Fitted result{Autoencoder::initialise(spec, Scaler::fit(device, data, Scaling::unit), 3), {}};
  options.epochs = 2;
  options.batch = 64;  // two whole batches and a part of one
  result.history = fit(device, result.model, data, options);
  return result;
}

void expect_equal_training(const AutoencoderSpec& spec, const TrainingOptions& options) {
  const Fitted sim = fitted(sim_device(), spec, options);
  const Fitted cpu = fitted(cpu_device(), spec, options);
  ASSERT_EQ(sim.history.epochs.size(), 2u);
  for (std::size_t e = 0; e < 2; ++e) {
    EXPECT_NEAR(sim.history.epochs[e].loss, cpu.history.epochs[e].loss,
                1e-5 * cpu.history.epochs[e].loss);
  }
  EXPECT_LT(sim.history.epochs[1].loss, sim.history.epochs[0].loss);
  // Adam divides by the root of the second moment: where a gradient is rounding, so is its sign.
  expect_close(sim.model.parameters, cpu.model.parameters, 1e-3);
}

TEST(Jobs, TrainsTheSimpleAutoencoder) {
  expect_equal_training({}, {});
}

TEST(Jobs, TrainsADeepAutoencoderWithEachPenalty) {
  AutoencoderSpec spec;
  spec.inputs = 36;
  spec.hidden = {17, 8};
  spec.code_activation = Activation::sigmoid;
  expect_equal_training(spec, {.sparsity = Sparsity::parse("l1:1e-3")});
  expect_equal_training(spec, {.sparsity = Sparsity::parse("kl:0.1:0.01")});
}

TEST(Jobs, TrainsWithNoiseAndEveryOptimiser) {
  AutoencoderSpec spec;
  spec.inputs = 36;
  spec.hidden = {17};
  spec.code_activation = Activation::sigmoid;
  spec.tied = true;
  expect_equal_training(
      spec,
      {.optimiser = Optimiser::adamw, .weight_decay = 0.01f, .noise = parse_noise("mask:0.3")});
  expect_equal_training(spec, {.learning_rate = 0.5,
                               .optimiser = Optimiser::sgd,
                               .weight_decay = 1e-4f,
                               .clip_norm = 0.05f,
                               .contractive = 1e-3f,
                               .noise = parse_noise("gaussian:0.3")});
}

TEST(Jobs, EmbedsPoints) {
  const std::int64_t n = 150;
  parity::Random random(9);
  Matrix x(n, 5);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < 5; ++j)
      x(i, j) = static_cast<float>(random.normal() + (j == i % 3 ? 6.0 : 0.0));
  }
  TsneOptions options;
  options.perplexity = 10;
  options.iterations = 20;  // of the last 14 ten are recorded
  options.exaggeration_iterations = 6;
  for (const auto& [method, dimensions] :
       {std::pair{TsneMethod::exact, 2}, {TsneMethod::exact, 3}, {TsneMethod::fft, 2}}) {
    SCOPED_TRACE(std::string(name_of(method)) + " " + std::to_string(dimensions));
    options.method = method;
    options.dimensions = dimensions;
    if (method == TsneMethod::fft) {
      // Neither so narrow that a grid's rounding tells, nor so fast that the map outgrows its grid,
      // which the CPU then replaces at once and a GPU after the interval.
      options.learning_rate = 5;
      options.start = TsneStart::given;
      options.given_start = Matrix(n, dimensions);
      options.given_start.values = random.normals(n * dimensions, 2.0);
    } else {
      options.start = TsneStart::random;
    }
    Device sim = sim_device();
    Device cpu = cpu_device();
    const TsneResult got = tsne(sim, x, options);
    const TsneResult want = tsne(cpu, x, options);
    EXPECT_NEAR(got.kl_divergence, want.kl_divergence, 1e-4 * want.kl_divergence);
    expect_close(got.map.values, want.map.values, 1e-3);
    const TsneResult again = tsne(sim, x, options);
    EXPECT_EQ(again.map.values, got.map.values);
  }
}

TEST(Jobs, AMapThatOutgrowsItsGridGetsALargerOne) {
  parity::Random random(10);
  Matrix x(150, 5);
  x.values = random.normals(150 * 5, 3.0);
  TsneOptions options;
  options.perplexity = 10;
  options.iterations = 60;
  options.exaggeration_iterations = 0;
  options.start = TsneStart::random;  // of 1e-4, in a grid of 1 on each side
  options.method = TsneMethod::fft;
  Device sim = sim_device();
  const TsneResult result = tsne(sim, x, options);
  EXPECT_GT(result.span, 10.0);
  EXPECT_EQ(result.methods.size(), 1u);
  EXPECT_EQ(result.method, TsneMethod::fft);
}

TEST(Jobs, FindsApproximateNeighbours) {
  // Clusters far apart, so that rounding moves no row from one to another.
  parity::Random random(11);
  Matrix x(260, 18);
  const std::vector<float> centres = random.normals(10 * x.columns, 20.0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t d = 0; d < x.columns; ++d) {
      x(i, d) = centres[static_cast<std::size_t>(i % 10 * x.columns + d)] +
                static_cast<float>(random.normal());
    }
  }
  const std::int64_t k = 6;
  Device sim = sim_device();
  Device cpu = cpu_device();
  const NeighbourOptions options{.method = NeighbourMethod::approximate, .seed = 4};
  const Neighbours on_sim = find_neighbours("test", sim.backend(), x, k, options);
  const Neighbours on_cpu = find_neighbours("test", cpu.backend(), x, k, options);
  EXPECT_GE(on_sim.recall, 0.99);
  EXPECT_EQ(on_sim.recall, on_cpu.recall);
  EXPECT_EQ(on_sim.index.download(), on_cpu.index.download());
  expect_close(on_sim.squared_distance.download(), on_cpu.squared_distance.download(), 1e-6);
}

}  // namespace
}  // namespace hourglass
