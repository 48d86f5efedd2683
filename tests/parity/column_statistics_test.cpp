// column_statistics: mean and population deviation of each column in float64.
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class ColumnStatistics : public BackendTest {
 protected:
  template <class T>
  void compare(Trial trial, const std::vector<T>& values, Shape shape) {
    auto x = trial.input(values);
    auto mean = trial.output<double>(shape.columns);
    auto deviation = trial.output<double>(shape.columns);
    trial.run([&](Backend& backend) {
      backend.column_statistics({x.data(), sizeof(T) == 1, shape.rows, shape.columns}, mean.span(),
                                deviation.span());
    });
    if (shape.rows == 0) return;  // nothing is promised but that it ends well
    const auto want =
        oracle::column_statistics(oracle::Matrix64(shape.rows, shape.columns, values));
    trial.expect_close("mean", mean, want.mean, {.absolute = 1e-10, .relative = 1e-12});
    trial.expect_close("deviation", deviation, want.deviation,
                       {.absolute = 1e-10, .relative = 1e-11});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(ColumnStatistics);

TEST_P(ColumnStatistics, MatchTheOracle) {
  std::uint64_t seed = 0;
  std::vector<Shape> shapes = edge_shapes(emulated());
  if (!emulated()) shapes.push_back({5000, 33});
  for (const Shape shape : shapes) {
    Random random(++seed);
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < shape.rows * shape.columns; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(random.below(256)));
    }
    for (const std::int64_t skew : {0, 1}) {
      Trial of_bytes = trial(seed, shape);
      of_bytes.set_skew(skew);
      compare(of_bytes, bytes, shape);
      Trial of_floats = trial(seed, shape);
      of_floats.set_skew(skew);
      compare(of_floats, random.normals(shape.rows * shape.columns, 3.0, 1.0), shape);
    }
  }
}

TEST_P(ColumnStatistics, KeepASmallDeviationBesideALargeMean) {
  // One pass over the squares would lose all of it: mean^2 is 1e12 deviations^2.
  const Shape shape{emulated() ? 300 : 5000, 3};
  Random random(4);
  std::vector<float> values;
  for (std::int64_t i = 0; i < shape.rows * shape.columns; ++i) {
    values.push_back(65536.0f + static_cast<float>(random.below(16)) / 128.0f);
  }
  compare(trial(4, shape), values, shape);
}

TEST_P(ColumnStatistics, ConstantColumnsDeviateByExactlyZero) {
  for (const std::int64_t rows : {1, 3, 257, emulated() ? 300 : 10000}) {
    const std::vector<float> constants{0.1f, -7.3e-5f, 1.0f / 3.0f, 0.0f, 3.1e7f};
    std::vector<float> values;
    for (std::int64_t i = 0; i < rows; ++i) {
      values.insert(values.end(), constants.begin(), constants.end());
    }
    Trial trial = this->trial(0, Shape{rows, 5});
    auto x = trial.input(values);
    auto mean = trial.output<double>(5);
    auto deviation = trial.output<double>(5);
    trial.run([&](Backend& backend) {
      backend.column_statistics({x.data(), false, rows, 5}, mean.span(), deviation.span());
    });
    EXPECT_EQ(mean.values(), widen(constants)) << trial.context();
    EXPECT_EQ(deviation.values(), std::vector<double>(5, 0.0)) << trial.context();
  }
}

TEST_P(ColumnStatistics, RefuseShapesThatDoNotFit) {
  Buffer<float> x(backend(), 12);
  Buffer<double> out(backend(), 8);
  const FeatureView view{x.data(), false, 4, 3};
  expect_refused("column_statistics",
                 [&] { backend().column_statistics(view, out.span(0, 2), out.span(4, 3)); });
  expect_refused("column_statistics",
                 [&] { backend().column_statistics(view, out.span(0, 3), out.span(4, 4)); });
}

}  // namespace
}  // namespace hourglass::parity
