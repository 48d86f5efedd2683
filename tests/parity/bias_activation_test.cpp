// bias_activation: pre += bias, out = f(pre), for every activation.
#include <cmath>
#include <limits>

#include "tests/oracle/activations.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class BiasActivation : public BackendTest {
 protected:
  void compare(Trial& trial, Activation f, Shape shape, const std::vector<float>& pre_values,
               const std::vector<float>& bias_values, bool in_place, const Tolerance& tolerance) {
    auto pre = trial.in_out(pre_values);
    auto bias = trial.input(bias_values);
    auto out = trial.output<float>(in_place ? 0 : shape.rows * shape.columns);
    const Mat pre_matrix = pre.matrix(shape.rows, shape.columns);
    const Mat out_matrix = in_place ? pre_matrix : out.matrix(shape.rows, shape.columns);
    trial.run(
        [&](Backend& backend) { backend.bias_activation(f, bias.span(), pre_matrix, out_matrix); });
    const oracle::DenseOutput want = oracle::bias_activation(
        f, widen(bias_values), oracle::Matrix64(shape.rows, shape.columns, pre_values));
    const std::string name = activation_name(f) + (in_place ? ", in place: " : ": ");
    trial.expect_close(name + "out", in_place ? pre : out, want.out, tolerance);
    if (!in_place) {
      trial.expect_close(name + "pre", pre, want.pre, {.absolute = 1e-6, .relative = 1e-7});
    }
  }
};
HOURGLASS_FOR_EVERY_BACKEND(BiasActivation);

TEST_P(BiasActivation, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    for (const Activation f : all_activations) {
      Random random(++seed);
      const std::vector<float> pre = random.normals(shape.rows * shape.columns, 3.0);
      const std::vector<float> bias = random.normals(shape.columns);
      Trial apart = trial(seed, shape);
      apart.set_skew(any_skew(seed, 2));
      compare(apart, f, shape, pre, bias, false, {.absolute = 1e-6, .relative = 2e-6});
      if (derivative_from_output(f)) {
        Trial in_place = trial(seed, shape);
        in_place.set_skew(any_skew(seed, 3));
        compare(in_place, f, shape, pre, bias, true, {.absolute = 1e-6, .relative = 2e-6});
      }
    }
  }
}

TEST_P(BiasActivation, OfMoreElementsThanAGridHasThreads) {
  const Shape shape{emulated() ? 60 : 4200, 127};
  Random random(900);
  const std::vector<float> pre = random.normals(shape.rows * shape.columns, 3.0);
  Trial trial = this->trial(900, shape);
  compare(trial, Activation::relu, shape, pre, random.normals(shape.columns), true,
          {.absolute = 1e-6, .relative = 2e-6});
}

TEST_P(BiasActivation, HoldsAtExtremeValues) {
  const std::vector<float> pre{-3e38f, -1e10f,  -1000.0f, -104.0f, -100.0f, -88.8f, -20.0f,
                               -1e-3f, -1e-30f, 0.0f,     1e-30f,  1e-7f,   1e-3f,  20.0f,
                               88.8f,  100.0f,  1000.0f,  1e10f,   3e38f};
  const Shape shape{1, static_cast<std::int64_t>(pre.size())};
  const std::vector<float> bias(pre.size(), 0.0f);
  for (const Activation f : all_activations) {
    Trial trial = this->trial(0, shape);
    // Near 0 the odd functions must keep their relative accuracy; an absolute floor far below
    // float32's useful range allows sigmoid(-100) to be flushed to 0.
    compare(trial, f, shape, pre, bias, false, {.absolute = 1e-37, .relative = 3e-6});
  }
}

TEST_P(BiasActivation, KeepsNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> pre(33, 1.0f);
  pre[0] = pre[17] = pre[32] = nan;
  for (const Activation f : all_activations) {
    Trial trial = this->trial(0, Shape{1, 33});
    compare(trial, f, {1, 33}, pre, std::vector<float>(33, 0.0f), false, {.relative = 1e-6});
  }
}

TEST_P(BiasActivation, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  const auto call = [&](std::int64_t bias, Shape out) {
    backend().bias_activation(Activation::relu, memory.span(0, bias), {memory.data() + 8, 3, 4},
                              {memory.data() + 32, out.rows, out.columns});
  };
  expect_refused("bias_activation", [&] { call(3, {3, 4}); });
  expect_refused("bias_activation", [&] { call(4, {3, 5}); });
  expect_refused("bias_activation", [&] { call(4, {2, 4}); });
}

}  // namespace
}  // namespace hourglass::parity
