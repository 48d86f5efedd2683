#include "tests/oracle/dense.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hourglass::oracle {
namespace {

// Klambauer et al. 2017, equation 14.
constexpr double selu_scale = 1.0507009873554804934193349852946;
constexpr double selu_negative = 1.6732632423543772848170429916717;

double normal_density(double x) {
  return std::exp(-x * x / 2.0) / std::sqrt(2.0 * std::numbers::pi);
}

double normal_distribution(double x) {
  return std::erfc(-x / std::numbers::sqrt2) / 2.0;
}

}  // namespace

double sigmoid(double z) {
  return 1.0 / (1.0 + std::exp(-z));
}

double activate(Activation f, double x) {
  switch (f) {
    case Activation::linear:
      return x;
    case Activation::relu:
      return x <= 0.0 ? 0.0 : x;  // NaN stays
    case Activation::leaky_relu:
      return x <= 0.0 ? 0.01 * x : x;
    case Activation::elu:
      return x <= 0.0 ? std::expm1(x) : x;
    case Activation::selu:
      return selu_scale * (x <= 0.0 ? selu_negative * std::expm1(x) : x);
    case Activation::gelu:
      return x * normal_distribution(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
  }
  return std::nan("");
}

double activation_derivative(Activation f, double x) {
  switch (f) {
    case Activation::linear:
      return 1.0;
    case Activation::relu:
      return x > 0.0 ? 1.0 : 0.0;
    case Activation::leaky_relu:
      return x > 0.0 ? 1.0 : 0.01;
    case Activation::elu:
      return x > 0.0 ? 1.0 : std::exp(x);
    case Activation::selu:
      return selu_scale * (x > 0.0 ? 1.0 : selu_negative * std::exp(x));
    case Activation::gelu:
      return normal_distribution(x) + x * normal_density(x);
    case Activation::tanh:
      return 1.0 / (std::cosh(x) * std::cosh(x));
    case Activation::sigmoid:
      return sigmoid(x) * sigmoid(-x);
  }
  return std::nan("");
}

double activation_second_derivative(Activation f, double x) {
  switch (f) {
    case Activation::linear:
    case Activation::relu:
    case Activation::leaky_relu:
      return 0.0;
    case Activation::elu:
      return x > 0.0 ? 0.0 : std::exp(x);
    case Activation::selu:
      return x > 0.0 ? 0.0 : selu_scale * selu_negative * std::exp(x);
    case Activation::gelu:
      return (2.0 - x * x) * normal_density(x);
    case Activation::tanh:
      return -2.0 * std::tanh(x) * activation_derivative(f, x);
    case Activation::sigmoid:
      return activation_derivative(f, x) * (1.0 - 2.0 * sigmoid(x));
  }
  return std::nan("");
}

Matrix64 gather_rows(const Matrix64& source, const std::vector<std::int32_t>* index,
                     std::int64_t first_row, const std::vector<double>& offset,
                     const std::vector<double>& factor, std::int64_t rows) {
  Matrix64 out(rows, source.columns);
  for (std::int64_t b = 0; b < rows; ++b) {
    const std::int64_t row =
        index != nullptr ? (*index)[static_cast<std::size_t>(b)] : first_row + b;
    for (std::int64_t d = 0; d < source.columns; ++d) {
      out(b, d) = (source(row, d) - offset[d]) * factor[d];
    }
  }
  return out;
}

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = 0xD2511F53ull * counter[0];
    const std::uint64_t second = 0xCD9E8D57ull * counter[2];
    const auto high = [](std::uint64_t product) {
      return static_cast<std::uint32_t>(product >> 32);
    };
    const auto low = [](std::uint64_t product) { return static_cast<std::uint32_t>(product); };
    counter = {high(second) ^ counter[1] ^ key[0], low(second), high(first) ^ counter[3] ^ key[1],
               low(first)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

std::vector<std::int32_t> shuffle_rows(std::uint64_t seed, std::uint32_t epoch, std::int64_t rows) {
  constexpr std::uint32_t shuffle_stream = 2;
  std::vector<std::pair<std::uint64_t, std::int32_t>> keyed;
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto row = static_cast<std::uint32_t>(i);
    const auto words =
        philox({row, 0, shuffle_stream, epoch},
               {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    keyed.emplace_back((std::uint64_t{words[1]} << 32) + words[0], static_cast<std::int32_t>(i));
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::int32_t> order;
  for (const auto& [key, row] : keyed)
    order.push_back(row);
  return order;
}

Matrix64 corrupt(const Matrix64& clean, Noise noise, double lower, double upper, std::uint64_t seed,
                 std::int64_t step) {
  constexpr std::uint32_t noise_stream = 3;
  constexpr double unit = 1.0 / 16777216.0;
  Matrix64 result(clean.rows, clean.columns);
  for (std::size_t element = 0; element < clean.values.size(); ++element) {
    const std::uint64_t group = element / 4;
    const std::array<std::uint32_t, 4> words =
        philox({static_cast<std::uint32_t>(group), static_cast<std::uint32_t>(group >> 32),
                noise_stream, static_cast<std::uint32_t>(step)},
               {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    const std::size_t place = element % 4;
    const double x = clean.values[element];
    if (noise.kind == Noise::Kind::mask) {
      const double uniform = (words[place] / 256) * unit;
      result.values[element] = uniform < double{noise.amount} ? 0.0 : x;
      continue;
    }
    const std::uint32_t radius_word = words[place / 2 * 2], angle_word = words[place / 2 * 2 + 1];
    const double open = static_cast<float>((radius_word / 256 + 0.5) * unit);
    const double angle = 2.0 * std::numbers::pi * (angle_word / 256) * unit;
    const double radius = std::sqrt(-2.0 * std::log(open));
    const double normal = radius * (place % 2 == 0 ? std::cos(angle) : std::sin(angle));
    const double noisy = x + double{noise.amount} * normal;
    result.values[element] = noisy < lower ? lower : (noisy > upper ? upper : noisy);
  }
  return result;
}

ColumnStatistics column_statistics(const Matrix64& x) {
  ColumnStatistics result;
  const auto n = static_cast<double>(x.rows);
  for (std::int64_t d = 0; d < x.columns; ++d) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < x.rows; ++i)
      sum += x(i, d);
    const double mean = sum / n;
    double squares = 0.0;
    for (std::int64_t i = 0; i < x.rows; ++i)
      squares += (x(i, d) - mean) * (x(i, d) - mean);
    result.mean.push_back(mean);
    result.deviation.push_back(std::sqrt(squares / n));
  }
  return result;
}

Matrix64 gemm(Transpose transpose_a, Transpose transpose_b, double alpha, const Matrix64& a,
              const Matrix64& b, double beta, const Matrix64& c) {
  const bool ta = transpose_a == Transpose::yes;
  const bool tb = transpose_b == Transpose::yes;
  const std::int64_t inner = ta ? a.rows : a.columns;
  Matrix64 result(c.rows, c.columns);
  for (std::int64_t i = 0; i < c.rows; ++i) {
    for (std::int64_t j = 0; j < c.columns; ++j) {
      double sum = 0.0;
      for (std::int64_t l = 0; l < inner; ++l) {
        sum += (ta ? a(l, i) : a(i, l)) * (tb ? b(j, l) : b(l, j));
      }
      result(i, j) = alpha * sum + (beta == 0.0 ? 0.0 : beta * c(i, j));
    }
  }
  return result;
}

DenseOutput bias_activation(Activation f, const std::vector<double>& bias, const Matrix64& pre) {
  DenseOutput result{pre, Matrix64(pre.rows, pre.columns)};
  for (std::int64_t b = 0; b < pre.rows; ++b) {
    for (std::int64_t k = 0; k < pre.columns; ++k) {
      result.pre(b, k) = pre(b, k) + bias[k];
      result.out(b, k) = activate(f, result.pre(b, k));
    }
  }
  return result;
}

DenseGradient bias_activation_backward(Activation f, const Matrix64& pre,
                                       const Matrix64& gradient) {
  DenseGradient result{Matrix64(pre.rows, pre.columns), std::vector<double>(pre.columns, 0.0)};
  for (std::int64_t b = 0; b < pre.rows; ++b) {
    for (std::int64_t k = 0; k < pre.columns; ++k) {
      result.pre(b, k) = gradient(b, k) * activation_derivative(f, pre(b, k));
      result.bias[k] += result.pre(b, k);
    }
  }
  return result;
}

BceTerm bce(double logit, double target, float clip) {
  double p = sigmoid(logit);
  double l = logit;
  bool clipped = false;
  if (clip > 0.0f) {
    const double low = clip;
    const double high = 1.0f - clip;
    clipped = p <= low || p >= high;
    if (clipped) {
      p = p <= low ? low : high;
      l = std::log(p / (1.0 - p));
    }
  }
  const double loss = (l <= 0.0 ? 0.0 : l) - l * target + std::log1p(std::exp(-std::abs(l)));
  return {loss, clipped ? 0.0 : p - target};
}

LossOutput sigmoid_bce(const Matrix64& pre, const std::vector<double>& bias,
                       const Matrix64& targets, float clip) {
  LossOutput result{0.0, Matrix64(pre.rows, pre.columns), std::vector<double>(pre.columns, 0.0)};
  const auto d = static_cast<double>(pre.columns);
  const auto b = static_cast<double>(pre.rows);
  for (std::int64_t i = 0; i < pre.rows; ++i) {
    for (std::int64_t j = 0; j < pre.columns; ++j) {
      const BceTerm term = bce(pre(i, j) + bias[j], targets(i, j), clip);
      result.loss += term.loss / d;
      result.gradient(i, j) = term.gradient / (d * b);
      result.bias_gradient[j] += result.gradient(i, j);
    }
  }
  return result;
}

LossOutput squared_error(Activation f, const Matrix64& pre, const std::vector<double>& bias,
                         const Matrix64& targets) {
  LossOutput result{0.0, Matrix64(pre.rows, pre.columns), std::vector<double>(pre.columns, 0.0)};
  const auto d = static_cast<double>(pre.columns);
  const auto b = static_cast<double>(pre.rows);
  for (std::int64_t i = 0; i < pre.rows; ++i) {
    for (std::int64_t j = 0; j < pre.columns; ++j) {
      const double z = pre(i, j) + bias[j];
      const double difference = activate(f, z) - targets(i, j);
      result.loss += difference * difference / d;
      result.gradient(i, j) = 2.0 * difference * activation_derivative(f, z) / (d * b);
      result.bias_gradient[j] += result.gradient(i, j);
    }
  }
  return result;
}

PenaltyOutput l1_penalty(const Matrix64& codes, double weight) {
  PenaltyOutput result;
  result.gradient = Matrix64(codes.rows, codes.columns);
  for (std::int64_t b = 0; b < codes.rows; ++b) {
    for (std::int64_t k = 0; k < codes.columns; ++k) {
      const double h = codes(b, k);
      result.penalty += static_cast<double>(codes.rows) * weight * std::abs(h);
      result.gradient(b, k) = h > 0.0 ? weight : (h < 0.0 ? -weight : 0.0);
    }
  }
  return result;
}

PenaltyOutput kl_penalty(const Matrix64& codes, double rho, double beta) {
  const double low = 1e-7f;
  const double high = 1.0f - 1e-7f;
  const auto rows = static_cast<double>(codes.rows);
  PenaltyOutput result;
  result.gradient = Matrix64(codes.rows, codes.columns);
  for (std::int64_t k = 0; k < codes.columns; ++k) {
    double sum = 0.0;
    for (std::int64_t b = 0; b < codes.rows; ++b)
      sum += codes(b, k);
    const double mean = sum / rows;
    result.mean_activation.push_back(mean);
    const bool clipped = mean < low || mean > high;
    const double m = mean < low ? low : (mean > high ? high : mean);
    result.penalty +=
        rows * beta * (rho * std::log(rho / m) + (1.0 - rho) * std::log((1.0 - rho) / (1.0 - m)));
    const double slope = clipped ? 0.0 : beta * ((1.0 - rho) / (1.0 - m) - rho / m) / rows;
    for (std::int64_t b = 0; b < codes.rows; ++b)
      result.gradient(b, k) = slope;
  }
  return result;
}

ContractiveOutput contractive_penalty(Activation f, const Matrix64& weights, const Matrix64& pre,
                                      double lambda) {
  ContractiveOutput result{0.0, Matrix64(pre.rows, pre.columns),
                           Matrix64(weights.rows, weights.columns)};
  const auto rows = static_cast<double>(pre.rows);
  for (std::int64_t k = 0; k < pre.columns; ++k) {
    double norm = 0.0;
    for (std::int64_t j = 0; j < weights.rows; ++j)
      norm += weights(j, k) * weights(j, k);
    double slopes = 0.0;
    for (std::int64_t b = 0; b < pre.rows; ++b) {
      const double first = activation_derivative(f, pre(b, k));
      const double second = activation_second_derivative(f, pre(b, k));
      slopes += first * first;
      result.gradient(b, k) = lambda / rows * 2.0 * second * norm;
    }
    result.penalty += lambda * slopes * norm;
    for (std::int64_t j = 0; j < weights.rows; ++j)
      result.weights_gradient(j, k) = lambda / rows * 2.0 * slopes * weights(j, k);
  }
  return result;
}

PenaltyOutput l2_penalty(const std::vector<double>& weights, double lambda, std::int64_t rows) {
  PenaltyOutput result;
  result.gradient = Matrix64(1, static_cast<std::int64_t>(weights.size()));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    result.penalty += static_cast<double>(rows) * lambda / 2.0 * weights[i] * weights[i];
    result.gradient.values[i] = lambda * weights[i];
  }
  return result;
}

GradientNorm gradient_norm(const std::vector<double>& gradients, double max_norm) {
  double squares = 0.0;
  for (const double g : gradients)
    squares += g * g;
  const double norm = std::sqrt(squares);
  return {norm, norm <= max_norm ? 1.0 : max_norm / norm};
}

void Adam::step(std::vector<double>& parameters, const std::vector<double>& gradients,
                double learning_rate) {
  first_moment.resize(parameters.size(), 0.0);
  second_moment.resize(parameters.size(), 0.0);
  ++steps;
  const auto t = static_cast<double>(steps);
  const double step_size =
      learning_rate * std::sqrt(1.0 - std::pow(beta2, t)) / (1.0 - std::pow(beta1, t));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const double g = gradient_scale * gradients[i];
    first_moment[i] = beta1 * first_moment[i] + (1.0 - beta1) * g;
    second_moment[i] = beta2 * second_moment[i] + (1.0 - beta2) * g * g;
    const double shrink = i < decayed ? learning_rate * weight_decay * parameters[i] : 0.0;
    parameters[i] -= step_size * first_moment[i] / (std::sqrt(second_moment[i]) + epsilon) + shrink;
  }
}

void Sgd::step(std::vector<double>& parameters, const std::vector<double>& gradients,
               double learning_rate) {
  velocity.resize(parameters.size(), 0.0);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    velocity[i] = momentum * velocity[i] + gradient_scale * gradients[i];
    parameters[i] -= learning_rate * velocity[i];
  }
}

double fma_chain(double a, double b, int terms, double v) {
  for (int t = 0; t < terms; ++t)
    v = a * v + b;
  return v;
}

Matrix64 covariance(const Matrix64& x, const std::vector<double>& mean) {
  Matrix64 result(x.columns, x.columns);
  for (std::int64_t i = 0; i < x.columns; ++i) {
    for (std::int64_t j = 0; j < x.columns; ++j) {
      double sum = 0.0;
      for (std::int64_t row = 0; row < x.rows; ++row) {
        sum += (x(row, i) - mean[i]) * (x(row, j) - mean[j]);
      }
      result(i, j) = sum / static_cast<double>(x.rows - 1);
    }
  }
  return result;
}

}  // namespace hourglass::oracle
