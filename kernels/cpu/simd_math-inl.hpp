// The formulas of kernels/math.hpp over SIMD lanes, for one Highway target; included once a target
// by the operations. float32 throughout.
//
// Accuracy against the exact value, largest error over the argument's whole range (held by
// tests/parity/simd_math_test.cpp on every target):
//
//   exp, expm1            2 ulp   (for x <= 0; results below 1e-38 become 0)
//   sigmoid               2.1 ulp (the same)
//   tanh                  2.5 ulp
//   normal distribution   6.5 ulp, in the lower tail too. Targets without fused multiply-add: in
//   the
//                         tail x^2 / 2 ulp, which the rounding of x^2 costs.
//
// Polynomials are minimax fits of our own (Remez exchange, relative error, coefficients rounded to
// float32 afterwards). NaN goes through everything: where a value is limited or chosen, it is by
// comparisons that a NaN fails and with the NaN on the failing side, never by Min or Max, whose
// answer for NaN differs from processor to processor.
//
// clang-format off
#if defined(HOURGLASS_SIMD_MATH_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HOURGLASS_SIMD_MATH_INL_HPP
#undef HOURGLASS_SIMD_MATH_INL_HPP
#else
#define HOURGLASS_SIMD_MATH_INL_HPP
#endif
// clang-format on

#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/math.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ---- memory: the end of a row that fills no whole vector

/// The first `count` < Lanes(d) elements, zeros beyond; reads nothing behind them.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_first(D d, const T* from, std::int64_t count) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)] = {};
  std::memcpy(buffer, from, static_cast<std::size_t>(count) * sizeof(T));
  return hn::Load(d, buffer);
#else
  return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count)), d, from);
#endif
}

/// Writes the first `count` < Lanes(d) elements and nothing behind them.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_first(hn::Vec<D> v, D d, T* to, std::int64_t count) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(v, d, buffer);
  std::memcpy(to, buffer, static_cast<std::size_t>(count) * sizeof(T));
#else
  hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(count)), d, to);
#endif
}

/// The same for the vector at p + i of a row of `size` elements, whole or not.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_at(D d, const T* p, std::int64_t i, std::int64_t size) {
  return i + static_cast<std::int64_t>(hn::Lanes(d)) <= size ? hn::LoadU(d, p + i)
                                                             : load_first(d, p + i, size - i);
}

// ---- elementary functions

/// 2^n and expm1(r) for x = n log 2 + r, |r| <= log(2) / 2, -126 <= n <= 0.
template <class V>
struct ReducedExponential {
  V scale;
  V rest;
};

/// Cody and Waite's reduction: log 2 in two parts, the first short enough for n times it to be
/// exact. Adding 1.5 * 2^23 rounds to an integer and leaves it, and the exponent's bias, in the low
/// bits.
template <class D, class V = hn::Vec<D>>
HWY_INLINE ReducedExponential<V> reduce_exponential(D d, V x) {
  const hn::RebindToSigned<D> integers;
  const V magic = hn::Set(d, 12582912.0f + 127.0f);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const V n = hn::Sub(shifted, magic);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V q = hn::Set(d, 1.381459868e-3f);
  q = hn::MulAdd(q, r, hn::Set(d, 8.368716879e-3f));
  q = hn::MulAdd(q, r, hn::Set(d, 4.166838805e-2f));
  q = hn::MulAdd(q, r, hn::Set(d, 1.666652063e-1f));
  q = hn::MulAdd(q, r, hn::Set(d, 4.999999345e-1f));
  const V scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(integers, shifted)));
  return {scale, hn::MulAdd(hn::Mul(r, r), q, r)};
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V minus_abs(D d, V x) {
  return hn::Or(x, hn::SignBit(d));
}

/// Where exp(x) leaves the normal numbers of float32.
inline constexpr float lowest_exponent = -87.5f;

