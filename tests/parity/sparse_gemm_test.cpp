// sparse_gemm: c = op(a) b + beta c, whatever share of a holds the zeros of its columns.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class SparseGemm : public BackendTest {
 protected:
  /// a: rows x columns; `share` of it differs from the zeros, which are 0 where not `shifted`.
  void compare(std::uint64_t seed, Shape shape, std::int64_t n, double share, bool shifted,
               Transpose ta, float beta) {
    Random random(seed);
    const std::vector<float> zeros =
        shifted ? random.normals(shape.columns, 0.7) : std::vector<float>();
    std::vector<float> a_values;
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      for (std::int64_t d = 0; d < shape.columns; ++d) {
        const float zero = shifted ? zeros[static_cast<std::size_t>(d)] : 0.0f;
        const auto value = static_cast<float>(random.normal());
        a_values.push_back(random.uniform() < share ? value : zero);
      }
    }
    const bool turned = ta == Transpose::yes;
    const std::int64_t m = turned ? shape.columns : shape.rows;
    const std::int64_t k = turned ? shape.rows : shape.columns;
    const std::vector<float> b_values = random.normals(k * n);
    std::vector<float> c_values = random.normals(m * n);
    if (beta == 0.0f) {  // must not be read
      c_values.assign(c_values.size(), std::numeric_limits<float>::quiet_NaN());
    }

    Trial trial = this->trial(
        seed, std::to_string(shape.rows) + "x" + std::to_string(shape.columns) + " by " +
                  std::to_string(n) + (turned ? " a^T" : " a") + (shifted ? ", shifted" : "") +
                  ", share " + std::to_string(share) + ", beta " + std::to_string(beta));
    trial.set_skew(any_skew(seed, 2));
    auto a = trial.input(a_values);
    auto zero = trial.input(zeros);
    auto b = trial.input(b_values);
    auto c = trial.in_out(c_values);
    trial.run([&](Backend& backend) {
      backend.sparse_gemm(ta, a.matrix(shape.rows, shape.columns), zero.span(), b.matrix(k, n),
                          beta, c.matrix(m, n));
    });

    const oracle::Matrix64 want = oracle::gemm(
        ta, Transpose::no, 1.0, oracle::Matrix64(shape.rows, shape.columns, a_values),
        oracle::Matrix64(k, n, b_values), double{beta}, oracle::Matrix64(m, n, c_values));
    // Shifted elements have 1.2 times the deviation.
    const double magnitude = 1.2 * std::sqrt(static_cast<double>(k)) + std::abs(double{beta});
    trial.expect_close("c", c, want,
                       {.absolute = 2e-6 * magnitude, .relative = 2e-6, .norm = 2e-6});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(SparseGemm);

TEST_P(SparseGemm, MatchesTheOracleAtEveryShare) {
  std::uint64_t seed = 0;
  // Around words of 64 columns and rows, groups of 4, pairs of rows; products of one, two and many
  // vectors, and of no whole number of them.
  std::vector<std::pair<Shape, std::int64_t>> cases = {
      {{1, 1}, 16}, {{3, 67}, 16}, {{65, 63}, 32}, {{32, 33}, 17}, {{0, 5}, 16}, {{5, 3}, 0}};
  if (!emulated()) {
    const std::pair<Shape, std::int64_t> large[] = {
        {{256, 784}, 32}, {{256, 784}, 176}, {{96, 785}, 2},    {{96, 785}, 48},
        {{255, 257}, 16}, {{255, 257}, 128}, {{255, 257}, 272}, {{129, 64}, 256}};
    cases.insert(cases.end(), std::begin(large), std::end(large));
  }
  for (const auto& [shape, n] : cases) {
    for (const double share : {0.0, 0.02, 0.2, 0.9}) {
      for (const Transpose ta : {Transpose::no, Transpose::yes}) {
        ++seed;
        compare(seed, shape, n, share, seed % 3 == 0, ta, 0.0f);
      }
    }
  }
}

TEST_P(SparseGemm, Accumulates) {
  std::uint64_t seed = 500;
  for (const float beta : {1.0f, 0.5f}) {
    for (const bool shifted : {false, true}) {
      for (const Transpose ta : {Transpose::no, Transpose::yes})
        compare(++seed, {33, 70}, 48, 0.1, shifted, ta, beta);
    }
  }
}

TEST_P(SparseGemm, LetsNanThrough) {
  constexpr std::int64_t depth = 40, n = 16;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Transpose ta : {Transpose::no, Transpose::yes}) {
    const bool turned = ta == Transpose::yes;
    const Shape shape = turned ? Shape{depth, 3} : Shape{3, depth};
    std::vector<float> a_values(3 * depth, 0.0f);
    a_values[static_cast<std::size_t>(turned ? 5 * 3 + 1 : depth + 5)] = nan;  // op(a)(1, 5)
    Trial trial = this->trial(0, shape);
    auto a = trial.input(a_values);
    auto b = trial.input(std::vector<float>(depth * n, 1.0f));
    auto c = trial.output<float>(3 * n);
    trial.run([&](Backend& backend) {
      backend.sparse_gemm(ta, a.matrix(shape.rows, shape.columns), {}, b.matrix(depth, n), 0.0f,
                          c.matrix(3, n));
    });
    std::vector<double> want(3 * n, 0.0);
    std::fill_n(want.begin() + n, n, double{nan});
    trial.expect_close("c", c, want, {});
  }
}

TEST_P(SparseGemm, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 1000);
  const auto multiply = [&](Transpose ta, Shape a, std::int64_t zeros, Shape b, Shape c) {
    backend().sparse_gemm(ta, {memory.data(), a.rows, a.columns}, memory.span(300, zeros),
                          {memory.data() + 400, b.rows, b.columns}, 0.0f,
                          {memory.data() + 700, c.rows, c.columns});
  };
  const auto no = Transpose::no;
  const auto yes = Transpose::yes;
  expect_refused("sparse_gemm", [&] { multiply(no, {3, 4}, 4, {5, 16}, {3, 16}); });
  expect_refused("sparse_gemm", [&] { multiply(no, {3, 4}, 3, {4, 16}, {3, 16}); });
  expect_refused("sparse_gemm", [&] { multiply(no, {3, 4}, 0, {4, 16}, {4, 16}); });
  expect_refused("sparse_gemm", [&] { multiply(yes, {3, 4}, 0, {4, 16}, {4, 16}); });
  expect_refused("sparse_gemm", [&] { multiply(yes, {3, 4}, 3, {3, 16}, {4, 16}); });
}

}  // namespace
}  // namespace hourglass::parity
