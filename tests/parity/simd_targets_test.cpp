// The CPU backend's operations for training, PCA and scaling on every instruction set of this
// machine, not only the best, against the oracle; and with one thread against three, bit by bit.
// The suites of the single operations (in the files named after them) run on the best one.
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/cpu/backend.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/neighbours.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::cpu {
namespace {

using oracle::Matrix64;
using parity::Random;
using parity::Shape;
using parity::widen;

class SimdTargets : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { choose(GetParam()); }
  void TearDown() override { choose(0); }

  /// The only instruction set from here on; 0: the best again.
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }

  static void expect_close(const std::string& what, Shape shape, const std::vector<double>& got,
                           const Matrix64& want, const parity::Tolerance& tolerance) {
    const std::string differences = parity::differences(got, want, tolerance);
    EXPECT_TRUE(differences.empty())
        << what << ", " << shape.rows << "x" << shape.columns << ": " << differences;
  }
  static void expect_close(const std::string& what, Shape shape, const std::vector<float>& got,
                           const Matrix64& want, const parity::Tolerance& tolerance) {
    expect_close(what, shape, widen(got), want, tolerance);
  }

  static constexpr Shape shapes[] = {{1, 1}, {3, 2}, {5, 37}, {33, 31}, {70, 785}};

  CpuBackend backend_{1};
};

INSTANTIATE_TEST_SUITE_P(On, SimdTargets, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<std::int64_t>& info) {
                           return std::string(hwy::TargetName(info.param));
                         });

Matrix64 matrix(Shape shape, const std::vector<float>& values) {
  return {shape.rows, shape.columns, widen(values)};
}

Matrix64 row(const std::vector<double>& values) {
  return {1, static_cast<std::int64_t>(values.size()), values};
}

Mat view(std::vector<float>& values, Shape shape) {
  return {values.data(), shape.rows, shape.columns};
}

TEST_P(SimdTargets, SigmoidBceAndSquaredError) {
  for (const Shape shape : shapes) {
    Random random(11);
    const std::int64_t size = shape.rows * shape.columns;
    std::vector<float> z = random.normals(size, 6.0), bias = random.normals(shape.columns);
    std::vector<float> t = random.uniforms(size);
    for (int which = 0; which < 3; ++which) {
      std::vector<float> gradient(z.size(), NAN), bias_gradient(bias.size(), NAN);
      double loss = 0.0;
      oracle::LossOutput want;
      if (which == 0) {
        backend_.sigmoid_bce(view(z, shape), bias, view(t, shape), 1e-7f, view(gradient, shape),
                             bias_gradient, &loss);
        want = oracle::sigmoid_bce(matrix(shape, z), widen(bias), matrix(shape, t), 1e-7f);
      } else {
        const Activation f = which == 1 ? Activation::sigmoid : Activation::linear;
        backend_.squared_error(f, view(z, shape), bias, view(t, shape), view(gradient, shape),
                               bias_gradient, &loss);
        want = oracle::squared_error(f, matrix(shape, z), widen(bias), matrix(shape, t));
      }
      const double unit = 1.0 / static_cast<double>(size);
      const std::string name = "loss " + std::to_string(which);
      // The sum z + bias is rounded: 1e-6 at |z| = 16 of the float32 result's own precision.
      expect_close(name, shape, std::vector<double>{loss}, row({want.loss}), {.relative = 3e-6});
      expect_close(name + " gradient", shape, gradient, want.gradient,
                   {.absolute = 2e-6 * unit, .relative = 2e-6});
      expect_close(name + " bias gradient", shape, bias_gradient, row(want.bias_gradient),
                   {.absolute = 2e-6 / static_cast<double>(shape.columns), .relative = 2e-6});
    }
  }
}

TEST_P(SimdTargets, SparseGemm) {
  for (const Shape shape : {Shape{1, 1}, Shape{5, 37}, Shape{70, 131}}) {
    constexpr std::int64_t n = 144;
    for (const bool shifted : {false, true}) {
      Random random(12);
      std::vector<float> zero(static_cast<std::size_t>(shape.columns), 0.0f);
      if (shifted) zero = random.normals(shape.columns);
      std::vector<float> a = random.normals(shape.rows * shape.columns);
      for (std::size_t i = 0; i < a.size(); ++i) {
        if (random.uniform() < 0.8) a[i] = zero[i % zero.size()];
      }
      for (const Transpose ta : {Transpose::no, Transpose::yes}) {
        const bool turned = ta == Transpose::yes;
        const Shape of_b{turned ? shape.rows : shape.columns, n};
        const Shape of_c{turned ? shape.columns : shape.rows, n};
        std::vector<float> b = random.normals(of_b.rows * n);
        std::vector<float> c(static_cast<std::size_t>(of_c.rows * n), NAN);
        backend_.sparse_gemm(ta, view(a, shape), zero, view(b, of_b), 0.0f, view(c, of_c));
        const Matrix64 want = oracle::gemm(ta, Transpose::no, 1.0, matrix(shape, a),
                                           matrix(of_b, b), 0.0, Matrix64(of_c.rows, n));
        expect_close(shifted ? "shifted" : "sparse", shape, c, want, {.absolute = 3e-5});
      }
    }
  }
}

