// Ten epochs on MNIST against the losses that other programs reach with the same formulas: PyTorch
// and an independent float32 program, seeds 0 to 2.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "hourglass/scores.hpp"
#include "hourglass/training.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

/// A figure of all seeds, from the lowest to the highest.
struct Span {
  double lowest;
  double highest;
};

struct ReferenceCase {
  const char* name;
  std::vector<std::int64_t> hidden;
  Scaling scaling;
  const char* sparsity;
  Activation code_activation;
  Span test;  ///< reconstruction loss
  /// Where the table has them: training loss with the penalty, the penalty, the mean activation of
  /// the test codes and the share of zeros among them.
  std::optional<double> train = {};
  std::optional<double> penalty = {};
  std::optional<double> mean_activation = {};
  std::optional<double> zeros = {};
};

/// Two per cent beyond the span.
void expect_within(double value, Span span, const char* what) {
  const double margin = 0.02 * std::abs(span.lowest + span.highest) / 2.0;
  EXPECT_GE(value, span.lowest - margin) << what;
  EXPECT_LE(value, span.highest + margin) << what;
}

class Reference : public testing::TestWithParam<ReferenceCase> {
 protected:
  /// MNIST, read once; skips the test where it cannot be had.
  static const Dataset* digits(const char* name) {
    static std::map<std::string, Dataset> known;
    if (const auto found = known.find(name); found != known.end()) return &found->second;
    try {
      return &known.emplace(name, load_dataset(name)).first->second;
    } catch (const InputError&) {
      return nullptr;
    }
  }
};

TEST_P(Reference, TestLossAfterTenEpochsOfThreeSeeds) {
  const ReferenceCase& expected = GetParam();
  const Dataset* train = digits("mnist:train");
  const Dataset* test = digits("mnist:test");
  if (train == nullptr || test == nullptr) GTEST_SKIP() << "MNIST cannot be had";
  Device device = testing_support::device_under_test();
  const Scaler scaler = Scaler::fit(device, *train, expected.scaling);
  double test_sum = 0.0;
  double train_sum = 0.0;
  constexpr int seeds = 3;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    AutoencoderSpec spec;
    spec.hidden = expected.hidden;
    spec.code_activation = expected.code_activation;
    Autoencoder model = Autoencoder::initialise(spec, scaler, seed);
    TrainingOptions options;
    options.sparsity = Sparsity::parse(expected.sparsity);
    options.seed = seed;
    const EpochFigures last = fit(device, model, *train, options, *test).epochs.back();
    const ActivationFigures codes = activation_figures(model.encode(device, *test),
                                                       spec.code_activation == Activation::sigmoid);
    std::cout << expected.name << ", seed " << seed << ": test " << last.validation_reconstruction
              << ", training " << last.loss << ", penalty " << last.penalty << ", mean activation "
              << codes.mean << ", zeros " << codes.zero_share << "\n";
    test_sum += last.validation_reconstruction;
    train_sum += last.loss;
    // Given to two or three digits, of one seed: a model may be sparser than its neighbour.
    if (expected.penalty) {
      EXPECT_NEAR(last.penalty, *expected.penalty, 0.1 * *expected.penalty);
    }
    if (expected.mean_activation) {
      EXPECT_NEAR(codes.mean, *expected.mean_activation, 0.1 * *expected.mean_activation);
    }
    if (expected.zeros) {
      EXPECT_NEAR(codes.zero_share, *expected.zeros, 0.05);
    }
  }
  // The mean: seeds of a two-dimensional code on standardised digits lie 8 % apart.
  expect_within(test_sum / seeds, expected.test, "test");
  if (expected.train) {
    expect_within(train_sum / seeds, {*expected.train, *expected.train}, "training");
  }
}

constexpr Activation relu = Activation::relu;
constexpr Activation sigmoid = Activation::sigmoid;
constexpr Scaling unit = Scaling::unit;
constexpr Scaling standard = Scaling::standard;

INSTANTIATE_TEST_SUITE_P(
    Mnist, Reference,
    testing::Values(
        ReferenceCase{"simple_unit", {32}, unit, "none", relu, {0.0951, 0.0957}, 0.0971, {}, 7.8},
        ReferenceCase{"simple_standard", {32}, standard, "none", relu, {-3.953, -3.933}, -3.97},
        ReferenceCase{"shallow_2d_unit", {2}, unit, "none", relu, {0.239, 0.242}},
        ReferenceCase{"shallow_2d_standard", {2}, standard, "none", relu, {-1.17, -1.155}},
        ReferenceCase{"two_layers_2d_unit", {128, 2}, unit, "none", relu, {0.202, 0.203}},
        ReferenceCase{"two_layers_2d_standard", {128, 2}, standard, "none", relu, {-1.87, -1.87}},
        ReferenceCase{"deep_2d_unit", {128, 64, 2}, unit, "none", relu, {0.187, 0.193}},
        ReferenceCase{"deep_2d_standard", {128, 64, 2}, standard, "none", relu, {-2.14, -2.09}},
        ReferenceCase{
            "l1_unit", {32}, unit, "l1:1e-4", relu, {0.0970, 0.0970}, 0.1089, 0.0098, 3.1},
        ReferenceCase{"l1_standard", {32}, standard, "l1:1e-4", relu, {-3.95, -3.95}},
        ReferenceCase{"overcomplete_l1_unit",
                      {256},
                      unit,
                      "l1:1e-4",
                      relu,
                      {0.0709, 0.0709},
                      0.0820,
                      {},
                      {},
                      0.55},
        ReferenceCase{"overcomplete_kl_unit",
                      {256},
                      unit,
                      "kl:0.05:0.004",
                      sigmoid,
                      {0.1043, 0.1043},
                      0.1177,
                      {},
                      0.082},
        ReferenceCase{
            "overcomplete_kl_standard", {256}, standard, "kl:0.05:0.004", sigmoid, {-3.92, -3.92}}),
    [](const testing::TestParamInfo<ReferenceCase>& info) { return info.param.name; });

/// What a dead code amounts to: the loss of predicting the mean image of training.
TEST(ReferenceOfMeans, PredictingTheMeanImage) {
  Dataset train, test;
  try {
    train = load_dataset("mnist:train");
    test = load_dataset("mnist:test");
  } catch (const InputError& error) {
    GTEST_SKIP() << "MNIST cannot be had: " << error.what();
  }
  Device device = testing_support::device_under_test();
  // All weights 0, the output's biases the logits of the means.
  AutoencoderSpec spec;
  spec.hidden = {1};
  Autoencoder model = Autoencoder::initialise(spec, Scaler::fit(device, train, Scaling::unit), 0);
  std::fill(model.parameters.begin(), model.parameters.end(), 0.0f);
  std::vector<double> sums(784, 0.0);
  const auto& bytes = std::get<0>(train.values);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    sums[i % 784] += bytes[i];
  const std::int64_t bias = layer_offsets(spec).back().bias;
  for (std::size_t d = 0; d < 784; ++d) {
    const double mean = std::clamp(sums[d] / 255.0 / static_cast<double>(train.rows), 1e-7, 1.0);
    model.parameters[static_cast<std::size_t>(bias) + d] =
        static_cast<float>(std::log(mean / (1.0 - mean)));
  }
  const double loss = model.reconstruction_loss(device, test);
  EXPECT_NEAR(loss, 0.2628, 0.02 * 0.2628);
}

}  // namespace
}  // namespace hourglass