/// exp(x) for x <= 0; 0 below lowest_exponent. Larger x: unspecified.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_nonpositive(D d, V x) {
  const ReducedExponential<V> e = reduce_exponential(d, x);
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, lowest_exponent)),
                            hn::MulAdd(e.scale, e.rest, e.scale));
}

/// exp(x) - 1 for x <= 0, exact to the last bits near 0 too. Larger x: unspecified.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V expm1_nonpositive(D d, V x) {
  const V minus_one = hn::Set(d, -1.0f);
  const ReducedExponential<V> e = reduce_exponential(d, x);
  const V value = hn::MulAdd(e.scale, e.rest, hn::Add(e.scale, minus_one));
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, lowest_exponent)), minus_one, value);
}

/// 1 / (1 + exp(-z)) for z > 0, else exp(z) / (1 + exp(z)): never overflows.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid(D d, V z) {
  const V one = hn::Set(d, 1.0f);
  const V e = exp_nonpositive(d, minus_abs(d, z));
  return hn::Div(hn::IfThenElse(hn::Gt(z, hn::Zero(d)), one, e), hn::Add(one, e));
}

/// tanh |x| = -m / (2 + m) with m = expm1(-2 |x|).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh(D d, V x) {
  const V magnitude = hn::Abs(x);
  const V m = expm1_nonpositive(d, hn::Mul(hn::Set(d, -2.0f), magnitude));
  return hn::CopySign(hn::Div(hn::Neg(m), hn::Add(hn::Set(d, 2.0f), m)), x);
}

template <class V>
struct Normal {
  V cdf;
  V pdf;
};

/// Distribution and density of the standard normal at x. The lower tail at t = |x| is exp(-t^2 / 2)
/// u P(u) with u = 1 / (1 + 0.3 t), P fitted on 0 <= t <= 14.5 (error 3.5e-9), beyond which the
/// exponential is 0. The rounding error of t^2 is made up for: it would be multiplied by t^2 / 2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE Normal<V> normal(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V limit = hn::Set(d, 15.0f);
  V t = hn::Abs(x);
  t = hn::IfThenElse(hn::Gt(t, limit), limit, t);
  const V square = hn::Mul(t, t);
  const V lost = hn::MulSub(t, t, square);
  V e = exp_nonpositive(d, hn::Mul(hn::Set(d, -0.5f), square));
  e = hn::NegMulAdd(hn::Mul(hn::Set(d, 0.5f), lost), e, e);
  const V u = hn::Div(one, hn::MulAdd(hn::Set(d, 0.3f), t, one));
  V p = hn::Set(d, -2.062346076e-2f);
  p = hn::MulAdd(p, u, hn::Set(d, 1.124355682e-1f));
  p = hn::MulAdd(p, u, hn::Set(d, -2.282134948e-1f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.917843957e-1f));
  p = hn::MulAdd(p, u, hn::Set(d, -7.942337703e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, 9.615677240e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, 7.838966983e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.102354205e-1f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.195718144e-1f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.196866898e-1f));
  const V tail = hn::Mul(hn::Mul(e, u), p);
  return {hn::IfThenElse(hn::Gt(x, hn::Zero(d)), hn::Sub(one, tail), tail),
          hn::Mul(hn::Set(d, 0.39894228040143268f), e)};
}

// ---- activations

template <Activation f, class D, class V = hn::Vec<D>>
HWY_INLINE V activate(D d, V x) {
  const V zero = hn::Zero(d);
  if constexpr (f == Activation::relu) {
    return hn::IfThenZeroElse(hn::Le(x, zero), x);
  } else if constexpr (f == Activation::leaky_relu) {
    return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(hn::Set(d, leaky_slope), x));
  } else if constexpr (f == Activation::elu) {
    return hn::IfThenElse(hn::Gt(x, zero), x, expm1_nonpositive(d, x));
  } else if constexpr (f == Activation::selu) {
    return hn::IfThenElse(hn::Gt(x, zero), hn::Mul(hn::Set(d, selu_lambda), x),
                          hn::Mul(hn::Set(d, selu_lambda * selu_alpha), expm1_nonpositive(d, x)));
  } else if constexpr (f == Activation::gelu) {
    return hn::Mul(x, normal(d, x).cdf);
  } else if constexpr (f == Activation::tanh) {
    return tanh(d, x);
  } else if constexpr (f == Activation::sigmoid) {
    return sigmoid(d, x);
  } else {
    return x;
  }
}

