// Every scalar formula of the project, once, for host and device. The CUDA kernels call these; the
// CPU backend's vector code is the same formulas over SIMD lanes and is tested against them; the
// oracle in tests/ states them again in float64, independently.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "hourglass/options.hpp"

#if defined(__CUDACC__)
#define HOURGLASS_HD __host__ __device__ __forceinline__
#else
#define HOURGLASS_HD inline
#endif

namespace hourglass {

// ---- activations
// --------------------------------------------------------------------------------------------------

inline constexpr float leaky_slope = 0.01f;
inline constexpr float selu_lambda = 1.0507009873554805f;
inline constexpr float selu_alpha = 1.6732632423543772f;

/// Whether f' can be computed from f's output alone, so that the input need not be kept.
constexpr bool derivative_from_output(Activation f) {
  return f != Activation::gelu;
}

HOURGLASS_HD float sigmoid(float z) {
  const float e = expf(-fabsf(z));  // never overflows
  return (z >= 0.0f ? 1.0f : e) / (1.0f + e);
}

HOURGLASS_HD float activate(Activation f, float x) {
  switch (f) {
    case Activation::relu:
      return x <= 0.0f ? 0.0f : x;  // keeps NaN
    case Activation::leaky_relu:
      return x > 0.0f ? x : leaky_slope * x;
    case Activation::elu:
      return x > 0.0f ? x : expm1f(x);
    case Activation::selu:
      return selu_lambda * (x > 0.0f ? x : selu_alpha * expm1f(x));
    case Activation::gelu:
      return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case Activation::tanh:
      return tanhf(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::linear:
      break;
  }
  return x;
}

/// f'(x), given x and y = f(x). x is read only where derivative_from_output(f) does not hold.
HOURGLASS_HD float activation_derivative(Activation f, float x, float y) {
  switch (f) {
    case Activation::relu:
      return y > 0.0f ? 1.0f : 0.0f;
    case Activation::leaky_relu:
      return y > 0.0f ? 1.0f : leaky_slope;
    case Activation::elu:
      return y > 0.0f ? 1.0f : y + 1.0f;
    case Activation::selu:
      return y > 0.0f ? selu_lambda : y + selu_lambda * selu_alpha;
    case Activation::gelu: {
      const float cdf = 0.5f * (1.0f + erff(x * 0.70710678118654752f));
      const float pdf = 0.39894228040143268f * expf(-0.5f * x * x);
      return cdf + x * pdf;
    }
    case Activation::tanh:
      return 1.0f - y * y;
    case Activation::sigmoid:
      return y * (1.0f - y);
    case Activation::linear:
      break;
  }
  return 1.0f;
}

/// Whether f'' is not 0 everywhere.
constexpr bool is_curved(Activation f) {
  return f != Activation::linear && f != Activation::relu && f != Activation::leaky_relu;
}

/// f''(x), given x and y = f(x); at the kinks of elu and selu that of the left side. x is read only
/// where derivative_from_output(f) does not hold.
HOURGLASS_HD float activation_second_derivative(Activation f, float x, float y) {
  switch (f) {
    case Activation::elu:
      return y > 0.0f ? 0.0f : y + 1.0f;
    case Activation::selu:
      return y > 0.0f ? 0.0f : y + selu_lambda * selu_alpha;
    case Activation::gelu: {
      // Where the density is 0 in float32 anyway, so that no square overflows.
      const float t = fabsf(x) > 15.0f ? 15.0f : x;
      return 0.39894228040143268f * expf(-0.5f * t * t) * (2.0f - t * t);
    }
    case Activation::tanh:
      return -2.0f * y * (1.0f - y * y);
    case Activation::sigmoid:
      return y * (1.0f - y) * (1.0f - 2.0f * y);
    case Activation::relu:
    case Activation::leaky_relu:
    case Activation::linear:
      break;
  }
  return 0.0f;
}

// ---- losses
// -------------------------------------------------------------------------------------------------------

/// The range of logits in which Keras's clipped binary cross-entropy has a gradient: p = sigmoid(z)
/// is clipped to [epsilon, 1 - epsilon] in float32, so l = log(p / (1 - p)) is z clamped to [lower,
/// upper].
struct LogitRange {
  float lower = 0.0f;
  float upper = 0.0f;
};

/// epsilon = 1e-7 gives about (-16.118, 15.942): 1 - 1e-7 rounds to 1 - 2^-23. 0 gives no clip.
inline LogitRange logit_range(float epsilon) {
  if (!(epsilon > 0.0f)) {
    return {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
  }
  const double low = epsilon;
  const double high = 1.0f - epsilon;  // rounded to float32, as the clip's bound is
  return {static_cast<float>(std::log(low / (1.0 - low))),
          static_cast<float>(std::log(high / (1.0 - high)))};
}

struct LossAndGradient {
  float loss;
  float gradient;
};

/// Binary cross-entropy of sigmoid(z) against t, from logits, stable: l = clamp(z), loss = max(l,
/// 0) - l t + log(1 + exp(-|l|)); the gradient to z is sigmoid(z) - t where lower < z < upper, else
/// 0. t may lie outside [0, 1]: the loss is then unbounded below in l and only the clip keeps it
/// finite.
HOURGLASS_HD LossAndGradient bce(float z, float t, LogitRange range) {
  const float l = z < range.lower ? range.lower : (z > range.upper ? range.upper : z);  // keeps NaN
  const float e = expf(-fabsf(l));
  const float p = (l >= 0.0f ? 1.0f : e) / (1.0f + e);
  const bool clipped = z <= range.lower || z >= range.upper;
  return {fmaxf(l, 0.0f) - l * t + log1pf(e), clipped ? 0.0f : p - t};
}

/// (y - t)^2 with y = f(z), f sigmoid or linear; gradient to z.
HOURGLASS_HD LossAndGradient squared_error(Activation f, float z, float t) {
  const float y = activate(f, z);
  const float d = y - t;
  return {d * d, 2.0f * d * activation_derivative(f, z, y)};
}

// ---- penalties
// ----------------------------------------------------------------------------------------------------

HOURGLASS_HD float sign(float h) {
  return static_cast<float>((h > 0.0f) - (h < 0.0f));
}

inline constexpr float kl_clip = 1e-7f;

struct KlTerm {
  float value;     ///< KL(rho || mean), mean clipped to [1e-7, 1 - 1e-7]
  float gradient;  ///< its derivative by the mean activation, 0 where clipped
};

/// Kullback-Leibler divergence between Bernoulli(rho) and Bernoulli(mean activation) of one code
/// unit (Ng 2011).
HOURGLASS_HD KlTerm kl_sparsity(float rho, float mean) {
  const float low = kl_clip, high = 1.0f - kl_clip;
  const float m = mean < low ? low : (mean > high ? high : mean);  // keeps NaN
  const float value = rho * logf(rho / m) + (1.0f - rho) * logf((1.0f - rho) / (1.0f - m));
  const bool clipped = mean < low || mean > high;
  return {value, clipped ? 0.0f : -rho / m + (1.0f - rho) / (1.0f - m)};
}

/// What the penalty lambda * mean over rows of |dh/dx|_F^2 adds for one unit of one row of a
/// one-layer encoder (Rifai et al. 2011): dh_k/dx = f'(a_k) W_k.
struct ContractiveTerm {
  float value;     ///< f'(a)^2, times |W_k|^2 the square norm of the unit's row of the Jacobian
  float gradient;  ///< 2 f''(a), times |W_k|^2 its derivative by h = f(a)
};
HOURGLASS_HD ContractiveTerm contractive(Activation f, float a, float h) {
  const float slope = activation_derivative(f, a, h);
  // By a it is 2 f' f'' |W_k|^2; the f' comes with the chain rule through h.
  return {slope * slope, 2.0f * activation_second_derivative(f, a, h)};
}

// ---- noise
// --------------------------------------------------------------------------------------------------------

/// The values that a corrupted input is limited to: [0, 1] where the scaling promises it.
struct NoiseRange {
  float lower = -std::numeric_limits<float>::infinity();
  float upper = std::numeric_limits<float>::infinity();
};

/// x + deviation * normal, limited.
HOURGLASS_HD float gaussian_noise(float x, float normal, float deviation, NoiseRange range) {
  const float noisy = x + deviation * normal;
  return noisy < range.lower ? range.lower : (noisy > range.upper ? range.upper : noisy);
}

/// 0 where uniform, in [0, 1), is below the probability.
HOURGLASS_HD float mask_noise(float x, float uniform, float probability) {
  return uniform < probability ? 0.0f : x;
}

// ---- optimisers
// ---------------------------------------------------------------------------------------------------

/// What changes from step to step, in device memory.
struct OptimiserState {
  std::int64_t step = 0;        ///< steps done; the first step is number 1
  double learning_rate = 1e-3;  ///< set by the driver
  double beta1_power = 1.0;     ///< beta1^step
  double beta2_power = 1.0;
  double gradient_norm = 0.0;   ///< of all parameters, before it was limited; where it is measured
  float gradient_scale = 1.0f;  ///< multiplies every gradient in the step
  /// Of the current step: Adam's learning_rate sqrt(1 - beta2^t) / (1 - beta1^t); else
  /// learning_rate.
  float step_size = 0.0f;
  float decay = 0.0f;  ///< of the current step: learning_rate * weight_decay
  float reserved = 0.0f;
};

/// Where the loss and the penalty of a step go, in device memory. The step that runs adds them up
/// in `sums`, which is 0 at its start; the optimiser, whose step ends it, moves them to the place
/// of that step of the epoch.
struct StepFigures {
  double* sums = nullptr;       ///< of the step that runs: its loss, its penalty; null: no figures
  double* losses = nullptr;     ///< of each step of the epoch
  double* penalties = nullptr;  ///< likewise
  std::int64_t steps = 1;       ///< an epoch
};

/// Files what is in the sums; `step` steps were done before, in all epochs.
HOURGLASS_HD void file_figures(const StepFigures& figures, std::int64_t step) {
  if (figures.sums == nullptr) return;
  const std::int64_t place = step % figures.steps;
  figures.losses[place] = figures.sums[0];
  figures.penalties[place] = figures.sums[1];
  figures.sums[0] = 0.0;
  figures.sums[1] = 0.0;
}

/// The scale that limits the length of a gradient to max_norm (Pascanu et al. 2013). Keeps NaN.
HOURGLASS_HD float clip_scale(double norm, float max_norm) {
  return norm <= static_cast<double>(max_norm)
             ? 1.0f
             : static_cast<float>(static_cast<double>(max_norm) / norm);
}

HOURGLASS_HD void advance_adam(OptimiserState& state, const AdamOptions& options) {
  ++state.step;
  state.beta1_power *= static_cast<double>(options.beta1);
  state.beta2_power *= static_cast<double>(options.beta2);
  state.step_size = static_cast<float>(state.learning_rate * sqrt(1.0 - state.beta2_power) /
                                       (1.0 - state.beta1_power));
  state.decay = static_cast<float>(state.learning_rate * static_cast<double>(options.weight_decay));
}

HOURGLASS_HD void advance_sgd(OptimiserState& state) {
  ++state.step;
  state.step_size = static_cast<float>(state.learning_rate);
}

/// m = m + (1 - b1)(g - m), v = v + (1 - b2)(g^2 - v), p -= decay p + step_size m / (sqrt(v) +
/// epsilon), with g = gradient_scale times the gradient.
HOURGLASS_HD void adam_update(float& parameter, float gradient, float& m, float& v,
                              const AdamOptions& options, float gradient_scale, float step_size,
                              float decay) {
  const float g = gradient_scale * gradient;
  m += (1.0f - options.beta1) * (g - m);
  v += (1.0f - options.beta2) * (g * g - v);
  parameter -= decay * parameter + step_size * m / (sqrtf(v) + options.epsilon);
}

/// v = momentum v + g, p -= step_size v (Polyak 1964, in PyTorch's form).
HOURGLASS_HD void sgd_update(float& parameter, float gradient, float& velocity, float momentum,
                             float gradient_scale, float step_size) {
  velocity = momentum * velocity + gradient_scale * gradient;
  parameter -= step_size * velocity;
}

// ---- t-SNE
// --------------------------------------------------------------------------------------------------------

/// The part of the optimisation that changes between its phases, in device memory.
struct TsneSchedule {
  float exaggeration = 12.0f;
  float learning_rate = 200.0f;  ///< multiplies the gradient without its factor 4
  float momentum = 0.5f;
  float max_step = 5.0f;  ///< longest step of one point; infinity for none
  bool recentre = true;   ///< the mean of the map is taken off
};

/// Student-t kernel with one degree of freedom, unnormalised.
HOURGLASS_HD float student_t(float squared_distance) {
  return 1.0f / (1.0f + squared_distance);
}

/// Jacobs's gains (1988) as in the original t-SNE: grow by 0.2 where the signs (-1, 0 or 1) of
/// gradient and last step differ, else shrink by 0.8. The first step thus grows every gain alike.
HOURGLASS_HD float tsne_gain(float gain, float gradient, float step) {
  const bool apart = sign(gradient) != sign(step);
  const float next = apart ? gain + 0.2f : gain * 0.8f;
  return next < 0.01f ? 0.01f : next;
}

/// The next step of one coordinate, before the clip on the point's length.
HOURGLASS_HD float tsne_coordinate_step(float step, float gain, float gradient,
                                        const TsneSchedule& s) {
  return s.momentum * step - s.learning_rate * gain * gradient;
}

/// Bits of a Morton code that each coordinate gets: 32 in two dimensions, 30 in three.
HOURGLASS_HD int morton_bits(int dimensions) {
  return dimensions == 2 ? 16 : 10;
}

/// The place of a coordinate in the map's box, 0 to 2^morton_bits - 1. factor = (2^morton_bits - 1)
/// / the box's longest side.
HOURGLASS_HD std::uint32_t morton_cell(float coordinate, float low, float factor) {
  return static_cast<std::uint32_t>((coordinate - low) * factor);
}

/// Interleaves the bits of the cells (Morton 1966): x lowest.
HOURGLASS_HD std::uint32_t morton_code(std::uint32_t x, std::uint32_t y) {
  const auto spread = [](std::uint32_t v) {
    v = (v | (v << 8)) & 0x00ff00ffu;
    v = (v | (v << 4)) & 0x0f0f0f0fu;
    v = (v | (v << 2)) & 0x33333333u;
    return (v | (v << 1)) & 0x55555555u;
  };
  return spread(x) | (spread(y) << 1);
}

HOURGLASS_HD std::uint32_t morton_code(std::uint32_t x, std::uint32_t y, std::uint32_t z) {
  const auto spread = [](std::uint32_t v) {
    v = (v | (v << 16)) & 0x030000ffu;
    v = (v | (v << 8)) & 0x0300f00fu;
    v = (v | (v << 4)) & 0x030c30c3u;
    return (v | (v << 2)) & 0x09249249u;
  };
  return spread(x) | (spread(y) << 1) | (spread(z) << 2);
}

// The grid of RepulsionMethod::fft (particle-mesh Ewald: Essmann et al. 1995; for t-SNE with other
// interpolation: Linderman et al. 2019). Points are spread over, and forces gathered from, 4 x 4
// nodes by cubic B-splines. With phi(y) = sum over j of q(y - y_j) the repulsive force is -grad phi
// / 2, since grad q = -2 q^2 d: one field to transform forth and its two derivatives back, and no
// difference of large sums as in y_i sum q^2 - sum q^2 y_j.

/// Nodes that a point is spread over, along each axis.
inline constexpr int fft_support = 4;

/// The cubic B-spline's weights for the nodes at -1, 0, 1 and 2 from the node below the point,
/// which lies `fraction` (0 to 1) above it.
HOURGLASS_HD void cubic_spline_weights(float fraction, float* weights) {
  const float f = fraction;
  const float g = 1.0f - f;
  const float sixth = 1.0f / 6.0f;
  weights[0] = sixth * g * g * g;
  weights[1] = sixth * (4.0f + f * f * (3.0f * f - 6.0f));
  weights[2] = sixth * (4.0f + g * g * (3.0f * g - 6.0f));
  weights[3] = sixth * f * f * f;
}

/// The transform of the cubic B-spline at wavenumber m of n, sinc(pi m / n)^4.
HOURGLASS_HD double cubic_spline_transform(std::int64_t m, std::int64_t n) {
  if (m == 0) return 1.0;
  const double x = 3.14159265358979323846 * static_cast<double>(m) / static_cast<double>(n);
  const double sinc = sin(x) / x;
  return sinc * sinc * sinc * sinc;
}

}  // namespace hourglass
