// The oracle itself: gradients against finite differences, formulas against figures known in closed
// form or computed by hand.
#include "tests/oracle/autoencoder.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/neighbours.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace hourglass::oracle {
namespace {

using parity::Random;

constexpr Activation activations[] = {
    Activation::linear, Activation::relu, Activation::leaky_relu, Activation::elu,
    Activation::selu,   Activation::gelu, Activation::tanh,       Activation::sigmoid};

/// The derivative of f by the number at `x`, by central differences of fourth order.
double slope(double& x, const std::function<double()>& f, double h = 1e-3) {
  const double at = x;
  const auto value = [&](double shift) {
    x = at + shift;
    return f();
  };
  const double result =
      (8.0 * (value(h) - value(-h)) - (value(2.0 * h) - value(-2.0 * h))) / (12.0 * h);
  x = at;
  return result;
}

Matrix64 random_matrix(std::int64_t rows, std::int64_t columns, Random& random, double deviation) {
  return {rows, columns, random.normals(rows * columns, deviation)};
}

TEST(OracleActivations, HaveTheirKnownValues) {
  EXPECT_DOUBLE_EQ(activate(Activation::linear, -3.0), -3.0);
  EXPECT_DOUBLE_EQ(activate(Activation::relu, -3.0), 0.0);
  EXPECT_DOUBLE_EQ(activate(Activation::leaky_relu, -3.0), -0.03);
  EXPECT_NEAR(activate(Activation::elu, -1.0), -0.63212055882855767, 1e-15);
  EXPECT_NEAR(activate(Activation::selu, 1.0), 1.0507009873554805, 1e-15);
  EXPECT_NEAR(activate(Activation::selu, -100.0), -1.7580993408473766, 1e-15);
  EXPECT_NEAR(activate(Activation::gelu, 1.0), 0.84134474606854293, 1e-15);
  EXPECT_NEAR(activate(Activation::tanh, 0.5), 0.46211715726000975, 1e-15);
  EXPECT_NEAR(activate(Activation::sigmoid, 2.0), 0.88079707797788243, 1e-15);
  EXPECT_EQ(activation_derivative(Activation::relu, 0.0), 0.0);
  for (const Activation f : activations) {
    EXPECT_TRUE(std::isnan(activate(f, std::nan("")))) << static_cast<int>(f);
  }
}

TEST(OracleActivations, DerivativesMatchFiniteDifferences) {
  for (const Activation f : activations) {
    for (double x : {-20.0, -3.0, -1.0, -0.1, 0.1, 0.7, 2.0, 20.0}) {
      const double first = slope(x, [&] { return activate(f, x); });
      EXPECT_NEAR(activation_derivative(f, x), first, 1e-9) << static_cast<int>(f) << " at " << x;
      const double second = slope(x, [&] { return activation_derivative(f, x); });
      EXPECT_NEAR(activation_second_derivative(f, x), second, 1e-9)
          << static_cast<int>(f) << " at " << x;
    }
  }
}

TEST(OracleBce, EqualsTheTextbookFormInsideTheClip) {
  for (const double z : {-15.0, -2.0, 0.0, 0.3, 15.0}) {
    for (const double t : {-0.5, 0.0, 0.25, 1.0, 3.0}) {
      const double p = sigmoid(z);
      const BceTerm term = bce(z, t, 1e-7f);
      EXPECT_NEAR(term.loss, -t * std::log(p) - (1.0 - t) * std::log(1.0 - p), 1e-8);
      EXPECT_NEAR(term.gradient, p - t, 1e-15);
      EXPECT_NEAR(bce(z, t, 0.0f).loss, term.loss, 1e-12);
    }
  }
}

TEST(OracleBce, ClipsWhereFloat32Does) {
  EXPECT_NE(bce(-16.117, 0.5, 1e-7f).gradient, 0.0);
  EXPECT_EQ(bce(-16.119, 0.5, 1e-7f).gradient, 0.0);
  EXPECT_NE(bce(15.941, 0.5, 1e-7f).gradient, 0.0);
  EXPECT_EQ(bce(15.943, 0.5, 1e-7f).gradient, 0.0);
  EXPECT_EQ(bce(30.0, -2.0, 1e-7f).loss, bce(300.0, -2.0, 1e-7f).loss);
  EXPECT_NEAR(bce(300.0, -2.0, 0.0f).loss, 900.0, 1e-9);
  EXPECT_TRUE(std::isnan(bce(std::nan(""), 0.5, 1e-7f).loss));
}

TEST(OracleKl, IsZeroAtRhoAndMatchesFiniteDifferences) {
  EXPECT_NEAR(kl_penalty(Matrix64(4, 3, 0.05), 0.05, 2.0).penalty, 0.0, 1e-15);
  Random random(3);
  Matrix64 codes(5, 2, random.uniforms(10, 0.05, 0.95));
  const PenaltyOutput at = kl_penalty(codes, 0.1, 0.7);
  for (std::size_t i = 0; i < codes.values.size(); ++i) {
    const double want = slope(
        codes.values[i], [&] { return kl_penalty(codes, 0.1, 0.7).penalty / 5.0; }, 1e-4);
    EXPECT_NEAR(at.gradient.values[i], want, 1e-9);
  }
}

TEST(OracleContractive, MatchesFiniteDifferences) {
  for (const Activation f : activations) {
    Random random(static_cast<std::uint64_t>(f) + 40);
    Matrix64 weights = random_matrix(4, 3, random, 0.8);
    Matrix64 pre = random_matrix(5, 3, random, 1.5);
    const ContractiveOutput at = contractive_penalty(f, weights, pre, 0.7);
    const auto mean = [&] { return contractive_penalty(f, weights, pre, 0.7).penalty / 5.0; };
    const DenseGradient to_pre = bias_activation_backward(f, pre, at.gradient);
    for (std::size_t i = 0; i < pre.values.size(); ++i) {
      EXPECT_NEAR(to_pre.pre.values[i], slope(pre.values[i], mean, 1e-4), 1e-9)
          << static_cast<int>(f) << " at " << pre.values[i];
    }
    for (std::size_t i = 0; i < weights.values.size(); ++i) {
      EXPECT_NEAR(at.weights_gradient.values[i], slope(weights.values[i], mean, 1e-4), 1e-9)
          << static_cast<int>(f);
    }
  }
}

TEST(OracleContractive, IsTheNormOfTheJacobian) {
  for (const Activation f : activations) {
    Random random(static_cast<std::uint64_t>(f) + 60);
    const Matrix64 weights = random_matrix(4, 3, random, 0.8);
    Matrix64 x = random_matrix(2, 4, random, 1.0);
    const auto pre = [&] {
      return gemm(Transpose::no, Transpose::no, 1.0, x, weights, 0.0, Matrix64(2, 3));
    };
    double want = 0.0;
    for (std::int64_t b = 0; b < 2; ++b) {
      for (std::int64_t j = 0; j < 4; ++j) {
        for (std::int64_t k = 0; k < 3; ++k) {
          const double d = slope(
              x(b, j), [&] { return activate(f, pre()(b, k)); }, 1e-4);
          want += 0.3 * d * d;
        }
      }
    }
    EXPECT_NEAR(contractive_penalty(f, weights, pre(), 0.3).penalty, want, 1e-9)
        << static_cast<int>(f);
  }
}

TEST(OracleL2, MatchesFiniteDifferences) {
  Random random(4);
  std::vector<double> weights = parity::widen(random.normals(7, 2.0));
  const PenaltyOutput at = l2_penalty(weights, 0.3, 5);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_NEAR(at.gradient.values[i],
                slope(weights[i], [&] { return l2_penalty(weights, 0.3, 5).penalty / 5.0; }), 1e-9);
  }
}

