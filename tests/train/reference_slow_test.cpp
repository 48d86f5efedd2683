// Ten epochs on MNIST against the losses that other programs reach with the same formulas: PyTorch
// and an independent float32 program, seeds 0 to 2.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "hourglass/training.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

struct ReferenceCase {
  const char* name;
  std::vector<std::int64_t> hidden;
  Scaling scaling;
  const char* sparsity;
  double lowest;  ///< test reconstruction loss over the seeds
  double highest;
};

class Reference : public testing::TestWithParam<ReferenceCase> {};

TEST_P(Reference, TestLossAfterTenEpochs) {
  const ReferenceCase& expected = GetParam();
  Dataset train, test;
  try {
    train = load_dataset("mnist:train");
    test = load_dataset("mnist:test");
  } catch (const InputError& error) {
    GTEST_SKIP() << "MNIST cannot be had: " << error.what();
  }
  Device device = testing_support::device_under_test();
  AutoencoderSpec spec;
  spec.hidden = expected.hidden;
  Autoencoder model =
      Autoencoder::initialise(spec, Scaler::fit(device, train, expected.scaling), 0);
  TrainingOptions options;
  options.sparsity = Sparsity::parse(expected.sparsity);
  const History history = fit(device, model, train, options, &test);
  const double loss = history.epochs.back().validation_reconstruction;
  RecordProperty("loss", std::to_string(loss));
  // Two per cent beyond the range of the seeds.
  const double margin = 0.02 * std::abs(expected.lowest + expected.highest) / 2.0;
  EXPECT_GE(loss, expected.lowest - margin);
  EXPECT_LE(loss, expected.highest + margin);
}

INSTANTIATE_TEST_SUITE_P(
    Mnist, Reference,
    testing::Values(
        ReferenceCase{"simple_unit", {32}, Scaling::unit, "none", 0.0951, 0.0957},
        ReferenceCase{"simple_standard", {32}, Scaling::standard, "none", -3.953, -3.933},
        ReferenceCase{"shallow_2d_unit", {2}, Scaling::unit, "none", 0.239, 0.242},
        ReferenceCase{"shallow_2d_standard", {2}, Scaling::standard, "none", -1.17, -1.155},
        ReferenceCase{"deep_2d_unit", {128, 64, 2}, Scaling::unit, "none", 0.187, 0.193},
        ReferenceCase{"deep_2d_standard", {128, 64, 2}, Scaling::standard, "none", -2.14, -2.09},
        ReferenceCase{"l1_unit", {32}, Scaling::unit, "l1:1e-4", 0.0970, 0.0970},
        ReferenceCase{"l1_standard", {32}, Scaling::standard, "l1:1e-4", -3.95, -3.95}),
    [](const testing::TestParamInfo<ReferenceCase>& info) { return info.param.name; });

}  // namespace
}  // namespace hourglass
