// squared_error: (f(z) - t)^2, f sigmoid or linear, its gradient and bias gradient.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/oracle/activations.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

enum class Gradient { apart, in_place, none };

class SquaredError : public BackendTest {
 protected:
  static constexpr double start = 3.0;

  void compare(Trial trial, Activation f, Shape shape, const std::vector<float>& pre_values,
               const std::vector<float>& bias_values, const std::vector<float>& target_values,
               Gradient kind) {
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
      backend.squared_error(
          f, pre_matrix, bias.span(), targets.matrix(shape.rows, shape.columns), gradient_matrix,
          kind == Gradient::none ? std::span<float>{} : bias_gradient.span(), loss.data());
    });

    const oracle::LossOutput want = oracle::squared_error(
        f, oracle::Matrix64(shape.rows, shape.columns, pre_values), widen(bias_values),
        oracle::Matrix64(shape.rows, shape.columns, target_values));
    const std::string name = activation_name(f);
    trial.expect_close(name + ": loss", loss, std::vector<double>{start + want.loss},
                       {.absolute = 1e-9, .relative = 2e-6});
    if (kind == Gradient::none || size == 0) return;
    const double unit = 1.0 / static_cast<double>(size);
    trial.expect_close(name + ": gradient", kind == Gradient::in_place ? pre : gradient,
                       want.gradient, {.absolute = 3e-6 * unit, .relative = 3e-6, .norm = 2e-6});
    oracle::Matrix64 magnitudes(1, shape.columns, unit);
    for (std::int64_t b = 0; b < shape.rows; ++b) {
      for (std::int64_t d = 0; d < shape.columns; ++d) {
        magnitudes(0, d) += std::abs(want.gradient(b, d));
      }
    }
    trial.expect_close(name + ": bias_gradient", bias_gradient, want.bias_gradient,
                       {.absolute = 3e-6, .relative = 2e-6, .scale = &magnitudes});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(SquaredError);

TEST_P(SquaredError, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    const std::int64_t size = shape.rows * shape.columns;
    for (const Activation f : {Activation::sigmoid, Activation::linear}) {
      for (const Gradient kind : {Gradient::apart, Gradient::in_place, Gradient::none}) {
        Random random(++seed);
        Trial trial = this->trial(seed, shape);
        trial.set_skew(any_skew(seed, 2));
        compare(trial, f, shape, random.normals(size, 2.0), random.normals(shape.columns),
                f == Activation::sigmoid ? random.uniforms(size) : random.normals(size), kind);
      }
    }
  }
}

TEST_P(SquaredError, HoldsAtExtremeLogits) {
  const std::vector<float> logits{-1e30f, -100.0f, -20.0f, 0.0f, 20.0f, 100.0f, 1e30f};
  for (const float target : {-2.0f, 0.0f, 1.0f, 3.0f}) {
    compare(trial(0, Shape{1, 7}), Activation::sigmoid, {1, 7}, logits, std::vector<float>(7, 0.0f),
            std::vector<float>(7, target), Gradient::apart);
  }
}

TEST_P(SquaredError, LetsNanThroughToLossAndGradient) {
  for (const Activation f : {Activation::sigmoid, Activation::linear}) {
    for (const std::int64_t at : {0, 16, 32}) {
      std::vector<float> logits(33, 0.5f);
      logits[at] = std::numeric_limits<float>::quiet_NaN();
      compare(trial(0, Shape{1, 33}), f, {1, 33}, logits, std::vector<float>(33, 0.0f),
              std::vector<float>(33, 0.25f), Gradient::apart);
    }
  }
}

TEST_P(SquaredError, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 128);
  Buffer<double> loss(backend(), 1);
  const auto call = [&](std::int64_t bias, Shape targets, Shape gradient,
                        std::int64_t bias_gradient) {
    backend().squared_error(Activation::linear, {memory.data(), 3, 4}, memory.span(16, bias),
                            {memory.data() + 24, targets.rows, targets.columns},
                            {memory.data() + 64, gradient.rows, gradient.columns},
                            memory.span(96, bias_gradient), loss.data());
  };
  expect_refused("squared_error", [&] { call(3, {3, 4}, {3, 4}, 4); });
  expect_refused("squared_error", [&] { call(4, {4, 3}, {3, 4}, 4); });
  expect_refused("squared_error", [&] { call(4, {3, 4}, {3, 5}, 4); });
  expect_refused("squared_error", [&] { call(4, {3, 4}, {3, 4}, 5); });
}

TEST_P(SquaredError, RefusesActivationsOtherThanSigmoidAndLinear) {
  Buffer<float> memory(backend(), 8);
  Buffer<double> loss(backend(), 1);
  expect_refused("squared_error", [&] {
    backend().squared_error(Activation::gelu, {memory.data(), 1, 1}, memory.span(1, 1),
                            {memory.data() + 2, 1, 1}, {memory.data() + 3, 1, 1}, memory.span(4, 1),
                            loss.data());
  });
}

}  // namespace
}  // namespace hourglass::parity