// Vectors of the generator's authors: counter, key, and what comes out.
TEST(OraclePhilox, GivesThePublishedNumbers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(OracleNoise, HasItsMeanDeviationAndShare) {
  constexpr std::int64_t size = 400000;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Matrix64 ones(400, 1000, 1.0);
  for (const std::uint64_t seed : {1u, 2u}) {
    for (const std::int64_t step : {0, 1}) {
      const Matrix64 noisy =
          corrupt(ones, {Noise::Kind::gaussian, 0.5f}, -infinity, infinity, seed, step);
      double sum = 0.0, squares = 0.0, neighbours = 0.0, beyond = 0.0;
      for (std::size_t i = 0; i < noisy.values.size(); ++i) {
        const double z = (noisy.values[i] - 1.0) / 0.5;
        sum += z;
        squares += z * z;
        if (i > 0) neighbours += z * (noisy.values[i - 1] - 1.0) / 0.5;
        beyond += std::abs(z) > 2.0 ? 1.0 : 0.0;
      }
      // Five standard errors each: of a mean 1 / sqrt(n), of a variance sqrt(2 / n).
      const double error = 1.0 / std::sqrt(static_cast<double>(size));
      EXPECT_NEAR(sum / size, 0.0, 5.0 * error);
      EXPECT_NEAR(squares / size, 1.0, 5.0 * std::sqrt(2.0) * error);
      EXPECT_NEAR(neighbours / size, 0.0, 5.0 * error);
      EXPECT_NEAR(beyond / size, 0.0455003, 5.0 * std::sqrt(0.0455 * 0.9545) * error);

      const Matrix64 masked = corrupt(ones, {Noise::Kind::mask, 0.3f}, 0.0, 1.0, seed, step);
      double kept = 0.0;
      for (const double value : masked.values) {
        EXPECT_TRUE(value == 0.0 || value == 1.0);
        kept += value;
      }
      EXPECT_NEAR(kept / size, 0.7, 5.0 * std::sqrt(0.21) * error);
    }
  }
}

TEST(OracleNoise, FollowsSeedStepAndPlace) {
  const Matrix64 clean(3, 5, 0.5);
  const auto noisy = [&](std::uint64_t seed, std::int64_t step) {
    return corrupt(clean, {Noise::Kind::gaussian, 1.0f}, -100.0, 100.0, seed, step).values;
  };
  EXPECT_EQ(noisy(7, 9), noisy(7, 9));
  EXPECT_NE(noisy(7, 9), noisy(8, 9));
  EXPECT_NE(noisy(7, 9), noisy(7 + (1ull << 32), 9));
  EXPECT_NE(noisy(7, 9), noisy(7, 10));
  EXPECT_EQ(noisy(7, 9), noisy(7, 9 + (1ll << 32)));  // the step's lower 32 bits
  const std::vector<double> values = noisy(7, 9);
  const std::vector<double> other =
      corrupt(Matrix64(5, 3, 0.5), {Noise::Kind::gaussian, 1.0f}, -100.0, 100.0, 7, 9).values;
  EXPECT_EQ(values, other);  // elements are counted row by row
  const Matrix64 limited =
      corrupt(Matrix64(20, 20, 0.5), {Noise::Kind::gaussian, 1.0f}, 0.0, 0.75, 7, 9);
  EXPECT_EQ(*std::min_element(limited.values.begin(), limited.values.end()), 0.0);
  EXPECT_EQ(*std::max_element(limited.values.begin(), limited.values.end()), 0.75);
}

TEST(OracleGradientNorm, ByHand) {
  EXPECT_EQ(gradient_norm({3.0, -4.0}, 10.0).norm, 5.0);
  EXPECT_EQ(gradient_norm({3.0, -4.0}, 10.0).scale, 1.0);
  EXPECT_EQ(gradient_norm({3.0, -4.0}, 5.0).scale, 1.0);
  EXPECT_EQ(gradient_norm({3.0, -4.0}, 2.5).scale, 0.5);
  EXPECT_TRUE(std::isnan(gradient_norm({3.0, std::nan("")}, 2.5).scale));
}

TEST(OracleSgd, ByHand) {
  Sgd sgd{.momentum = 0.5, .gradient_scale = 0.25};
  std::vector<double> p{1.0};
  sgd.step(p, {4.0}, 0.1);  // velocity 1
  EXPECT_DOUBLE_EQ(p[0], 0.9);
  sgd.step(p, {2.0}, 0.1);  // velocity 0.5 + 0.5
  EXPECT_DOUBLE_EQ(p[0], 0.8);
}

TEST(OracleAdam, OnlyTheFirstParametersDecay) {
  Adam adam;
  adam.weight_decay = 0.5;
  adam.decayed = 1;
  std::vector<double> p{2.0, 2.0};
  adam.step(p, {0.0, 0.0}, 0.1);
  EXPECT_DOUBLE_EQ(p[0], 1.9);
  EXPECT_DOUBLE_EQ(p[1], 2.0);
}

TEST(OracleAdam, FirstStepIsTheLearningRate) {
  Adam adam;
  std::vector<double> p{1.0, 1.0};
  adam.step(p, {4.0, -0.25}, 0.1);
  // |m| / sqrt(v) is (1 - b1) / sqrt(1 - b2) in the first step, and the bias correction its
  // inverse.
  EXPECT_NEAR(p[0], 0.9, 1e-6);
  EXPECT_NEAR(p[1], 1.1, 2e-6);
}

TEST(OracleGemm, MultipliesByHand) {
  const Matrix64 a(2, 3, std::vector<double>{1, 2, 3, 4, 5, 6});
  const Matrix64 b(3, 2, std::vector<double>{1, 0, 2, 1, 0, 3});
  const Matrix64 c(2, 2, std::vector<double>{10, 20, 30, 40});
  EXPECT_EQ(gemm(Transpose::no, Transpose::no, 2.0, a, b, 0.5, c).values,
            (std::vector<double>{15, 32, 43, 66}));
  const Matrix64 a_turned(3, 2, std::vector<double>{1, 4, 2, 5, 3, 6});
  const Matrix64 b_turned(2, 3, std::vector<double>{1, 2, 0, 0, 1, 3});
  EXPECT_EQ(gemm(Transpose::yes, Transpose::yes, 2.0, a_turned, b_turned, 0.5, c).values,
            (std::vector<double>{15, 32, 43, 66}));
}

TEST(OracleStatistics, ByHand) {
  const Matrix64 x(4, 2, std::vector<double>{1, 5, 2, 5, 3, 5, 6, 5});
  const ColumnStatistics statistics = column_statistics(x);
  EXPECT_EQ(statistics.mean, (std::vector<double>{3, 5}));
  EXPECT_NEAR(statistics.deviation[0], std::sqrt(3.5), 1e-15);
  EXPECT_EQ(statistics.deviation[1], 0.0);
  const Matrix64 c = covariance(x, statistics.mean);
  EXPECT_NEAR(c(0, 0), 14.0 / 3.0, 1e-15);
  EXPECT_EQ(c(0, 1), 0.0);
}

// ---- whole models ----

struct ModelCase {
  const char* name;
  std::vector<std::int64_t> widths;
  std::int64_t encoder_layers;
  Objective objective;
  Activation output;
  double target_low;
  double target_high;
};

TEST(OracleAutoencoder, GradientMatchesFiniteDifferences) {
  const ModelCase cases[] = {
      {"bce", {6, 4, 6}, 1, {.bce_clip = 1e-7f}, Activation::sigmoid, 0.0, 1.0},
      {"bce, no clip, targets outside [0, 1]",
       {5, 3, 2, 3, 5},
       2,
       {.bce_clip = 0.0f},
       Activation::sigmoid,
       -2.0,
       2.0},
      {"mse, sigmoid",
       {5, 3, 2, 3, 5},
       2,
       {.loss = ReconstructionLoss::mse},
       Activation::sigmoid,
       0.0,
       1.0},
      {"mse, linear, l1",
       {5, 4, 3, 2, 3, 4, 5},
       3,
       {.loss = ReconstructionLoss::mse, .l1 = 0.01},
       Activation::linear,
       -1.0,
       1.0},
      {"bce, contractive", {6, 3, 6}, 1, {.contractive = 0.1}, Activation::sigmoid, 0.0, 1.0},
  };
  for (const ModelCase& model : cases) {
    for (const Activation f : activations) {
      Random random(static_cast<std::uint64_t>(f) + 11);
      std::vector<DenseLayer> layers;
      for (std::size_t l = 0; l + 1 < model.widths.size(); ++l) {
        layers.push_back({random_matrix(model.widths[l], model.widths[l + 1], random, 0.7),
                          parity::widen(random.normals(model.widths[l + 1], 0.3)), f});
      }
      layers.back().activation = model.output;
      const Matrix64 x = random_matrix(7, model.widths.front(), random, 1.0);
      const Matrix64 targets(
          7, model.widths.back(),
          random.uniforms(7 * model.widths.back(), model.target_low, model.target_high));
      Objective objective = model.objective;
      if (f == Activation::sigmoid) {
        objective.kl_beta = 0.3;
        objective.kl_rho = 0.2;
      }
      const auto total = [&] {
        const Evaluation e = evaluate(layers, model.encoder_layers, x, targets, objective);
        return e.reconstruction + e.penalty;
      };
      const Evaluation at = evaluate(layers, model.encoder_layers, x, targets, objective);
      const bool smooth =
          f != Activation::relu && f != Activation::leaky_relu && f != Activation::selu;
      const double h = smooth ? 1e-4 : 1e-6;  // a kink between x - 2h and x + 2h would spoil it
      const double tolerance = smooth ? 2e-8 : 2e-7;
      for (std::size_t l = 0; l < layers.size(); ++l) {
        for (std::size_t i = 0; i < layers[l].weights.values.size(); ++i) {
          EXPECT_NEAR(at.gradient[l].weights.values[i],
                      slope(layers[l].weights.values[i], total, h), tolerance)
              << model.name << ", activation " << static_cast<int>(f) << ", layer " << l
              << ", weight " << i;
        }
        for (std::size_t i = 0; i < layers[l].bias.size(); ++i) {
          EXPECT_NEAR(at.gradient[l].bias[i], slope(layers[l].bias[i], total, h), tolerance)
              << model.name << ", activation " << static_cast<int>(f) << ", layer " << l
              << ", bias " << i;
        }
      }
    }
  }
}

TEST(OracleAutoencoder, RefusesWhatItCannotDo) {
  const DenseLayer layer{Matrix64(2, 2), {0.0, 0.0}, Activation::relu};
  const Matrix64 x(3, 2);
  EXPECT_THROW(static_cast<void>(evaluate({layer, layer}, 2, x, x, {})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(evaluate({layer, layer, layer}, 2, x, x, {.contractive = 1.0})),
               std::invalid_argument);
}

// ---- neighbours and scores ----

TEST(OracleNeighbours, BreaksTiesByTheLowerIndex) {
  const Matrix64 x(4, 1, std::vector<double>{0, 1, -1, 3});
  const Neighbours nearest = nearest_neighbours(x, x, true, 3);
  EXPECT_EQ(nearest.index, (std::vector<std::int32_t>{1, 2, 3, 0, 2, 3, 0, 1, 3, 1, 0, 2}));
  EXPECT_EQ(nearest.squared_distance(2, 2), 16.0);
  EXPECT_EQ(neighbour_ranks(x, {2, 3, 0, 2}, 1), (std::vector<std::int32_t>{2, 3, 1, 3}));
  EXPECT_EQ(nearest_neighbours(x, x, false, 1).index, (std::vector<std::int32_t>{0, 1, 2, 3}));
}

TEST(OracleScores, ByHand) {
  const Matrix64 line(5, 1, std::vector<double>{0, 1, 2.5, 4.5, 7});
  EXPECT_EQ(trustworthiness(line, line, 2), 1.0);
  // The map swaps the ends: of the two neighbours of every point in the map count those whose rank
  // in the line is 3 or 4, less 2. Worked out by hand: 1 + 2 + 0 + 2 + 1.
  const Matrix64 swapped(5, 1, std::vector<double>{7, 1, 2.5, 4.5, 0});
  EXPECT_NEAR(trustworthiness(line, swapped, 2), 1.0 - 2.0 / (5 * 2 * 3) * (1 + 2 + 0 + 2 + 1),
              1e-12);

  const Matrix64 pairs(4, 1, std::vector<double>{0, 1, 10, 12});
  const std::vector<std::int32_t> labels{0, 0, 2, 2};
  EXPECT_NEAR(silhouette(pairs, labels),
              (10.0 / 11 + 9.0 / 10 + (9.5 - 2) / 9.5 + (11.5 - 2) / 11.5) / 4, 1e-12);
  EXPECT_EQ(one_nn_accuracy(pairs, labels), 1.0);
  EXPECT_EQ(one_nn_accuracy(pairs, {0, 0, 0, 1}), 0.5);
  EXPECT_EQ(one_nn_accuracy(pairs, labels, Matrix64(2, 1, std::vector<double>{5, 6}), {2, 2}), 0.5);
  EXPECT_EQ(class_distance_sums(pairs, labels, 3)(1, 2), 20.0);
}

// ---- t-SNE ----

TEST(OracleTsne, PrecisionGivesThePerplexity) {
  Random random(5);
  for (const double scale : {1e-12, 1.0, 1e12}) {
    std::vector<double> distances;
    for (int i = 0; i < 90; ++i)
      distances.push_back(scale * random.uniform());
    const double precision = precision_of_row(distances, 30.0);
    EXPECT_NEAR(entropy(conditional_row(distances, precision)), std::log(30.0), 1e-12);
  }
  for (const double p : conditional_row({4, 4, 4, 4}, precision_of_row({4, 4, 4, 4}, 2.0))) {
    EXPECT_EQ(p, 0.25);
  }
}

TEST(OracleTsne, AffinitiesAreSymmetricAndSumToOne) {
  Random random(6);
  const Affinities p = affinities_of(random_matrix(60, 4, random, 1.0), 8.0);
  Matrix64 dense(60, 60);
  double sum = 0.0;
  for (std::int64_t i = 0; i < 60; ++i) {
    for (std::int64_t e = p.offsets[i]; e < p.offsets[i + 1]; ++e) {
      dense(i, p.columns[e]) = p.values[e];
      sum += p.values[e];
    }
  }
  EXPECT_NEAR(sum, 1.0, 1e-12);
  for (std::int64_t i = 0; i < 60; ++i) {
    for (std::int64_t j = 0; j < 60; ++j)
      EXPECT_EQ(dense(i, j), dense(j, i));
  }
}

TEST(OracleTsne, GradientMatchesFiniteDifferencesOfTheDivergence) {
  Random random(7);
  const Affinities p = affinities_of(random_matrix(20, 3, random, 1.0), 5.0);
  Matrix64 y = random_matrix(20, 2, random, 2.0);
  const Matrix64 gradient = tsne_gradient(p, y, 1.0);
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    const double want = slope(y.values[i], [&] { return tsne_kl(p, y); });
    EXPECT_NEAR(gradient.values[i], want, 1e-9) << "coordinate " << i;
  }
  // KL(12 P || Q), for a P that does not sum to 1, is what the exaggerated gradient descends:
  // its part in Q is -12 sum p ln q~ + ln Z.
  Affinities exaggerated = p;
  for (double& value : exaggerated.values)
    value *= 12.0;
  const Matrix64 early = tsne_gradient(p, y, 12.0);
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    const double want = slope(y.values[i], [&] {
      return tsne_kl(exaggerated, y) - 11.0 * std::log(repulsion(y).partition);
    });
    EXPECT_NEAR(early.values[i], want, 1e-8) << "coordinate " << i;
  }
}

