// l1_penalty: B * weight * sum |codes|, gradient += weight * sign(codes).
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class L1Penalty : public BackendTest {
 protected:
  static constexpr double start = 2.0;

  void compare(Trial trial, Shape shape, const std::vector<float>& code_values, float weight,
               bool with_gradient) {
    Random random(99);
    const std::int64_t size = shape.rows * shape.columns;
    const std::vector<float> before = random.normals(size, 1e-3);
    auto codes = trial.input(code_values);
    auto gradient = trial.in_out(before);
    auto penalty = trial.in_out(std::vector<double>{start});
    trial.run([&](Backend& backend) {
      backend.l1_penalty(codes.matrix(shape.rows, shape.columns), weight,
                         with_gradient ? gradient.matrix(shape.rows, shape.columns) : Mat{},
                         penalty.data());
    });
    const oracle::PenaltyOutput want = oracle::l1_penalty(
        oracle::Matrix64(shape.rows, shape.columns, code_values), double{weight});
    trial.expect_close("penalty", penalty, std::vector<double>{start + want.penalty},
                       {.absolute = 1e-9, .relative = 2e-6});
    oracle::Matrix64 wanted(shape.rows, shape.columns, before);
    if (with_gradient) {
      for (std::size_t i = 0; i < wanted.values.size(); ++i) {
        wanted.values[i] += want.gradient.values[i];
      }
    }
    trial.expect_close("gradient", gradient, wanted, {.absolute = 1e-9, .relative = 1e-6});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(L1Penalty);

TEST_P(L1Penalty, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    for (const int variant : {0, 1, 2, 3}) {
      const bool with_gradient = variant % 2 == 0;
      Random random(++seed);
      std::vector<float> codes = random.normals(shape.rows * shape.columns, 3.0);
      for (std::size_t i = 0; i < codes.size(); i += 3)
        codes[i] = i % 2 == 0 ? 0.0f : -0.0f;
      Trial trial = this->trial(seed, shape);
      trial.set_skew(variant / 2);
      compare(trial, shape, codes, 3.7e-4f, with_gradient);
    }
  }
}

TEST_P(L1Penalty, LetsNanThrough) {
  std::vector<float> codes(33, 0.5f);
  codes[32] = std::numeric_limits<float>::quiet_NaN();
  compare(trial(0, Shape{1, 33}), {1, 33}, codes, 0.1f, false);
}

TEST_P(L1Penalty, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<double> penalty(backend(), 1);
  expect_refused("l1_penalty", [&] {
    backend().l1_penalty({memory.data(), 3, 4}, 0.1f, {memory.data() + 32, 4, 3}, penalty.data());
  });
}

}  // namespace
}  // namespace hourglass::parity