/// f'(x) given x and y = f(x); x is used only where derivative_from_output(f) does not hold.
template <Activation f, class D, class V = hn::Vec<D>>
HWY_INLINE V activation_derivative(D d, V x, V y) {
  const V zero = hn::Zero(d);
  const V one = hn::Set(d, 1.0f);
  if constexpr (f == Activation::relu) {
    return hn::IfThenElseZero(hn::Gt(y, zero), one);
  } else if constexpr (f == Activation::leaky_relu) {
    return hn::IfThenElse(hn::Gt(y, zero), one, hn::Set(d, leaky_slope));
  } else if constexpr (f == Activation::elu) {
    return hn::IfThenElse(hn::Gt(y, zero), one, hn::Add(y, one));
  } else if constexpr (f == Activation::selu) {
    return hn::IfThenElse(hn::Gt(y, zero), hn::Set(d, selu_lambda),
                          hn::Add(y, hn::Set(d, selu_lambda * selu_alpha)));
  } else if constexpr (f == Activation::gelu) {
    const Normal<V> n = normal(d, x);
    return hn::MulAdd(x, n.pdf, n.cdf);
  } else if constexpr (f == Activation::tanh) {
    return hn::NegMulAdd(y, y, one);
  } else if constexpr (f == Activation::sigmoid) {
    return hn::Mul(y, hn::Sub(one, y));
  } else {
    return one;
  }
}

/// f''(x) given x and y = f(x); x is used only where derivative_from_output(f) does not hold.
template <Activation f, class D, class V = hn::Vec<D>>
HWY_INLINE V activation_second_derivative(D d, V x, V y) {
  const V zero = hn::Zero(d);
  const V one = hn::Set(d, 1.0f);
  if constexpr (f == Activation::elu) {
    return hn::IfThenZeroElse(hn::Gt(y, zero), hn::Add(y, one));
  } else if constexpr (f == Activation::selu) {
    return hn::IfThenZeroElse(hn::Gt(y, zero), hn::Add(y, hn::Set(d, selu_lambda * selu_alpha)));
  } else if constexpr (f == Activation::gelu) {
    const V limit = hn::Set(d, 15.0f);
    const V t = hn::IfThenElse(hn::Gt(hn::Abs(x), limit), limit, x);
    return hn::Mul(normal(d, t).pdf, hn::NegMulAdd(t, t, hn::Set(d, 2.0f)));
  } else if constexpr (f == Activation::tanh) {
    return hn::Mul(hn::Mul(hn::Set(d, -2.0f), y), hn::NegMulAdd(y, y, one));
  } else if constexpr (f == Activation::sigmoid) {
    return hn::Mul(hn::Mul(y, hn::Sub(one, y)), hn::NegMulAdd(hn::Set(d, 2.0f), y, one));
  } else {
    return zero;
  }
}

// ---- losses: of one vector of logits z and targets t, with the sums that they go into

/// Logarithms of a product cost what one logarithm costs: instead of log(1 + e) for each e in [0,
/// 1], one lane keeps q = product of (1 + e) - 1, q <- q + e (1 + q), which is as accurate for
/// small e as log1p is, and takes log1p(q) at the end: 2 operations a term for 10. After n terms
/// the relative error of log1p(q) is below 1.5 n 2^-23, as that of a float32 sum of n terms. q <
/// 2^n limits n to longest_product.
inline constexpr std::int64_t longest_product = 96;

