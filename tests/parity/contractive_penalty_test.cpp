// contractive_penalty: lambda * sum of f'^2 |W_k|^2 over a batch, and its gradients to the codes
// and to the weights.
#include <cmath>
#include <limits>

#include "tests/oracle/activations.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class ContractivePenalty : public BackendTest {
 protected:
  static constexpr double start = 2.0;

  struct Case {
    Activation f = Activation::sigmoid;
    Shape shape;  ///< of the batch
    std::int64_t inputs = 5;
    float lambda = 0.3f;
    float beta = 0.0f;
    bool to_codes = true;
    bool to_weights = true;
    int skewed = -1;  ///< which argument is not aligned
  };

  struct Outputs {
    std::vector<float> gradient, weights_gradient;
    double penalty = 0.0;
  };

  Outputs compare(std::uint64_t seed, const Case& at, const std::vector<float>& weight_values,
                  const std::vector<float>& pre_values) {
    const std::int64_t rows = at.shape.rows, columns = at.shape.columns;
    const oracle::Matrix64 pre64(rows, columns, pre_values);
    std::vector<float> code_values;
    for (const float x : pre_values)
      code_values.push_back(static_cast<float>(oracle::activate(at.f, double{x})));
    Random random(seed + 1000);
    const std::vector<float> before = random.normals(rows * columns, 1e-3);
    std::vector<float> weights_before = random.normals(at.inputs * columns, 1e-3);
    if (at.beta == 0.0f) {  // never read
      weights_before.assign(weights_before.size(), std::numeric_limits<float>::quiet_NaN());
    }

    Trial trial =
        this->trial(seed, activation_name(at.f) + " " + std::to_string(rows) + "x" +
                              std::to_string(columns) + " of " + std::to_string(at.inputs));
    int argument = 0;
    const auto skew_next = [&] { trial.set_skew(at.skewed == argument++ ? 1 : 0); };
    skew_next();
    auto weights = trial.input(weight_values);
    skew_next();
    auto codes = trial.input(code_values);
    skew_next();
    auto gradient = trial.in_out(before);
    skew_next();
    auto weights_gradient = trial.in_out(weights_before);
    skew_next();
    auto pre = trial.input(pre_values);
    trial.set_skew(0);
    auto penalty = trial.in_out(std::vector<double>{start});
    trial.run([&](Backend& backend) {
      const ConstMat out = codes.matrix(rows, columns);
      backend.contractive_penalty(
          at.f, weights.matrix(at.inputs, columns),
          derivative_from_output(at.f) ? out : ConstMat(pre.matrix(rows, columns)), out, at.lambda,
          at.beta, at.to_codes ? gradient.matrix(rows, columns) : Mat{},
          at.to_weights ? weights_gradient.matrix(at.inputs, columns) : Mat{}, penalty.data());
    });

    const oracle::ContractiveOutput want = oracle::contractive_penalty(
        at.f, oracle::Matrix64(at.inputs, columns, weight_values), pre64, double{at.lambda});
    // f' and f'' follow from a code that is rounded: they are off by 1e-7 of 1, not of themselves.
    double norms = 0.0;
    std::vector<double> norm(static_cast<std::size_t>(columns), 0.0);
    for (std::int64_t j = 0; j < at.inputs; ++j) {
      for (std::int64_t k = 0; k < columns; ++k) {
        const double w = weight_values[static_cast<std::size_t>(j * columns + k)];
        norm[static_cast<std::size_t>(k)] += w * w;
        norms += w * w;
      }
    }
    trial.expect_close("penalty", penalty, std::vector<double>{start + want.penalty},
                       {.absolute = 3e-7 * double{at.lambda} * norms * static_cast<double>(rows),
                        .relative = 1e-6});
    oracle::Matrix64 wanted(rows, columns, before);
    oracle::Matrix64 scale(rows, columns);
    for (std::int64_t b = 0; b < rows; ++b) {
      for (std::int64_t k = 0; k < columns; ++k) {
        scale(b, k) = std::abs(wanted(b, k)) + double{at.lambda} / static_cast<double>(rows) * 4.0 *
                                                   norm[static_cast<std::size_t>(k)];
        if (at.to_codes) wanted(b, k) += want.gradient(b, k);
      }
    }
    trial.expect_close("gradient", gradient, wanted,
                       {.absolute = 1e-6, .relative = 1e-6, .scale = &scale});
    oracle::Matrix64 weights_wanted(at.inputs, columns, weights_before);
    oracle::Matrix64 weights_scale(at.inputs, columns, 1e-3);
    for (std::size_t i = 0; i < weights_wanted.values.size(); ++i) {
      const double old = at.beta == 0.0f ? 0.0 : double{at.beta} * weights_wanted.values[i];
      if (at.to_weights) {
        weights_wanted.values[i] = old + (rows == 0 ? 0.0 : want.weights_gradient.values[i]);
      }
      weights_scale.values[i] =
          std::abs(old) + 2.0 * double{at.lambda} * std::abs(weight_values[i]);
    }
    trial.expect_close("weights_gradient", weights_gradient, weights_wanted,
                       {.absolute = 1e-6, .relative = 1e-6, .scale = &weights_scale});
    return {gradient.values(), weights_gradient.values(), penalty.values()[0]};
  }

  Outputs compare(std::uint64_t seed, const Case& at, double deviation = 1.5) {
    Random random(seed);
    const std::vector<float> weights = random.normals(at.inputs * at.shape.columns, 0.5);
    return compare(seed, at, weights, random.normals(at.shape.rows * at.shape.columns, deviation));
  }
};
HOURGLASS_FOR_EVERY_BACKEND(ContractivePenalty);

