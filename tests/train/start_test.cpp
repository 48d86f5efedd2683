// What training starts from: initial weights and the order of the rows.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "host/train/permutation.hpp"
#include "hourglass/autoencoder.hpp"
#include "kernels/philox.hpp"

namespace hourglass {
namespace {

TEST(InitialWeights, AreGlorotUniformWithZeroBiases) {
  AutoencoderSpec spec;
  spec.hidden = {128, 2};
  const Autoencoder model = Autoencoder::initialise(spec, {}, 7);
  ASSERT_EQ(static_cast<std::int64_t>(model.parameters.size()), spec.parameter_count());
  for (const LayerOffsets& layer : layer_offsets(spec)) {
    const double limit = std::sqrt(6.0 / static_cast<double>(layer.fan_in + layer.fan_out));
    const auto count = static_cast<double>(layer.fan_in * layer.fan_out);
    double sum = 0.0, squares = 0.0, largest = 0.0;
    for (std::int64_t i = layer.weights; i < layer.weights + layer.fan_in * layer.fan_out; ++i) {
      const double w = static_cast<double>(model.parameters[static_cast<std::size_t>(i)]);
      sum += w;
      squares += w * w;
      largest = std::max(largest, std::fabs(w));
    }
    // U(-a, a): mean 0, variance a^2 / 3 with a deviation of its estimate of a^2 sqrt(4 / 45 N).
    const double deviation = limit / std::sqrt(3.0);
    EXPECT_LT(std::fabs(sum / count), 5.0 * deviation / std::sqrt(count));
    EXPECT_LT(std::fabs(squares / count - deviation * deviation),
              5.0 * limit * limit * std::sqrt(4.0 / 45.0 / count));
    EXPECT_LE(largest, limit * (1.0 + 1e-6));
    EXPECT_GT(largest, 0.9 * limit);
    for (std::int64_t i = layer.bias; i < layer.bias + layer.fan_out; ++i) {
      EXPECT_EQ(model.parameters[static_cast<std::size_t>(i)], 0.0f);
    }
  }
}

TEST(InitialWeights, FollowFromTheSeedAndTheLayerAlone) {
  AutoencoderSpec spec;
  spec.inputs = 33;
  spec.hidden = {7};
  const auto first = Autoencoder::initialise(spec, {}, 1).parameters;
  EXPECT_EQ(first, Autoencoder::initialise(spec, {}, 1).parameters);
  EXPECT_NE(first, Autoencoder::initialise(spec, {}, 2).parameters);
  // The first layer does not depend on what follows it, and no two layers share their numbers.
  AutoencoderSpec square;
  square.inputs = 7;
  square.hidden = {7};
  const auto both = Autoencoder::initialise(square, {}, 1).parameters;
  const auto layers = layer_offsets(square);
  EXPECT_FALSE(std::equal(both.begin() + layers[0].weights, both.begin() + layers[0].weights + 49,
                          both.begin() + layers[1].weights));
}

std::vector<std::int32_t> order_of(std::int64_t rows, std::uint64_t seed, std::uint32_t epoch) {
  Shuffle shuffle(rows);
  shuffle.permute(seed, epoch);
  return {shuffle.order().begin(), shuffle.order().end()};
}

TEST(Shuffle, IsThePermutationThatSortsTheKeys) {
  for (const std::int64_t rows : {1, 2, 31, 256, 1000, 60000}) {
    for (const std::uint64_t seed : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      std::vector<std::pair<std::uint64_t, std::int32_t>> keyed;
      for (std::int64_t i = 0; i < rows; ++i) {
        const Philox4 words = philox4x32(seed, static_cast<std::uint64_t>(i),
                                         static_cast<std::uint32_t>(RandomStream::shuffle), 3);
        keyed.emplace_back(std::uint64_t{words.v[1]} << 32 | words.v[0],
                           static_cast<std::int32_t>(i));
      }
      std::sort(keyed.begin(), keyed.end());
      const auto order = order_of(rows, seed, 3);
      ASSERT_EQ(order.size(), keyed.size());
      for (std::size_t i = 0; i < keyed.size(); ++i)
        ASSERT_EQ(order[i], keyed[i].second);
    }
  }
}

TEST(Shuffle, DiffersByEpochAndSeedAndIsTheSameAgain) {
  const auto order = order_of(1000, 5, 0);
  EXPECT_EQ(order, order_of(1000, 5, 0));
  EXPECT_NE(order, order_of(1000, 5, 1));
  EXPECT_NE(order, order_of(1000, 6, 0));
  // The object's workspace must not leak one epoch into the next.
  Shuffle shuffle(1000);
  shuffle.permute(5, 9);
  shuffle.permute(5, 0);
  EXPECT_TRUE(std::equal(order.begin(), order.end(), shuffle.order().begin()));
}

TEST(Shuffle, SendsARowAnywhere) {
  // Mean position of row 0 over 400 epochs of 100 rows: 49.5 with deviation 28.9 / 20.
  Shuffle shuffle(100);
  double sum = 0.0;
  for (std::uint32_t epoch = 0; epoch < 400; ++epoch) {
    shuffle.permute(11, epoch);
    const auto order = shuffle.order();
    sum += static_cast<double>(std::find(order.begin(), order.end(), 0) - order.begin());
  }
  EXPECT_NEAR(sum / 400.0, 49.5, 5.0 * 28.9 / 20.0);
}

}  // namespace
}  // namespace hourglass