/// bce() of math.hpp: the sum over the lanes of max(l, 0) - l t, and log(1 + exp(-|l|)) as above.
template <class D>
class BceSum {
 public:
  using V = hn::Vec<D>;
  static constexpr std::int64_t longest = longest_product;

  BceSum(D d, LogitRange range) : d_(d), range_(range), linear_(hn::Zero(d)), q_(hn::Zero(d)) {}

  /// Adds the loss of the lanes in which `counts`; returns the gradient of all lanes.
  template <class Counts>
  HWY_INLINE V add(V z, V t, Counts counts) {
    const V zero = hn::Zero(d_), one = hn::Set(d_, 1.0f);
    const V lower = hn::Set(d_, range_.lower), upper = hn::Set(d_, range_.upper);
    const auto below = hn::Le(z, lower);
    const auto above = hn::Ge(z, upper);
    const V l = hn::IfThenElse(below, lower, hn::IfThenElse(above, upper, z));
    const V e = exp_nonpositive(d_, minus_abs(d_, l));
    const auto positive = hn::Gt(l, zero);
    const V p = hn::Div(hn::IfThenElse(positive, one, e), hn::Add(one, e));
    const V rectified = hn::IfThenElseZero(positive, l);
    linear_ = hn::Add(linear_, counts(hn::NegMulAdd(l, t, rectified)));
    q_ = hn::MulAdd(counts(e), hn::Add(one, q_), q_);
    return hn::IfThenZeroElse(hn::Or(below, above), hn::Sub(p, t));
  }

  [[nodiscard]] HWY_INLINE V total() const { return hn::Add(linear_, hn::Log1p(d_, q_)); }

 private:
  D d_;
  LogitRange range_;
  V linear_;
  V q_;
};

/// squared_error() of math.hpp.
template <Activation f, class D>
class SquaredErrorSum {
 public:
  using V = hn::Vec<D>;
  static constexpr std::int64_t longest = 128;

  explicit SquaredErrorSum(D d) : d_(d), sum_(hn::Zero(d)) {}

  template <class Counts>
  HWY_INLINE V add(V z, V t, Counts counts) {
    const V y = activate<f>(d_, z);
    const V difference = hn::Sub(y, t);
    sum_ = hn::Add(sum_, counts(hn::Mul(difference, difference)));
    const V twice = hn::Add(difference, difference);
    return f == Activation::linear ? twice : hn::Mul(twice, activation_derivative<f>(d_, z, y));
  }

  [[nodiscard]] HWY_INLINE V total() const { return sum_; }

 private:
  D d_;
  V sum_;
};

// ---- optimisers

/// adam_update() of math.hpp; `decays`: whether decay is to be read.
template <bool decays, class D, class V = hn::Vec<D>>
HWY_INLINE void adam_update(D d, V& parameter, V gradient, V& m, V& v, const AdamOptions& options,
                            float gradient_scale, float step_size, float decay) {
  const V g = hn::Mul(hn::Set(d, gradient_scale), gradient);
  m = hn::MulAdd(hn::Set(d, 1.0f - options.beta1), hn::Sub(g, m), m);
  v = hn::MulAdd(hn::Set(d, 1.0f - options.beta2), hn::Sub(hn::Mul(g, g), v), v);
  V step =
      hn::Div(hn::Mul(hn::Set(d, step_size), m), hn::Add(hn::Sqrt(v), hn::Set(d, options.epsilon)));
  if constexpr (decays) step = hn::MulAdd(hn::Set(d, decay), parameter, step);
  parameter = hn::Sub(parameter, step);
}

/// sgd_update() of math.hpp.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void sgd_update(D d, V& parameter, V gradient, V& velocity, float momentum,
                           float gradient_scale, float step_size) {
  velocity =
      hn::MulAdd(hn::Set(d, momentum), velocity, hn::Mul(hn::Set(d, gradient_scale), gradient));
  parameter = hn::NegMulAdd(hn::Set(d, step_size), velocity, parameter);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HOURGLASS_SIMD_MATH_INL_HPP
