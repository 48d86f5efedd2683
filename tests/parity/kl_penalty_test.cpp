// kl_penalty: B * beta * sum_k KL(rho || mean activation), and its gradient to every code.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class KlPenalty : public BackendTest {
 protected:
  static constexpr double start = 2.0;

  void compare(Trial trial, Shape shape, const std::vector<float>& code_values, float rho,
               float beta, bool with_gradient) {
    Random random(98);
    const std::int64_t size = shape.rows * shape.columns;
    const std::vector<float> before = random.normals(size, 1e-3);
    auto codes = trial.input(code_values);
    auto gradient = trial.in_out(before);
    auto mean = trial.output<float>(shape.columns);
    auto penalty = trial.in_out(std::vector<double>{start});
    trial.run([&](Backend& backend) {
      backend.kl_penalty(codes.matrix(shape.rows, shape.columns), rho, beta,
                         with_gradient ? gradient.matrix(shape.rows, shape.columns) : Mat{},
                         mean.span(), penalty.data());
    });
    if (shape.rows == 0) {
      EXPECT_EQ(penalty.values()[0], start) << trial.context();
      return;
    }
    const oracle::PenaltyOutput want = oracle::kl_penalty(
        oracle::Matrix64(shape.rows, shape.columns, code_values), double{rho}, double{beta});
    trial.expect_close("mean_activation", mean, want.mean_activation,
                       {.absolute = 1e-9, .relative = 1e-6});
    // A mean that is off by 2^-24 moves ln(rho / mean) by 2^-24, so the sum by about that much a
    // unit.
    const double units = static_cast<double>(size) * double{beta};
    trial.expect_close("penalty", penalty, std::vector<double>{start + want.penalty},
                       {.absolute = 1e-6 * units, .relative = 2e-6});
    oracle::Matrix64 wanted(shape.rows, shape.columns, before);
    oracle::Matrix64 scale(shape.rows, shape.columns, 1e-3);
    if (with_gradient) {
      for (std::int64_t b = 0; b < shape.rows; ++b) {
        for (std::int64_t k = 0; k < shape.columns; ++k) {
          wanted(b, k) += want.gradient(b, k);
          // Both parts of the gradient have a rounding of their own, and near mean 1 the
          // difference 1 - mean has one of 2^-24 / (1 - mean).
          const double m = std::min(std::max(want.mean_activation[k], 1e-7), 1.0 - 1e-7);
          scale(b, k) +=
              double{beta} / static_cast<double>(shape.rows) *
              (double{rho} / m + (1.0 - double{rho}) / (1.0 - m) * (1.0 + 0.1 / (1.0 - m)));
        }
      }
    }
    trial.expect_close("gradient", gradient, wanted,
                       {.absolute = 1e-6, .relative = 1e-6, .scale = &scale});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(KlPenalty);

TEST_P(KlPenalty, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    for (const bool with_gradient : {true, false}) {
      Random random(++seed);
      Trial trial = this->trial(seed, shape);
      trial.set_skew(any_skew(seed, 2));
      compare(trial, shape, random.uniforms(shape.rows * shape.columns, 0.01, 0.9), 0.05f, 0.4f,
              with_gradient);
    }
  }
}

TEST_P(KlPenalty, HoldsAtTheClip) {
  // A unit a column: below the clip, at 0, beyond 1, at 1, just inside both ends, at rho.
  const std::vector<float> means{-0.5f, 0.0f, 1e-8f, 1.5f, 1.0f, 1e-6f, 2e-7f, 0.99999f, 0.05f};
  const auto columns = static_cast<std::int64_t>(means.size());
  for (const std::int64_t rows : {1, 4, 64}) {
    std::vector<float> codes;
    for (std::int64_t b = 0; b < rows; ++b)
      codes.insert(codes.end(), means.begin(), means.end());
    compare(trial(0, Shape{rows, columns}), {rows, columns}, codes, 0.05f, 0.4f, true);
    for (std::int64_t k = 0; k < columns; ++k) {  // alone: no unit's penalty hides another's
      compare(trial(0, "mean " + std::to_string(means[k])), {rows, 1},
              std::vector<float>(static_cast<std::size_t>(rows), means[k]), 0.05f, 0.4f, true);
    }
  }
}

TEST_P(KlPenalty, LetsNanThrough) {
  std::vector<float> codes(4 * 33, 0.5f);
  codes[2 * 33 + 32] = std::numeric_limits<float>::quiet_NaN();
  compare(trial(0, Shape{4, 33}), {4, 33}, codes, 0.05f, 0.4f, true);
}

TEST_P(KlPenalty, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<double> penalty(backend(), 1);
  const auto call = [&](Shape gradient, std::int64_t mean) {
    backend().kl_penalty({memory.data(), 3, 4}, 0.05f, 0.4f,
                         {memory.data() + 16, gradient.rows, gradient.columns},
                         memory.span(48, mean), penalty.data());
  };
  expect_refused("kl_penalty", [&] { call({4, 3}, 4); });
  expect_refused("kl_penalty", [&] { call({3, 4}, 3); });
}

}  // namespace
}  // namespace hourglass::parity
