// sigmoid_bce: clipped and unclipped binary cross-entropy from logits, its gradient and bias
// gradient.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

enum class Gradient { apart, in_place, none };

class SigmoidBce : public BackendTest {
 protected:
  /// Memory that the losses accumulate into starts at this.
  static constexpr double start = 10.0;

  void compare(Trial trial, Shape shape, const std::vector<float>& pre_values,
               const std::vector<float>& bias_values, const std::vector<float>& target_values,
               float clip, Gradient kind) {
    const std::int64_t size = shape.rows * shape.columns;
    auto pre = kind == Gradient::in_place ? trial.in_out(pre_values) : trial.input(pre_values);
    auto bias = trial.input(bias_values);
    auto targets = trial.input(target_values);
    auto gradient = trial.output<float>(kind == Gradient::apart ? size : 0);
    auto bias_gradient = trial.output<float>(kind == Gradient::none ? 0 : shape.columns);
    auto loss = trial.in_out(std::vector<double>{start});
    const Mat pre_matrix = pre.matrix(shape.rows, shape.columns);
    Mat gradient_matrix;
    if (kind == Gradient::in_place) gradient_matrix = pre_matrix;
    if (kind == Gradient::apart) gradient_matrix = gradient.matrix(shape.rows, shape.columns);
    trial.run([&](Backend& backend) {
      backend.sigmoid_bce(
          pre_matrix, bias.span(), targets.matrix(shape.rows, shape.columns), clip, gradient_matrix,
          kind == Gradient::none ? std::span<float>{} : bias_gradient.span(), loss.data());
    });

    const oracle::Matrix64 wide_pre(shape.rows, shape.columns, pre_values);
    const oracle::Matrix64 wide_targets(shape.rows, shape.columns, target_values);
    const oracle::LossOutput want =
        oracle::sigmoid_bce(wide_pre, widen(bias_values), wide_targets, clip);
    // Of the loss: what is added up, before terms of both signs cancel.
    double magnitude = 1.0;
    for (std::size_t i = 0; i < target_values.size(); ++i) {
      const double z = std::abs(wide_pre.values[i]) + 10.0;
      magnitude += std::min(z, clip > 0.0f ? 16.2 : z) * (1.0 + std::abs(double{target_values[i]}));
    }
    magnitude /= std::max(1.0, static_cast<double>(shape.columns));
    trial.expect_close("loss", loss, std::vector<double>{start + want.loss},
                       {.absolute = std::isnan(magnitude) ? 0.0 : 1e-6 * magnitude});
    if (kind == Gradient::none || size == 0) return;
    const double unit = 1.0 / static_cast<double>(size);
    trial.expect_close("gradient", kind == Gradient::in_place ? pre : gradient, want.gradient,
                       {.absolute = 1e-6 * unit, .relative = 2e-6});
    oracle::Matrix64 magnitudes(1, shape.columns, unit);
    for (std::int64_t b = 0; b < shape.rows; ++b) {
      for (std::int64_t d = 0; d < shape.columns; ++d) {
        magnitudes(0, d) += std::abs(want.gradient(b, d));
      }
    }
    trial.expect_close("bias_gradient", bias_gradient, want.bias_gradient,
                       {.absolute = 2e-6, .relative = 2e-6, .scale = &magnitudes});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(SigmoidBce);

TEST_P(SigmoidBce, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    const std::int64_t size = shape.rows * shape.columns;
    for (const float clip : {1e-7f, 0.1f, 0.0f}) {
      for (const Gradient kind : {Gradient::apart, Gradient::in_place, Gradient::none}) {
        Random random(++seed);
        Trial trial = this->trial(seed, shape);
        trial.set_skew(any_skew(seed, 2));
        compare(trial, shape, random.normals(size, 4.0), random.normals(shape.columns),
                random.uniforms(size), clip, kind);
      }
    }
  }
}

TEST_P(SigmoidBce, MatchesOnStandardisedTargets) {
  const Shape shape{33, 257};
  for (const float clip : {1e-7f, 0.0f}) {
    Random random(7);
    std::vector<float> targets = random.normals(shape.rows * shape.columns);
    targets[100] = 244.95f;
    compare(trial(7, shape), shape, random.normals(shape.rows * shape.columns, 8.0),
            random.normals(shape.columns), targets, clip, Gradient::in_place);
  }
}

TEST_P(SigmoidBce, HoldsAtExtremeLogitsAndAroundTheClip) {
  const std::vector<float> logits{-1e30f, -1000.0f, -100.0f, -88.8f, -16.13f, -16.119f, -16.117f,
                                  -16.1f, -1e-5f,   0.0f,    1e-5f,  15.9f,   15.941f,  15.943f,
                                  15.96f, 16.2f,    88.8f,   100.0f, 1000.0f, 1e30f};
  const auto columns = static_cast<std::int64_t>(logits.size());
  for (const float clip : {1e-7f, 0.0f}) {
    for (const float target : {-2.0f, 0.0f, 0.5f, 1.0f, 3.0f}) {
      // One logit a row, so that no loss hides behind a larger one.
      for (std::int64_t d = 0; d < columns; ++d) {
        compare(trial(0, "logit " + std::to_string(logits[d]) + ", target " +
                             std::to_string(target) + ", clip " + std::to_string(clip > 0.0f)),
                {1, 1}, {logits[d]}, {0.0f}, {target}, clip, Gradient::apart);
      }
      compare(trial(0, Shape{1, columns}), {1, columns}, logits,
              std::vector<float>(logits.size(), 0.0f), std::vector<float>(logits.size(), target),
              clip, Gradient::in_place);
    }
  }
}

TEST_P(SigmoidBce, ClippedLogitsHaveExactlyNoGradient) {
  Trial trial = this->trial(0, Shape{1, 4});
  auto pre = trial.input(std::vector<float>{-17.0f, 17.0f, -100.0f, 100.0f});
  auto bias = trial.input(std::vector<float>(4, 0.0f));
  auto targets = trial.input(std::vector<float>{1.0f, 0.0f, 5.0f, -5.0f});
  auto gradient = trial.output<float>(4);
  auto bias_gradient = trial.output<float>(4);
  auto loss = trial.in_out(std::vector<double>{0.0});
  trial.run([&](Backend& backend) {
    backend.sigmoid_bce(pre.matrix(1, 4), bias.span(), targets.matrix(1, 4), 1e-7f,
                        gradient.matrix(1, 4), bias_gradient.span(), loss.data());
  });
  EXPECT_EQ(gradient.values(), std::vector<float>(4, 0.0f));
  EXPECT_EQ(bias_gradient.values(), std::vector<float>(4, 0.0f));
}

TEST_P(SigmoidBce, LetsNanThroughToLossAndGradient) {
  for (const float clip : {1e-7f, 0.0f}) {
    for (const std::int64_t at : {0, 16, 32}) {  // a vector's first lane, another's, the remainder
      std::vector<float> logits(33, 0.5f);
      logits[at] = std::numeric_limits<float>::quiet_NaN();
      compare(trial(0, Shape{1, 33}), {1, 33}, logits, std::vector<float>(33, 0.0f),
              std::vector<float>(33, 0.25f), clip, Gradient::apart);
      compare(trial(0, Shape{1, 33}), {1, 33}, std::vector<float>(33, 0.5f),
              std::vector<float>(33, 0.0f), logits, clip, Gradient::none);
    }
  }
}

TEST_P(SigmoidBce, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 128);
  Buffer<double> loss(backend(), 1);
  const auto call = [&](std::int64_t bias, Shape targets, Shape gradient,
                        std::int64_t bias_gradient) {
    backend().sigmoid_bce({memory.data(), 3, 4}, memory.span(16, bias),
                          {memory.data() + 24, targets.rows, targets.columns}, 1e-7f,
                          {memory.data() + 64, gradient.rows, gradient.columns},
                          memory.span(96, bias_gradient), loss.data());
  };
  expect_refused("sigmoid_bce", [&] { call(3, {3, 4}, {3, 4}, 4); });
  expect_refused("sigmoid_bce", [&] { call(4, {4, 3}, {3, 4}, 4); });
  expect_refused("sigmoid_bce", [&] { call(4, {3, 4}, {3, 5}, 4); });
  expect_refused("sigmoid_bce", [&] { call(4, {3, 4}, {3, 4}, 5); });
}

}  // namespace
}  // namespace hourglass::parity