TEST_P(SimdTargets, NearestNeighbours) {
  // Narrow rows by differences, others by products; integers, of which ties are known.
  struct Case {
    std::int64_t rows, columns, k;
    int bound;
  };
  for (const Case& c :
       {Case{300, 3, 40, 9}, {300, 17, 12, 3}, {450, 50, 100, 4}, {200, 300, 9, 5}}) {
    Random random(31);
    std::vector<float> x(static_cast<std::size_t>(c.rows * c.columns));
    for (float& value : x)
      value = static_cast<float>(random.below(c.bound));
    std::vector<std::int32_t> index(static_cast<std::size_t>(c.rows * c.k), -1);
    std::vector<float> distance(index.size(), NAN);
    const Shape shape{c.rows, c.columns}, found{c.rows, c.k};
    for (const bool same : {true, false}) {
      backend_.nearest_neighbours(view(x, shape), view(x, shape), same, {index.data(), c.rows, c.k},
                                  view(distance, found));
      const oracle::Neighbours want =
          oracle::nearest_neighbours(matrix(shape, x), matrix(shape, x), same, c.k);
      EXPECT_EQ(index, want.index) << c.rows << "x" << c.columns << ", same " << same;
      expect_close("distance", found, distance, want.squared_distance, {});
    }
  }
}

TEST_P(SimdTargets, BiasActivation) {
  for (const Shape shape : shapes) {
    for (int activation = 0; activation <= static_cast<int>(Activation::sigmoid); ++activation) {
      const auto f = static_cast<Activation>(activation);
      Random random(12);
      const std::int64_t size = shape.rows * shape.columns;
      std::vector<float> pre = random.normals(size, 2.0), bias = random.normals(shape.columns);
      std::vector<float> out(pre.size(), NAN), bias_gradient(bias.size(), NAN);
      std::vector<float> gradient = random.normals(size);
      const std::string name = "activation " + std::to_string(activation);
      const oracle::DenseOutput want = oracle::bias_activation(f, widen(bias), matrix(shape, pre));
      backend_.bias_activation(f, bias, view(pre, shape), view(out, shape));
      expect_close(name, shape, out, want.out, {.absolute = 1e-6, .relative = 2e-6});
      expect_close(name + " pre", shape, pre, want.pre, {.absolute = 1e-6, .relative = 1e-6});
      const oracle::DenseGradient back =
          oracle::bias_activation_backward(f, matrix(shape, pre), matrix(shape, gradient));
      backend_.bias_activation_backward(f, view(pre, shape), view(out, shape),
                                        view(gradient, shape), bias_gradient);
      expect_close(name + " gradient", shape, gradient, back.pre,
                   {.absolute = 2e-6, .relative = 2e-6});
      expect_close(name + " bias gradient", shape, bias_gradient, row(back.bias),
                   {.absolute = 1e-5, .relative = 2e-6});
    }
  }
}

TEST_P(SimdTargets, Penalties) {
  for (const Shape shape : shapes) {
    Random random(13);
    const std::int64_t size = shape.rows * shape.columns;
    std::vector<float> codes = random.uniforms(size, 0.01, 0.9), gradient(codes.size(), 0.0f);
    std::vector<float> mean(static_cast<std::size_t>(shape.columns), NAN);
    double penalty = 0.0;
    backend_.kl_penalty(view(codes, shape), 0.05f, 0.3f, view(gradient, shape), mean, &penalty);
    const oracle::PenaltyOutput kl = oracle::kl_penalty(matrix(shape, codes), 0.05f, 0.3f);
    expect_close("kl", shape, std::vector<double>{penalty}, row({kl.penalty}), {.relative = 2e-6});
    expect_close("kl gradient", shape, gradient, kl.gradient, {.relative = 1e-5});
    expect_close("kl mean", shape, mean, row(kl.mean_activation), {.relative = 1e-6});

    for (std::size_t i = 0; i < codes.size(); i += 3)
      codes[i] = i % 2 == 0 ? 0.0f : -codes[i];
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    penalty = 0.0;
    backend_.l1_penalty(view(codes, shape), 0.01f, view(gradient, shape), &penalty);
    const oracle::PenaltyOutput l1 = oracle::l1_penalty(matrix(shape, codes), 0.01f);
    expect_close("l1", shape, std::vector<double>{penalty}, row({l1.penalty}), {.relative = 2e-6});
    expect_close("l1 gradient", shape, gradient, l1.gradient, {});
  }
}

