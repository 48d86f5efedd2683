// The truth for the operations of training: float64, plain loops, one formula after another,
// written from the definitions and sharing no arithmetic with kernels/. Slow and readable on
// purpose.
//
// Bounds that float32 code can only hold as float32 numbers (the clips of BCE and KL) are rounded
// to float32 here too: 1 - 1e-7 is 1 - 2^-23 there, which moves the end of the logits' range from
// 16.118 to 15.942.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/oracle/matrix64.hpp"

namespace hourglass::oracle {

double sigmoid(double z);
double activate(Activation f, double x);
/// f'(x) and f''(x); at the kink of relu, leaky_relu, elu and selu those of the left side.
double activation_derivative(Activation f, double x);
double activation_second_derivative(Activation f, double x);

/// (source[row(b), d] - offset[d]) * factor[d], row(b) = index[b], or first_row + b without index.
Matrix64 gather_rows(const Matrix64& source, const std::vector<std::int32_t>* index,
                     std::int64_t first_row, const std::vector<double>& offset,
                     const std::vector<double>& factor, std::int64_t rows);

/// Philox4x32-10 (Salmon et al. 2011): ten rounds over a counter of four words under a key of two.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);

/// The rows 0 .. rows-1 of an epoch: by words 0 (lower) and 1 of the generator, equal ones by row.
std::vector<std::int32_t> shuffle_rows(std::uint64_t seed, std::uint32_t epoch, std::int64_t rows);

/// `clean` with noise, elements counted row by row. Uniform numbers are float32: their 24 bits, and
/// for the logarithm the middle between two of them, rounded to float32.
Matrix64 corrupt(const Matrix64& clean, Noise noise, double lower, double upper, std::uint64_t seed,
                 std::int64_t step);

struct ColumnStatistics {
  std::vector<double> mean;
  std::vector<double> deviation;  ///< population (ddof 0)
};
ColumnStatistics column_statistics(const Matrix64& x);

/// alpha op(a) op(b) + beta c; c is not read where beta is 0.
Matrix64 gemm(Transpose transpose_a, Transpose transpose_b, double alpha, const Matrix64& a,
              const Matrix64& b, double beta, const Matrix64& c);

struct DenseOutput {
  Matrix64 pre;  ///< with the bias
  Matrix64 out;
};
DenseOutput bias_activation(Activation f, const std::vector<double>& bias, const Matrix64& pre);

struct DenseGradient {
  Matrix64 pre;
  std::vector<double> bias;  ///< column sums of pre
};
DenseGradient bias_activation_backward(Activation f, const Matrix64& pre, const Matrix64& gradient);

struct BceTerm {
  double loss;
  double gradient;  ///< to the logit
};
/// Keras's clipped binary cross-entropy of one logit; clip 0: unclipped.
BceTerm bce(double logit, double target, float clip);

struct LossOutput {
  double loss = 0.0;  ///< sum over the rows of the mean over the columns
  Matrix64 gradient;  ///< of the batch mean, to the logits
  std::vector<double> bias_gradient;
};
LossOutput sigmoid_bce(const Matrix64& pre, const std::vector<double>& bias,
                       const Matrix64& targets, float clip);
LossOutput squared_error(Activation f, const Matrix64& pre, const std::vector<double>& bias,
                         const Matrix64& targets);

struct PenaltyOutput {
  double penalty = 0.0;                 ///< times the rows of the batch, as the table wants it
  Matrix64 gradient;                    ///< to the codes
  std::vector<double> mean_activation;  ///< kl only
};
PenaltyOutput l1_penalty(const Matrix64& codes, double weight);
PenaltyOutput kl_penalty(const Matrix64& codes, double rho, double beta);

/// The square Frobenius norm of the Jacobian of f(x W + b) by x, at pre = x W + b.
struct ContractiveOutput {
  double penalty = 0.0;       ///< times the rows of the batch, as the table wants it
  Matrix64 gradient;          ///< of the batch mean, to f(pre), as far as it comes through pre
  Matrix64 weights_gradient;  ///< of the batch mean, to W at fixed pre
};
ContractiveOutput contractive_penalty(Activation f, const Matrix64& weights, const Matrix64& pre,
                                      double lambda);

/// rows lambda / 2 |weights|^2; the gradient is a row.
PenaltyOutput l2_penalty(const std::vector<double>& weights, double lambda, std::int64_t rows);

struct GradientNorm {
  double norm = 0.0;
  double scale = 1.0;  ///< brings a gradient that is longer than max_norm to that length
};
GradientNorm gradient_norm(const std::vector<double>& gradients, double max_norm);

/// Adam (Kingma and Ba 2015) in Keras's form, from step 1; state as plain vectors. The first
/// `decayed` parameters shrink by weight_decay (AdamW: Loshchilov and Hutter 2019).
struct Adam {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-7;
  double weight_decay = 0.0;
  std::size_t decayed = 0;
  double gradient_scale = 1.0;
  std::int64_t steps = 0;
  std::vector<double> first_moment;
  std::vector<double> second_moment;

  void step(std::vector<double>& parameters, const std::vector<double>& gradients,
            double learning_rate);
};

/// Gradient descent with momentum in PyTorch's form: v = momentum v + g, p -= learning_rate v.
struct Sgd {
  double momentum = 0.0;
  double gradient_scale = 1.0;
  std::vector<double> velocity = {};

  void step(std::vector<double>& parameters, const std::vector<double>& gradients,
            double learning_rate);
};

/// v after `terms` turns of v = a v + b.
double fma_chain(double a, double b, int terms, double v);

/// sum over rows of (x_i - mean_i)(x_j - mean_j) / (N - 1).
Matrix64 covariance(const Matrix64& x, const std::vector<double>& mean);

}  // namespace hourglass::oracle
