// output_layer: logits, loss and the gradients of input, weights and bias in one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

/// sum over k of |a_ik| |b_kj|, and a little: what the rounding of a product goes with.
oracle::Matrix64 product_of_magnitudes(Transpose ta, Transpose tb, oracle::Matrix64 a,
                                       oracle::Matrix64 b, double little) {
  for (double& value : a.values)
    value = std::abs(value);
  for (double& value : b.values)
    value = std::abs(value);
  const std::int64_t rows = ta == Transpose::yes ? a.columns : a.rows;
  const std::int64_t columns = tb == Transpose::yes ? b.rows : b.columns;
  oracle::Matrix64 product = oracle::gemm(ta, tb, 1.0, a, b, 0.0, oracle::Matrix64(rows, columns));
  for (double& value : product.values)
    value += little;
  return product;
}

class OutputLayer : public BackendTest {
 protected:
  static constexpr double start = 10.0;  // of what the losses are added to

  void compare(std::uint64_t seed, std::int64_t batch, std::int64_t units, std::int64_t outputs,
               OutputLoss loss_of, bool wants_gradient) {
    Random random(seed);
    const std::vector<float> input_values = random.normals(batch * units);
    // Logits of deviation 2, none of which comes near the clip.
    const std::vector<float> weight_values =
        random.normals(units * outputs, 2.0 / std::sqrt(static_cast<double>(units)));
    const std::vector<float> bias_values = random.normals(outputs);
    const std::vector<float> target_values = random.uniforms(batch * outputs);

    Trial trial = this->trial(
        seed, std::to_string(batch) + "x" + std::to_string(units) + "x" + std::to_string(outputs) +
                  (loss_of.cross_entropy ? " bce" : " mse") + (wants_gradient ? "" : ", loss"));
    trial.set_skew(any_skew(seed, 2));
    auto input = trial.input(input_values);
    auto weights = trial.input(weight_values);
    auto bias = trial.input(bias_values);
    auto targets = trial.input(target_values);
    auto input_gradient = trial.output<float>(wants_gradient ? batch * units : 0);
    auto weights_gradient = trial.output<float>(wants_gradient ? units * outputs : 0);
    auto bias_gradient = trial.output<float>(wants_gradient ? outputs : 0);
    auto loss = trial.in_out(std::vector<double>{start});
    trial.run([&](Backend& backend) {
      Buffer<float> work(backend, batch * outputs);  // its contents are nobody's
      backend.output_layer(loss_of, input.matrix(batch, units), weights.matrix(units, outputs),
                           bias.span(), targets.matrix(batch, outputs), work.matrix(batch, outputs),
                           wants_gradient ? input_gradient.matrix(batch, units) : Mat{},
                           wants_gradient ? weights_gradient.matrix(units, outputs) : Mat{},
                           bias_gradient.span(), loss.data());
    });

    const oracle::Matrix64 wide_input(batch, units, input_values);
    const oracle::Matrix64 wide_weights(units, outputs, weight_values);
    const oracle::Matrix64 wide_targets(batch, outputs, target_values);
    const oracle::Matrix64 logits =
        oracle::gemm(Transpose::no, Transpose::no, 1.0, wide_input, wide_weights, 0.0,
                     oracle::Matrix64(batch, outputs));
    const oracle::LossOutput want =
        loss_of.cross_entropy
            ? oracle::sigmoid_bce(logits, widen(bias_values), wide_targets, loss_of.clip)
            : oracle::squared_error(loss_of.activation, logits, widen(bias_values), wide_targets);
    trial.expect_close("loss", loss, std::vector<double>{start + want.loss},
                       {.absolute = 3e-5, .relative = 3e-6});
    if (!wants_gradient || batch == 0 || outputs == 0) return;

    // Logits of magnitude up to 10 are rounded to 1e-6, which is then the error of a gradient.
    const double unit = 1.0 / static_cast<double>(batch * outputs);
    oracle::Matrix64 units_of_gradient = want.gradient;
    for (double& value : units_of_gradient.values)
      value = std::abs(value) + unit;
    const auto expect = [&](const char* what, const Argument<float>& got, Transpose ta,
                            Transpose tb, const oracle::Matrix64& a, const oracle::Matrix64& b,
                            bool gradient_first) {
      const std::int64_t rows = ta == Transpose::yes ? a.columns : a.rows;
      const std::int64_t columns = tb == Transpose::yes ? b.rows : b.columns;
      const oracle::Matrix64 exact =
          oracle::gemm(ta, tb, 1.0, a, b, 0.0, oracle::Matrix64(rows, columns));
      const oracle::Matrix64 scale =
          product_of_magnitudes(ta, tb, gradient_first ? units_of_gradient : a,
                                gradient_first ? b : units_of_gradient, unit);
      trial.expect_close(what, got, exact, {.absolute = 3e-6, .norm = 3e-6, .scale = &scale});
    };
    expect("input_gradient", input_gradient, Transpose::no, Transpose::yes, want.gradient,
           wide_weights, true);
    expect("weights_gradient", weights_gradient, Transpose::yes, Transpose::no, wide_input,
           want.gradient, false);
    trial.expect_close("bias_gradient", bias_gradient, want.bias_gradient,
                       {.absolute = 3e-6 * unit * static_cast<double>(batch)});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(OutputLayer);

constexpr OutputLoss losses[] = {
    {.cross_entropy = true, .clip = 1e-7f},
    {.cross_entropy = true, .clip = 0.0f},
    {.cross_entropy = false, .activation = Activation::sigmoid},
    {.cross_entropy = false, .activation = Activation::linear},
};

TEST_P(OutputLayer, MatchesTheOracle) {
  struct Case {
    std::int64_t batch, units, outputs;
  };
  // Around tiles of 32 rows, panels of 112 columns, vectors of 16 and the widest input of a panel.
  std::vector<Case> cases = {{1, 1, 1}, {33, 3, 17}, {5, 33, 40}, {0, 3, 4}, {3, 2, 0}};
  if (!emulated()) {
    const Case large[] = {{256, 32, 784}, {96, 32, 784},  {255, 2, 785},  {31, 128, 113},
                          {65, 256, 225}, {64, 257, 112}, {129, 16, 111}, {32, 17, 1}};
    cases.insert(cases.end(), std::begin(large), std::end(large));
  }
  std::uint64_t seed = 0;
  for (const Case& c : cases) {
    for (const OutputLoss& loss_of : losses) {
      for (const bool wants_gradient : {true, false})
        compare(++seed, c.batch, c.units, c.outputs, loss_of, wants_gradient);
    }
  }
}

TEST_P(OutputLayer, LetsNanThrough) {
  constexpr std::int64_t batch = 40, units = 3, outputs = 20;
  std::vector<float> input_values(batch * units, 0.5f);
  input_values[35 * units] = std::numeric_limits<float>::quiet_NaN();
  Trial trial = this->trial(0, "40x3x20");
  auto input = trial.input(input_values);
  auto weights = trial.input(std::vector<float>(units * outputs, 0.25f));
  auto bias = trial.input(std::vector<float>(outputs, 0.0f));
  auto targets = trial.input(std::vector<float>(batch * outputs, 0.5f));
  auto input_gradient = trial.output<float>(batch * units);
  auto weights_gradient = trial.output<float>(units * outputs);
  auto bias_gradient = trial.output<float>(outputs);
  auto loss = trial.in_out(std::vector<double>{0.0});
  trial.run([&](Backend& backend) {
    Buffer<float> work(backend, batch * outputs);
    backend.output_layer({}, input.matrix(batch, units), weights.matrix(units, outputs),
                         bias.span(), targets.matrix(batch, outputs), work.matrix(batch, outputs),
                         input_gradient.matrix(batch, units),
                         weights_gradient.matrix(units, outputs), bias_gradient.span(),
                         loss.data());
  });
  EXPECT_TRUE(std::isnan(loss.values()[0]));
  const std::vector<float> rows = input_gradient.values();
  for (std::int64_t i = 0; i < batch; ++i)
    EXPECT_EQ(std::isnan(rows[static_cast<std::size_t>(i * units)]), i == 35) << i;
  for (const float value : weights_gradient.values())
    EXPECT_TRUE(std::isnan(value));
  for (const float value : bias_gradient.values())
    EXPECT_TRUE(std::isnan(value));
}

TEST_P(OutputLayer, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 1000);
  Buffer<double> loss(backend(), 1);
  loss.zero();
  constexpr std::int64_t batch = 4, units = 3, outputs = 5;
  const auto run = [&](std::int64_t rows, std::int64_t weights_rows, std::int64_t biases,
                       std::int64_t target_rows, std::int64_t delta_columns,
                       std::int64_t gradient_rows) {
    float* at = memory.data();
    backend().output_layer({}, {at, rows, units}, {at + 100, weights_rows, outputs},
                           memory.span(200, biases), {at + 300, target_rows, outputs},
                           {at + 400, batch, outputs}, {at + 500, batch, delta_columns},
                           {at + 600, gradient_rows, outputs}, memory.span(700, outputs),
                           loss.data());
  };
  run(batch, units, outputs, batch, units, units);
  const auto refused = [&](auto... sizes) { EXPECT_THROW(run(sizes...), std::invalid_argument); };
  refused(batch + 1, units, outputs, batch, units, units);
  refused(batch, units + 1, outputs, batch, units, units);
  refused(batch, units, outputs - 1, batch, units, units);
  refused(batch, units, outputs, batch + 1, units, units);
  refused(batch, units, outputs, batch, units + 1, units);
  refused(batch, units, outputs, batch, units, units + 1);
}

}  // namespace
}  // namespace hourglass::parity