TEST_P(SimdTargets, ContractivePenalty) {
  for (const Shape shape : shapes) {
    for (int activation = 0; activation <= static_cast<int>(Activation::sigmoid); ++activation) {
      const auto f = static_cast<Activation>(activation);
      Random random(19);
      constexpr std::int64_t inputs = 50;
      std::vector<float> weights = random.normals(inputs * shape.columns, 0.3);
      std::vector<float> pre = random.normals(shape.rows * shape.columns, 1.5);
      std::vector<float> codes, gradient(pre.size(), 0.0f), weights_gradient(weights.size(), NAN);
      for (const float x : pre)
        codes.push_back(static_cast<float>(oracle::activate(f, x)));
      double penalty = 0.0;
      backend_.contractive_penalty(f, {weights.data(), inputs, shape.columns}, view(pre, shape),
                                   view(codes, shape), 0.2f, 0.0f, view(gradient, shape),
                                   {weights_gradient.data(), inputs, shape.columns}, &penalty);
      const oracle::ContractiveOutput want = oracle::contractive_penalty(
          f, {inputs, shape.columns, weights}, matrix(shape, pre), 0.2f);
      const std::string name = "contractive " + std::to_string(activation);
      const double unit = 1.0 / static_cast<double>(shape.rows);  // |W_k|^2 is about 4.5
      expect_close(name, shape, std::vector<double>{penalty}, row({want.penalty}),
                   {.relative = 1e-6});
      expect_close(name + " gradient", shape, gradient, want.gradient,
                   {.absolute = 4e-6 * unit, .relative = 2e-6});
      expect_close(name + " weights gradient", {inputs, shape.columns}, weights_gradient,
                   want.weights_gradient, {.absolute = 2e-7, .relative = 2e-6});
    }
  }
}

TEST_P(SimdTargets, L2PenaltyAndGradientNorm) {
  for (const std::int64_t size : {1, 15, 16, 17, 9003}) {
    Random random(20);
    const std::vector<float> weights = random.normals(size);
    std::vector<float> gradient(weights.size(), 0.0f);
    double penalty = 0.0;
    backend_.l2_penalty(weights, 0.5f, 3, gradient, &penalty);
    const oracle::PenaltyOutput want = oracle::l2_penalty(widen(weights), 0.5, 3);
    expect_close("l2", {1, size}, std::vector<double>{penalty}, row({want.penalty}),
                 {.relative = 1e-13});
    expect_close("l2 gradient", {1, size}, gradient, want.gradient, {});
    OptimiserState state;
    backend_.gradient_norm(weights, 0.25f, &state);
    const oracle::GradientNorm limited = oracle::gradient_norm(widen(weights), 0.25);
    expect_close("norm", {1, size}, std::vector<double>{state.gradient_norm}, row({limited.norm}),
                 {.relative = 1e-13});
    expect_close("scale", {1, size}, std::vector<float>{state.gradient_scale}, row({limited.scale}),
                 {.relative = 1e-7});
  }
}

TEST_P(SimdTargets, Corrupt) {
  for (const Shape shape :
       {Shape{1, 1}, Shape{3, 2}, Shape{1, 7}, Shape{5, 37}, Shape{33, 31}, Shape{300, 785}}) {
    Random random(21);
    std::vector<float> clean = random.uniforms(shape.rows * shape.columns);
    const std::int64_t step = 40;
    std::vector<float> noisy(clean.size(), NAN);
    backend_.corrupt(view(clean, shape), {Noise::Kind::mask, 0.4f}, {}, 1ull << 40, &step,
                     view(noisy, shape));
    expect_close("mask", shape, noisy,
                 oracle::corrupt(matrix(shape, clean), {Noise::Kind::mask, 0.4f}, 0.0, 0.0,
                                 1ull << 40, step),
                 {});
    backend_.corrupt(view(clean, shape), {Noise::Kind::gaussian, 0.5f}, {-1.0f, 2.0f}, 1ull << 40,
                     &step, view(noisy, shape));
    expect_close("gaussian", shape, noisy,
                 oracle::corrupt(matrix(shape, clean), {Noise::Kind::gaussian, 0.5f}, -1.0, 2.0,
                                 1ull << 40, step),
                 {.absolute = 5e-7, .relative = 1.2e-7});
  }
}