TEST_P(ContractivePenalty, MatchesTheOracle) {
  // Widths of the inputs in step with the batches' shapes: both pairs straddle the edges.
  std::vector<std::int64_t> inputs{1, 33, 257, 0, 5, 31, 64};
  if (!emulated()) inputs.push_back(785);
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    for (const Activation f : all_activations) {
      ++seed;
      Random random(seed);
      compare(seed, {.f = f,
                     .shape = shape,
                     .inputs = inputs[seed % inputs.size()],
                     .beta = random.below(2) == 0 ? 0.0f : -0.7f,
                     .to_codes = random.below(4) != 0,
                     .to_weights = random.below(4) != 0,
                     .skewed = static_cast<int>(random.below(6)) - 1});
    }
  }
}

TEST_P(ContractivePenalty, TakesEveryAlignment) {
  for (const Activation f : {Activation::sigmoid, Activation::relu, Activation::gelu}) {
    for (int skewed = -1; skewed < 5; ++skewed) {
      for (const std::int64_t columns : {4, 36})
        compare(60, {.f = f, .shape = {7, columns}, .inputs = 9, .beta = 1.0f, .skewed = skewed});
    }
  }
}

TEST_P(ContractivePenalty, AddsWhatIsAskedFor) {
  for (const bool to_codes : {false, true}) {
    for (const bool to_weights : {false, true}) {
      for (const float beta : {0.0f, 1.0f}) {
        compare(70, {.shape = {33, 31},
                     .inputs = 65,
                     .beta = beta,
                     .to_codes = to_codes,
                     .to_weights = to_weights});
      }
    }
  }
}

TEST_P(ContractivePenalty, TakesOneUnitAndMany) {
  for (const std::int64_t columns : {std::int64_t{1}, std::int64_t{2}, std::int64_t{1000}}) {
    compare(71, {.shape = {9, columns}, .inputs = 784});
    compare(72, {.f = Activation::tanh, .shape = {100, columns}, .inputs = 3, .beta = 1.0f});
  }
}

