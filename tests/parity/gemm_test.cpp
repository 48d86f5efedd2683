// gemm: c = alpha op(a) op(b) + beta c.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

struct Product {
  std::int64_t m, n, k;
};

std::vector<Product> products(bool emulated) {
  std::vector<Product> list = {{1, 1, 1},    {31, 33, 32},  {33, 31, 1}, {1, 257, 33},
                               {257, 1, 31}, {32, 32, 255}, {0, 3, 4},   {3, 0, 4}};
  if (!emulated) {
    // The five products of a 784-32-784 step and of its last batch, and edges of a GEMM's tiles.
    const Product large[] = {{256, 32, 784}, {256, 784, 32}, {32, 784, 256}, {784, 32, 256},
                             {96, 32, 784},  {785, 31, 257}, {255, 257, 33}, {2, 785, 256}};
    list.insert(list.end(), std::begin(large), std::end(large));
  }
  return list;
}

class Gemm : public BackendTest {
 protected:
  void compare(std::uint64_t seed, Product p, Transpose ta, Transpose tb, float alpha, float beta,
               std::int64_t skew) {
    Random random(seed);
    const Shape a_shape = ta == Transpose::yes ? Shape{p.k, p.m} : Shape{p.m, p.k};
    const Shape b_shape = tb == Transpose::yes ? Shape{p.n, p.k} : Shape{p.k, p.n};
    const std::vector<float> a_values = random.normals(p.m * p.k);
    const std::vector<float> b_values = random.normals(p.k * p.n);
    std::vector<float> c_values = random.normals(p.m * p.n);
    if (beta == 0.0f) {  // must not be read
      c_values.assign(c_values.size(), std::numeric_limits<float>::quiet_NaN());
    }

    Trial trial = this->trial(
        seed, std::to_string(p.m) + "x" + std::to_string(p.n) + "x" + std::to_string(p.k) +
                  (ta == Transpose::yes ? " a^T" : " a") + (tb == Transpose::yes ? " b^T" : " b") +
                  ", alpha " + std::to_string(alpha) + ", beta " + std::to_string(beta));
    trial.set_skew(skew);
    auto a = trial.input(a_values);
    auto b = trial.input(b_values);
    auto c = trial.in_out(c_values);
    trial.run([&](Backend& backend) {
      backend.gemm(ta, tb, alpha, a.matrix(a_shape.rows, a_shape.columns),
                   b.matrix(b_shape.rows, b_shape.columns), beta, c.matrix(p.m, p.n));
    });

    const oracle::Matrix64 wide_a(a_shape.rows, a_shape.columns, a_values);
    const oracle::Matrix64 wide_b(b_shape.rows, b_shape.columns, b_values);
    const oracle::Matrix64 wide_c(p.m, p.n, c_values);
    const oracle::Matrix64 want =
        oracle::gemm(ta, tb, double{alpha}, wide_a, wide_b, double{beta}, wide_c);
    // Rounding grows with the magnitudes that are summed, about 2^-24 sqrt(k) of their norm.
    const double magnitude =
        std::abs(double{alpha}) * std::sqrt(static_cast<double>(p.k)) + std::abs(double{beta});
    trial.expect_close("c", c, want,
                       {.absolute = 2e-6 * magnitude, .relative = 2e-6, .norm = 2e-6});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(Gemm);

TEST_P(Gemm, MatchesTheOracleInAllFourTranspositions) {
  std::uint64_t seed = 0;
  for (const Product& product : products(emulated())) {
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        ++seed;
        compare(seed, product, ta, tb, 1.0f, 0.0f, any_skew(seed, 2));
      }
    }
  }
}

TEST_P(Gemm, ScalesAndAccumulates) {
  std::uint64_t seed = 100;
  for (const Product& product : {Product{33, 65, 31}, Product{96, 32, 257}}) {
    for (const auto& [alpha, beta] :
         {std::pair{1.0f, 1.0f}, {-0.5f, 2.0f}, {0.0f, 0.5f}, {3.0f, 0.0f}}) {
      for (const Transpose ta : {Transpose::no, Transpose::yes}) {
        for (const Transpose tb : {Transpose::no, Transpose::yes}) {
          compare(++seed, product, ta, tb, alpha, beta, 1);
        }
      }
    }
  }
}