TEST_P(SimdTargets, Sgd) {
  for (const std::int64_t size : {1, 15, 16, 17, 1003}) {
    Random random(22);
    std::vector<float> p = random.normals(size), v(p.size());
    std::vector<double> want = widen(p);
    oracle::Sgd sgd{.momentum = 0.9f, .gradient_scale = 0.5};
    OptimiserState state;
    state.learning_rate = 0.01;
    state.gradient_scale = 0.5f;
    for (int step = 0; step < 5; ++step) {
      const std::vector<float> g = random.normals(size);
      backend_.sgd(p, g, v, 0.9f, &state, {});
      sgd.step(want, widen(g), 0.01);
    }
    expect_close("parameters", {1, size}, p, row(want), {.absolute = 1e-6, .relative = 1e-6});
    expect_close("velocity", {1, size}, v, row(sgd.velocity), {.absolute = 1e-6, .relative = 1e-6});
  }
}

TEST_P(SimdTargets, Adam) {
  for (const std::int64_t size : {1, 15, 16, 17, 1003}) {
    Random random(14);
    std::vector<float> p = random.normals(size), m(p.size()), v(p.size());
    std::vector<double> want = widen(p);
    oracle::Adam adam;
    adam.beta1 = 0.9f;
    adam.beta2 = 0.999f;
    adam.epsilon = 1e-7f;
    adam.weight_decay = 0.5f;
    adam.decayed = static_cast<std::size_t>(size / 2);
    adam.gradient_scale = 0.5;
    OptimiserState state;
    state.gradient_scale = 0.5f;
    for (int step = 0; step < 5; ++step) {
      const std::vector<float> g = random.normals(size, 0.01);
      backend_.adam(p, g, m, v, size / 2, {.weight_decay = 0.5f}, &state, {});
      adam.step(want, widen(g), 1e-3);
    }
    expect_close("parameters", {1, size}, p, row(want), {.absolute = 1e-6, .relative = 1e-6});
    expect_close("m", {1, size}, m, row(adam.first_moment), {.absolute = 1e-8, .relative = 1e-5});
    expect_close("v", {1, size}, v, row(adam.second_moment), {.relative = 1e-5});
  }
}

TEST_P(SimdTargets, RowsAndColumns) {
  for (const Shape shape : shapes) {
    Random random(15);
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < shape.rows * shape.columns; ++i)
      bytes.push_back(static_cast<std::uint8_t>(random.below(256)));
    const std::vector<float> floats(bytes.begin(), bytes.end());
    const std::vector<float> offset = random.uniforms(shape.columns, 0.0, 200.0);
    const std::vector<float> factor = random.uniforms(shape.columns, 0.1, 1.0);
    std::vector<std::int32_t> index;
    for (std::int64_t b = 0; b < 9; ++b)
      index.push_back(static_cast<std::int32_t>(random.below(shape.rows)));
    const Matrix64 source = matrix(shape, floats);
    for (const bool is_bytes : {true, false}) {
      const FeatureView view{is_bytes ? static_cast<const void*>(bytes.data()) : floats.data(),
                             is_bytes, shape.rows, shape.columns};
      std::vector<float> out(static_cast<std::size_t>(9 * shape.columns), NAN);
      backend_.gather_rows(view, index.data(), 0, offset, factor, {out.data(), 9, shape.columns});
      expect_close("gather_rows", shape, out,
                   oracle::gather_rows(source, &index, 0, widen(offset), widen(factor), 9),
                   {.relative = 3e-7});
      std::vector<double> mean(offset.size(), NAN), deviation(offset.size(), NAN);
      backend_.column_statistics(view, mean, deviation);
      const oracle::ColumnStatistics want = oracle::column_statistics(source);
      expect_close("mean", shape, mean, row(want.mean), {.relative = 1e-14});
      expect_close("deviation", shape, deviation, row(want.deviation), {.relative = 1e-13});
      if (is_bytes || shape.rows < 2) continue;
      std::vector<double> covariance(static_cast<std::size_t>(shape.columns * shape.columns), NAN);
      backend_.covariance({floats.data(), shape.rows, shape.columns}, mean, covariance);
      expect_close("covariance", shape, covariance, oracle::covariance(source, mean),
                   {.absolute = 1e-9, .relative = 1e-12});
    }
  }
}

