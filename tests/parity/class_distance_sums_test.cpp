// class_distance_sums: for every row the sum of its distances to each class.
#include <limits>

#include "tests/oracle/neighbours.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class ClassDistanceSums : public BackendTest {
 protected:
  void compare(Trial trial, Shape shape, std::int64_t classes, const std::vector<float>& values,
               const std::vector<std::int32_t>& label_values) {
    auto x = trial.input(values);
    auto labels = trial.input(label_values);
    auto sums = trial.output<double>(shape.rows * classes);
    trial.run([&](Backend& backend) {
      backend.class_distance_sums(x.matrix(shape.rows, shape.columns), labels.span(),
                                  sums.matrix(shape.rows, classes));
    });
    trial.expect_close(
        "sums", sums,
        oracle::class_distance_sums(oracle::Matrix64(shape.rows, shape.columns, values),
                                    label_values, classes),
        {.absolute = 1e-12, .relative = 2e-6});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(ClassDistanceSums);

TEST_P(ClassDistanceSums, MatchTheOracle) {
  struct Case {
    Shape shape;
    std::int64_t classes;
  };
  std::vector<Case> cases = {{{1, 1}, 1},   {{31, 2}, 3},   {{33, 33}, 10},
                             {{257, 2}, 1}, {{32, 31}, 40}, {{0, 3}, 2}};
  if (!emulated()) {
    cases.insert(cases.end(),
                 {{{256, 784}, 10}, {{785, 32}, 10}, {{784, 2}, 257}, {{1281, 17}, 3}});
  }
  std::uint64_t seed = 0;
  for (const Case& c : cases) {
    Random random(++seed);
    std::vector<std::int32_t> labels;
    for (std::int64_t i = 0; i < c.shape.rows; ++i) {
      labels.push_back(static_cast<std::int32_t>(random.below(c.classes)));
    }
    Trial trial = this->trial(seed, c.shape);
    trial.set_skew(any_skew(seed, 2));
    compare(trial, c.shape, c.classes, random.normals(c.shape.rows * c.shape.columns, 3.0), labels);
  }
}

TEST_P(ClassDistanceSums, OfEqualPointsAreZero) {
  compare(trial(0, Shape{65, 7}), {65, 7}, 2, std::vector<float>(65 * 7, 0.1f),
          std::vector<std::int32_t>(65, 1));
}

TEST_P(ClassDistanceSums, OfNearPointsFarFromTheOriginKeepTheirAccuracy) {
  Random random(5);
  std::vector<float> values = random.normals(100 * 8, 0.01, 50.0);
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 100; ++i)
    labels.push_back(i % 3);
  compare(trial(5, Shape{100, 8}), {100, 8}, 3, values, labels);
}

TEST_P(ClassDistanceSums, PassOverLabelsThatAreNoClass) {
  Random random(7);
  constexpr std::int64_t rows = 130;
  std::vector<std::int32_t> labels;
  for (int i = 0; i < rows; ++i)
    labels.push_back(i % 7 - 2);  // -2 .. 4, of which 0 .. 2 are classes
  labels[5] = std::numeric_limits<std::int32_t>::min();
  labels[70] = std::numeric_limits<std::int32_t>::max();
  compare(trial(7, Shape{rows, 5}), {rows, 5}, 3, random.normals(rows * 5), labels);
  compare(trial(8, Shape{rows, 5}), {rows, 5}, 3, random.normals(rows * 5),
          std::vector<std::int32_t>(rows, 3));
}

TEST_P(ClassDistanceSums, OfManyRowsWithAndWithoutAClass) {
  // Pairs of blocks, whole and cut; a class of most rows, classes of one, one that is empty.
  const std::vector<std::int64_t> sizes =
      emulated() ? std::vector<std::int64_t>{130} : std::vector<std::int64_t>{511, 513, 1030};
  for (const std::int64_t rows : sizes) {
    Random random(static_cast<std::uint64_t>(rows));
    std::vector<std::int32_t> labels;
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t draw = random.below(20);
      labels.push_back(draw < 12 ? 1 : draw < 15 ? 5 : draw < 18 ? -1 : 9);
    }
    labels[0] = 0;
    labels[7] = 6;
    compare(trial(9, Shape{rows, 6}), {rows, 6}, 8, random.normals(rows * 6), labels);
  }
}

TEST_P(ClassDistanceSums, RefuseShapesThatDoNotFit) {
  Buffer<float> x(backend(), 12);
  Buffer<std::int32_t> labels(backend(), 8);
  Buffer<double> sums(backend(), 32);
  expect_refused("class_distance_sums", [&] {
    backend().class_distance_sums(x.matrix(4, 3), labels.span(0, 3), sums.matrix(4, 2));
  });
  expect_refused("class_distance_sums", [&] {
    backend().class_distance_sums(x.matrix(4, 3), labels.span(0, 4), sums.matrix(3, 2));
  });
}

}  // namespace
}  // namespace hourglass::parity
