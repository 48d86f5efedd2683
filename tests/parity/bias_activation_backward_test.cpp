// bias_activation_backward: gradient *= f'(pre), and its column sums.
#include <cmath>
#include <limits>

#include "tests/oracle/activations.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

/// What `pre` points at in a call: its own memory, NaN (it must not be read), or out.
enum class Pre { given, poisoned, out };

class BiasActivationBackward : public BackendTest {
 protected:
  void compare(std::uint64_t seed, Activation f, Shape shape, Pre kind) {
    Random random(seed);
    const std::int64_t size = shape.rows * shape.columns;
    std::vector<float> pre_values = random.normals(size, 2.0);
    for (std::size_t i = 0; i < pre_values.size(); i += 7)
      pre_values[i] = 0.0f;  // the kinks
    const std::vector<float> gradient_values = random.normals(size);
    // What the forward pass would have stored: the truth, rounded.
    const oracle::Matrix64 wide_pre(shape.rows, shape.columns, pre_values);
    std::vector<float> out_values;
    for (const double x : wide_pre.values) {
      out_values.push_back(static_cast<float>(oracle::activate(f, x)));
    }
    if (kind == Pre::poisoned) {
      pre_values.assign(pre_values.size(), std::numeric_limits<float>::quiet_NaN());
    }

    Trial trial = this->trial(seed, shape);
    trial.set_skew(any_skew(seed, 2));
    auto pre = trial.input(pre_values);
    auto out = trial.input(out_values);
    auto gradient = trial.in_out(gradient_values);
    auto bias_gradient = trial.output<float>(shape.columns);
    trial.run([&](Backend& backend) {
      backend.bias_activation_backward(
          f, (kind == Pre::out ? out : pre).matrix(shape.rows, shape.columns),
          out.matrix(shape.rows, shape.columns), gradient.matrix(shape.rows, shape.columns),
          bias_gradient.span());
    });

    const oracle::DenseGradient want = oracle::bias_activation_backward(
        f, wide_pre, oracle::Matrix64(shape.rows, shape.columns, gradient_values));
    // Derivatives from the rounded output (1 - y^2, y (1 - y)) are good to about 2^-24 of 1, so the
    // error is one of the incoming gradient.
    const std::string name = activation_name(f);
    trial.expect_close(name + ": gradient", gradient, want.pre,
                       {.absolute = 1e-6, .relative = 3e-6, .norm = 2e-6});
    if (shape.rows == 0) return;
    oracle::Matrix64 magnitudes(1, shape.columns);
    for (std::int64_t b = 0; b < shape.rows; ++b) {
      for (std::int64_t k = 0; k < shape.columns; ++k) {
        magnitudes(0, k) += std::abs(double{gradient_values[b * shape.columns + k]});
      }
    }
    trial.expect_close(name + ": bias_gradient", bias_gradient, want.bias,
                       {.absolute = 1e-6, .relative = 2e-6, .scale = &magnitudes});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(BiasActivationBackward);

TEST_P(BiasActivationBackward, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    for (const Activation f : all_activations)
      compare(++seed, f, shape, Pre::given);
  }
}

TEST_P(BiasActivationBackward, NeedsNoPreWhereTheDerivativeFollowsFromTheOutput) {
  std::uint64_t seed = 1000;
  for (const Shape shape : {Shape{33, 31}, Shape{96, 257}}) {
    for (const Activation f : all_activations) {
      if (!derivative_from_output(f)) continue;
      compare(++seed, f, shape, Pre::poisoned);
      compare(++seed, f, shape, Pre::out);
    }
  }
}

TEST_P(BiasActivationBackward, KeepsNan) {
  for (const Activation f : all_activations) {
    Trial trial = this->trial(0, Shape{2, 1});
    const float nan = std::numeric_limits<float>::quiet_NaN();
    auto pre = trial.input(std::vector<float>{1.0f, 1.0f});
    auto out = trial.input(std::vector<float>{0.5f, 0.5f});
    auto gradient = trial.in_out(std::vector<float>{nan, 1.0f});
    auto bias_gradient = trial.output<float>(1);
    trial.run([&](Backend& backend) {
      backend.bias_activation_backward(f, pre.matrix(2, 1), out.matrix(2, 1), gradient.matrix(2, 1),
                                       bias_gradient.span());
    });
    EXPECT_TRUE(std::isnan(gradient.values()[0])) << trial.context() << activation_name(f);
    EXPECT_FALSE(std::isnan(gradient.values()[1])) << trial.context() << activation_name(f);
    EXPECT_TRUE(std::isnan(bias_gradient.values()[0])) << trial.context() << activation_name(f);
  }
}

TEST_P(BiasActivationBackward, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 128);
  const auto call = [&](Shape pre, Shape out, std::int64_t bias) {
    backend().bias_activation_backward(Activation::gelu, {memory.data(), pre.rows, pre.columns},
                                       {memory.data() + 32, out.rows, out.columns},
                                       {memory.data() + 64, 3, 4}, memory.span(96, bias));
  };
  expect_refused("bias_activation_backward", [&] { call({3, 4}, {3, 4}, 3); });
  expect_refused("bias_activation_backward", [&] { call({3, 4}, {3, 5}, 4); });
  expect_refused("bias_activation_backward", [&] { call({2, 4}, {3, 4}, 4); });
}

}  // namespace
}  // namespace hourglass::parity