TEST_P(SimdTargets, FmaChain) {
  for (const std::int64_t size : {1, 15, 16, 17, 1003}) {
    Random random(18);
    std::vector<float> values = random.normals(size);
    std::vector<double> want = widen(values);
    for (double& v : want)
      v = oracle::fma_chain(0.75, 0.5, 100, v);
    backend_.fma_chain(0.75f, 0.5f, 100, values);
    expect_close("fma_chain", {1, size}, values, row(want), {.relative = 1e-6});
  }
}

/// Runs `operation` with one thread and with three and compares what it returns.
template <class T>
void expect_same_with_threads(const std::function<std::vector<T>(CpuBackend&)>& operation) {
  CpuBackend one(1), three(3);
  const std::vector<T> a = operation(one), b = operation(three);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(a[i], b[i]) << "element " << i;
}

TEST(ThreadIndependence, FusedPasses) {
  constexpr Shape shape{300, 785};
  Random random(16);
  const std::int64_t size = shape.rows * shape.columns;
  std::vector<float> z = random.normals(size), bias = random.normals(shape.columns);
  std::vector<float> t = random.uniforms(size);
  expect_same_with_threads<double>([&](CpuBackend& backend) {
    std::vector<float> gradient(z.size()), bias_gradient(bias.size());
    double loss = 0.0, penalty = 0.0;
    backend.sigmoid_bce(view(z, shape), bias, view(t, shape), 1e-7f, view(gradient, shape),
                        bias_gradient, &loss);
    backend.l1_penalty(view(z, shape), 0.1f, view(gradient, shape), &penalty);
    std::vector<float> out(z.size()), sums(bias.size()), mean(bias.size()), pre = z;
    backend.bias_activation(Activation::elu, bias, view(pre, shape), view(out, shape));
    backend.bias_activation_backward(Activation::elu, view(pre, shape), view(out, shape),
                                     view(gradient, shape), sums);
    backend.kl_penalty(view(t, shape), 0.05f, 0.1f, view(gradient, shape), mean, &penalty);
    std::vector<float> weights_gradient(z.size()), noisy(z.size());
    backend.contractive_penalty(Activation::gelu, view(t, shape), view(z, shape), view(out, shape),
                                0.1f, 0.0f, view(gradient, shape), view(weights_gradient, shape),
                                &penalty);
    backend.l2_penalty(z, 0.1f, 3, gradient, &penalty);
    const std::int64_t step = 5;
    backend.corrupt(view(t, shape), {Noise::Kind::gaussian, 0.5f}, {0.0f, 1.0f}, 3, &step,
                    view(noisy, shape));
    std::vector<double> all{loss, penalty};
    for (const auto* values :
         {&gradient, &bias_gradient, &out, &sums, &mean, &weights_gradient, &noisy})
      all.insert(all.end(), values->begin(), values->end());
    return all;
  });
}

TEST(ThreadIndependence, AdamStatisticsAndCovariance) {
  constexpr Shape shape{5000, 300};
  Random random(17);
  std::vector<float> x = random.normals(shape.rows * shape.columns, 2.0, 5.0);
  std::vector<std::uint8_t> bytes(x.size());
  for (std::uint8_t& value : bytes)
    value = static_cast<std::uint8_t>(random.below(256));
  expect_same_with_threads<double>([&](CpuBackend& backend) {
    std::vector<double> mean(300), deviation(300), covariance(300 * 300), all;
    backend.column_statistics({bytes.data(), true, shape.rows, shape.columns}, mean, deviation);
    all.insert(all.end(), mean.begin(), mean.end());
    all.insert(all.end(), deviation.begin(), deviation.end());
    backend.column_statistics({x.data(), false, shape.rows, shape.columns}, mean, deviation);
    all.insert(all.end(), mean.begin(), mean.end());
    all.insert(all.end(), deviation.begin(), deviation.end());
    backend.covariance(view(x, shape), mean, covariance);
    all.insert(all.end(), covariance.begin(), covariance.end());
    std::vector<float> p = x, m(x.size()), v(x.size());
    OptimiserState state;
    backend.gradient_norm(x, 1.0f, &state);
    backend.adam(p, x, m, v, 700003, {.weight_decay = 0.1f}, &state, {});
    backend.sgd(p, x, m, 0.9f, &state, {});
    all.push_back(state.gradient_norm);
    all.insert(all.end(), p.begin(), p.end());
    return all;
  });
}

}  // namespace
}  // namespace hourglass::cpu