TEST_P(Gemm, OfNothingIsBetaTimesC) {
  compare(1, {5, 7, 0}, Transpose::no, Transpose::no, 1.0f, 0.5f, 0);
  compare(2, {5, 7, 0}, Transpose::yes, Transpose::no, 1.0f, 0.0f, 0);
}

TEST_P(Gemm, LetsNanThrough) {
  Trial trial = this->trial(0, "2x2x2");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  auto a = trial.input(std::vector<float>{1, nan, 1, 1});
  auto b = trial.input(std::vector<float>{0, 0, 0, 1});
  auto c = trial.output<float>(4);
  trial.run([&](Backend& backend) {
    backend.gemm(Transpose::no, Transpose::no, 1.0f, a.matrix(2, 2), b.matrix(2, 2), 0.0f,
                 c.matrix(2, 2));
  });
  trial.expect_close("c", c, std::vector<double>{double{nan}, double{nan}, 0, 1}, {});
}

TEST_P(Gemm, TakesTf32WhereThereIsAny) {
  if (!backend().info().tf32) {
    expect_refused("set_gemm_precision", [&] { backend().set_gemm_precision(Precision::tf32); });
    return;
  }
  const std::int64_t m = 33, n = 40, k = 64;
  Random random(70);
  const std::vector<float> a_values = random.normals(m * k), b_values = random.normals(k * n);
  const Buffer<float> a(backend(), std::span<const float>(a_values));
  const Buffer<float> b(backend(), std::span<const float>(b_values));
  Buffer<float> c(backend(), m * n);
  const auto product = [&] {
    backend().gemm(Transpose::no, Transpose::no, 1.0f, a.matrix(m, k), b.matrix(k, n), 0.0f,
                   c.matrix(m, n));
    return c.download();
  };
  const std::vector<float> exact = product();
  std::vector<float> rounded;
  {
    const GemmPrecision precision(backend(), Precision::tf32);
    rounded = product();
  }
  EXPECT_EQ(product(), exact);  // float32 again
  EXPECT_NE(rounded, exact);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double magnitude = 0.0;
      for (std::int64_t l = 0; l < k; ++l) {
        magnitude += std::abs(double{a_values[static_cast<std::size_t>(i * k + l)]} *
                              double{b_values[static_cast<std::size_t>(l * n + j)]});
      }
      // Each factor loses at most 2^-10 of itself.
      const auto at = static_cast<std::size_t>(i * n + j);
      EXPECT_TRUE(std::abs(double{rounded[at]} - double{exact[at]}) <= 0x1.1p-9 * magnitude)
          << i << ", " << j << ": " << rounded[at] << ", in float32 " << exact[at];
    }
  }
}

TEST_P(Gemm, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 300);
  const auto multiply = [&](Transpose ta, Transpose tb, Shape a, Shape b, Shape c) {
    backend().gemm(ta, tb, 1.0f, {memory.data(), a.rows, a.columns},
                   {memory.data() + 100, b.rows, b.columns}, 0.0f,
                   {memory.data() + 200, c.rows, c.columns});
  };
  const auto no = Transpose::no;
  const auto yes = Transpose::yes;
  expect_refused("gemm", [&] { multiply(no, no, {3, 4}, {5, 6}, {3, 6}); });
  expect_refused("gemm", [&] { multiply(no, no, {3, 4}, {4, 6}, {4, 6}); });
  expect_refused("gemm", [&] { multiply(no, no, {3, 4}, {4, 6}, {3, 5}); });
  expect_refused("gemm", [&] { multiply(yes, no, {3, 4}, {4, 6}, {3, 6}); });
  expect_refused("gemm", [&] { multiply(no, yes, {3, 4}, {4, 6}, {3, 6}); });
}

}  // namespace
}  // namespace hourglass::parity