TEST_P(ContractivePenalty, OfReluIsTheNormOfTheActiveUnits) {
  // Two units: |W_1|^2 = 25, active in two rows; |W_2|^2 = 4, active in one. 0 is not active.
  const std::vector<float> weights{3.0f, 2.0f, 4.0f, 0.0f};
  const std::vector<float> pre{1.0f, -1.0f, 2.0f, 5.0f, 0.0f, 0.0f, -3.0f, -0.5f};
  const Outputs out = compare(
      73, {.f = Activation::relu, .shape = {4, 2}, .inputs = 2, .lambda = 0.5f}, weights, pre);
  EXPECT_EQ(out.penalty, start + 0.5 * (2 * 25.0 + 4.0));
  Random random(73 + 1000);
  EXPECT_EQ(out.gradient, random.normals(8, 1e-3));  // what was there before
  EXPECT_EQ(out.weights_gradient, (std::vector<float>{1.5f, 0.5f, 2.0f, 0.0f}));
}

TEST_P(ContractivePenalty, StaysFiniteAtTheEndsOfTheActivations) {
  const std::vector<float> pre{-100.0f, -30.0f, -15.5f, -0.0f, 0.0f, 15.5f, 30.0f, 100.0f};
  for (const Activation f : all_activations) {
    const Outputs out = compare(74, {.f = f, .shape = {2, 4}, .inputs = 3, .beta = 1.0f},
                                Random(74).normals(12), pre);
    EXPECT_TRUE(std::isfinite(out.penalty)) << activation_name(f);
  }
  // The square of this overflows.
  const Outputs out = compare(75, {.f = Activation::gelu, .shape = {1, 2}, .inputs = 3},
                              Random(75).normals(6), {1e20f, -1e20f});
  EXPECT_TRUE(std::isfinite(out.gradient[0]) && std::isfinite(out.gradient[1]));
}

TEST_P(ContractivePenalty, LetsNanThrough) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Activation f : {Activation::elu, Activation::selu, Activation::gelu, Activation::tanh,
                             Activation::sigmoid}) {
    const Case at{.f = f, .shape = {4, 33}, .inputs = 5, .beta = 1.0f};
    Random random(76);
    std::vector<float> weights = random.normals(5 * 33), pre = random.normals(4 * 33);
    pre[2 * 33 + 32] = nan;
    EXPECT_TRUE(std::isnan(compare(76, at, weights, pre).penalty)) << activation_name(f);
    pre[2 * 33 + 32] = 0.5f;
    weights[3 * 33] = nan;
    EXPECT_TRUE(std::isnan(compare(76, at, weights, pre).penalty)) << activation_name(f);
  }
}

TEST_P(ContractivePenalty, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 256);
  Buffer<double> penalty(backend(), 1);
  const auto call = [&](Activation f, Shape weights, Shape pre, Shape gradient,
                        Shape weights_gradient) {
    const auto mat = [&](std::int64_t at, Shape shape) {
      return Mat{memory.data() + at, shape.rows, shape.columns};
    };
    backend().contractive_penalty(f, mat(0, weights), mat(48, pre), mat(96, {3, 4}), 0.1f, 0.0f,
                                  mat(144, gradient), mat(192, weights_gradient), penalty.data());
  };
  const auto sigmoid = Activation::sigmoid, gelu = Activation::gelu;
  const char* name = "contractive_penalty";
  expect_refused(name, [&] { call(sigmoid, {5, 3}, {3, 4}, {3, 4}, {5, 4}); });
  expect_refused(name, [&] { call(gelu, {5, 4}, {4, 3}, {3, 4}, {5, 4}); });
  expect_refused(name, [&] { call(gelu, {5, 4}, {2, 4}, {3, 4}, {5, 4}); });
  expect_refused(name, [&] { call(sigmoid, {5, 4}, {3, 4}, {4, 4}, {5, 4}); });
  expect_refused(name, [&] { call(sigmoid, {5, 4}, {3, 4}, {3, 5}, {5, 4}); });
  expect_refused(name, [&] { call(sigmoid, {5, 4}, {3, 4}, {3, 4}, {4, 4}); });
  expect_refused(name, [&] { call(sigmoid, {5, 4}, {3, 4}, {3, 4}, {5, 3}); });
}

}  // namespace
}  // namespace hourglass::parity