TEST(OracleTsne, StepByHand) {
  TsneState state{Matrix64(2, 2, std::vector<double>{2, 0, 0, 0}),
                  Matrix64(2, 2, std::vector<double>{0.5, -0.5, 0, 3}),
                  Matrix64(2, 2, std::vector<double>{1, 1, 1, 0.012})};
  const Matrix64 attraction(2, 2, std::vector<double>{0.1, 0.1, 0.2, 0.4});
  const Matrix64 repulsion(2, 2, std::vector<double>{0.2, 0.2, 0, 0});
  tsne_step(attraction, repulsion, 2.0,
            {.exaggeration = 2.0, .learning_rate = 10.0, .momentum = 0.5, .max_step = 4.0}, state);
  // Gradients 0.1, 0.1, 0.4, 0.8: the first shares its step's sign, the second does not, the
  // third's step was 0, the fourth's gain is at its floor.
  EXPECT_NEAR(state.gains(0, 0), 0.8, 1e-12);
  EXPECT_NEAR(state.gains(0, 1), 1.2, 1e-12);
  EXPECT_NEAR(state.gains(1, 0), 1.2, 1e-12);
  EXPECT_NEAR(state.gains(1, 1), 0.01, 1e-12);
  EXPECT_NEAR(state.step(0, 0), 0.25 - 0.8, 1e-12);
  EXPECT_NEAR(state.step(0, 1), -0.25 - 1.2, 1e-12);
  const double length = std::hypot(-4.8, 1.5 - 0.08);  // clipped to 4
  EXPECT_NEAR(state.step(1, 0), -4.8 * 4.0 / length, 1e-12);
  EXPECT_NEAR(state.step(1, 1), 1.42 * 4.0 / length, 1e-12);
  EXPECT_NEAR(state.y(0, 0), 2.0 - 1.0 + state.step(0, 0), 1e-12);  // less the mean before it
  EXPECT_NEAR(state.y(1, 0), 0.0 - 1.0 + state.step(1, 0), 1e-12);
  EXPECT_NEAR(state.y(1, 1), state.step(1, 1), 1e-12);
}

}  // namespace
}  // namespace hourglass::oracle
