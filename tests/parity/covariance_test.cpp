// covariance: of the columns, float64, both triangles.
#include <cmath>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class Covariance : public BackendTest {
 protected:
  void compare(Trial trial, Shape shape, const std::vector<float>& values) {
    const oracle::Matrix64 wide(shape.rows, shape.columns, values);
    const std::vector<double> means = oracle::column_statistics(wide).mean;
    auto x = trial.input(values);
    auto mean = trial.input(means);
    auto covariance = trial.output<double>(shape.columns * shape.columns);
    trial.run([&](Backend& backend) {
      backend.covariance(x.matrix(shape.rows, shape.columns), mean.span(), covariance.span());
    });
    const oracle::Matrix64 want = oracle::covariance(wide, means);
    oracle::Matrix64 scale(shape.columns, shape.columns);
    for (std::int64_t i = 0; i < shape.columns; ++i) {
      for (std::int64_t j = 0; j < shape.columns; ++j) {
        scale(i, j) = std::sqrt(want(i, i) * want(j, j));
      }
    }
    trial.expect_close("covariance", covariance, want,
                       {.absolute = 1e-11, .relative = 1e-11, .scale = &scale});
    const std::vector<double> got = covariance.values();
    for (std::int64_t i = 0; i < shape.columns; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        ASSERT_EQ(got[i * shape.columns + j], got[j * shape.columns + i])
            << trial.context() << ": not symmetric at " << i << ", " << j;
      }
    }
  }
};
HOURGLASS_FOR_EVERY_BACKEND(Covariance);

TEST_P(Covariance, MatchesTheOracle) {
  std::vector<Shape> shapes = {{2, 1},   {2, 33},   {31, 31},  {33, 32},
                               {257, 1}, {255, 33}, {784, 31}, {5, 0}};
  if (!emulated())
    shapes.insert(shapes.end(), {{785, 65}, {33, 257}, {300, 255}, {1030, 50}, {800, 300}});
  std::uint64_t seed = 0;
  for (const Shape shape : shapes) {
    Random random(++seed);
    Trial trial = this->trial(seed, shape);
    trial.set_skew(any_skew(seed, 2));
    compare(trial, shape, random.normals(shape.rows * shape.columns, 2.0, 1.0));
  }
}

TEST_P(Covariance, KeepsASmallSpreadBesideALargeMean) {
  Random random(9);
  std::vector<float> values;
  for (int i = 0; i < 500 * 3; ++i) {
    values.push_back(65536.0f + static_cast<float>(random.below(16)) / 128.0f);
  }
  compare(trial(9, Shape{500, 3}), {500, 3}, values);
}

TEST_P(Covariance, OfAConstantColumnIsZero) {
  std::vector<float> values;
  for (int i = 0; i < 100; ++i)
    values.insert(values.end(), {0.1f, static_cast<float>(i)});
  compare(trial(0, Shape{100, 2}), {100, 2}, values);
}

TEST_P(Covariance, RefusesShapesThatDoNotFit) {
  Buffer<float> x(backend(), 12);
  Buffer<double> memory(backend(), 32);
  const auto call = [&](std::int64_t mean, std::int64_t covariance) {
    backend().covariance(x.matrix(4, 3), memory.span(0, mean), memory.span(8, covariance));
  };
  expect_refused("covariance", [&] { call(2, 9); });
  expect_refused("covariance", [&] { call(3, 8); });
}

}  // namespace
}  // namespace hourglass::parity
