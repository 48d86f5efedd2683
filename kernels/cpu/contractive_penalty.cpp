// contractive_penalty: the square Frobenius norm of the Jacobian of a one-layer encoder and its
// gradients. Formula: contractive() of math.hpp. Three passes: 4 D K bytes for the square norms of
// the columns of the weights, 12 B K (16 for gelu, 4 where f is not curved) over the batch, 12 D K
// (8 where beta is 0) for the weights' gradient. Sums over rows are float64, of blocks of rows, so
// that the result is the same with any number of threads; the penalty follows from two of them a
// code unit, |W_k|^2 and sum_b f'(a_bk)^2.
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/row_blocks.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/contractive_penalty.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D64 = hn::ScalableTag<double>;
using D32 = hn::Rebind<float, D64>;  // as many lanes

/// sums[k] += v^2 for the first `count` lanes, or all.
HWY_INLINE void add_squares(hn::Vec<D32> v, double* sums, std::int64_t count) {
  const D64 d;
  const auto wide = hn::PromoteTo(d, v);
  if (count >= static_cast<std::int64_t>(hn::Lanes(d))) {
    hn::StoreU(hn::MulAdd(wide, wide, hn::LoadU(d, sums)), d, sums);
  } else {
    store_first(hn::MulAdd(wide, wide, load_first(d, sums, count)), d, sums, count);
  }
}

/// sums[k] = sum over the rows [first, end) of x^2.
void square_columns(ConstMat x, std::int64_t first, std::int64_t end, double* sums) {
  const D32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::fill(sums, sums + x.columns, 0.0);
  for (std::int64_t row = first; row < end; ++row) {
    const float* from = x.data + row * x.columns;
    for (std::int64_t i = 0; i < x.columns; i += lanes)
      add_squares(load_at(d, from, i, x.columns), sums + i, x.columns - i);
  }
}

/// The rows [first, end) of the batch: sums[k] = sum of f'^2; gradient += factor 2 f'' where it is
/// given.
template <Activation f>
void slope_pass(ConstMat pre, ConstMat codes, const float* factor, Mat gradient, std::int64_t first,
                std::int64_t end, double* sums) {
  const D32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t columns = codes.columns;
  std::fill(sums, sums + columns, 0.0);
  for (std::int64_t row = first; row < end; ++row) {
    const float* out = codes.data + row * columns;
    const float* in = derivative_from_output(f) ? out : pre.data + row * columns;
    float* to = gradient.empty() ? nullptr : gradient.data + row * columns;
    for (std::int64_t i = 0; i < columns; i += lanes) {
      const auto y = load_at(d, out, i, columns);
      const auto x = derivative_from_output(f) ? y : load_at(d, in, i, columns);
      add_squares(activation_derivative<f>(d, x, y), sums + i, columns - i);
      if (!is_curved(f) || to == nullptr) continue;
      const auto second = activation_second_derivative<f>(d, x, y);
      const auto scale = load_at(d, factor, i, columns);
      const auto g = hn::MulAdd(scale, hn::Add(second, second), load_at(d, to, i, columns));
      if (i + lanes <= columns) {
        hn::StoreU(g, d, to + i);
      } else {
        store_first(g, d, to + i, columns - i);
      }
    }
  }
}

void slope_rows(Activation f, ConstMat pre, ConstMat codes, const float* factor, Mat gradient,
                std::int64_t first, std::int64_t end, double* sums) {
  switch (f) {
    case Activation::linear:
      return slope_pass<Activation::linear>(pre, codes, factor, gradient, first, end, sums);
    case Activation::relu:
      return slope_pass<Activation::relu>(pre, codes, factor, gradient, first, end, sums);
    case Activation::leaky_relu:
      return slope_pass<Activation::leaky_relu>(pre, codes, factor, gradient, first, end, sums);
    case Activation::elu:
      return slope_pass<Activation::elu>(pre, codes, factor, gradient, first, end, sums);
    case Activation::selu:
      return slope_pass<Activation::selu>(pre, codes, factor, gradient, first, end, sums);
    case Activation::gelu:
      return slope_pass<Activation::gelu>(pre, codes, factor, gradient, first, end, sums);
    case Activation::tanh:
      return slope_pass<Activation::tanh>(pre, codes, factor, gradient, first, end, sums);
    case Activation::sigmoid:
      return slope_pass<Activation::sigmoid>(pre, codes, factor, gradient, first, end, sums);
  }
}

/// The rows [first, end) of out = beta out + factor[k] weights.
void add_scaled_columns(ConstMat weights, const float* factor, float beta, Mat out,
                        std::int64_t first, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t columns = weights.columns;
  const auto keep = hn::Set(d, beta);
  for (std::int64_t row = first; row < end; ++row) {
    const float* from = weights.data + row * columns;
    float* to = out.data + row * columns;
    for (std::int64_t i = 0; i < columns; i += lanes) {
      auto g = hn::Mul(load_at(d, factor, i, columns), load_at(d, from, i, columns));
      if (beta != 0.0f) g = hn::MulAdd(keep, load_at(d, to, i, columns), g);
      if (i + lanes <= columns) {
        hn::StoreU(g, d, to + i);
      } else {
        store_first(g, d, to + i, columns - i);
      }
    }
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

/// sums[k] = sum over the blocks of partial[block, k].
void sum_blocks(const double* partial, std::int64_t blocks, std::int64_t columns, double* sums) {
  std::fill(sums, sums + columns, 0.0);
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t k = 0; k < columns; ++k)
      sums[k] += partial[block * columns + k];
  }
}

}  // namespace

HWY_EXPORT(square_columns);
HWY_EXPORT(slope_rows);
HWY_EXPORT(add_scaled_columns);

void CpuBackend::contractive_penalty(Activation activation, ConstMat weights, ConstMat pre,
                                     ConstMat codes, float lambda, float beta, Mat gradient,
                                     Mat weights_gradient, double* penalty) {
  constexpr std::int64_t elements_for_threads = 65536;
  const char* name = "contractive_penalty";
  const std::int64_t rows = codes.rows, columns = codes.columns;
  require(weights.columns == columns, name, "weights with a column a code unit");
  require(derivative_from_output(activation) || (pre.rows == rows && pre.columns == columns), name,
          "an input of the codes' shape");
  require(gradient.empty() || (gradient.rows == rows && gradient.columns == columns), name,
          "a gradient of the codes' shape, or none");
  require(weights_gradient.empty() ||
              (weights_gradient.rows == weights.rows && weights_gradient.columns == columns),
          name, "a gradient of the weights' shape, or none");
  require(penalty != nullptr, name, "a place for the penalty");

  const std::int64_t blocks = std::max(row_blocks(rows), row_blocks(weights.rows));
  double* norms = scratch_.reserve<double>((blocks + 3) * columns);
  double* slopes = norms + columns;
  double* partial = slopes + columns;
  auto* factor = reinterpret_cast<float*>(partial + blocks * columns);
  const double share = rows == 0 ? 0.0 : static_cast<double>(lambda) / static_cast<double>(rows);

  for_row_blocks(pool_, weights.rows, columns, elements_for_threads,
                 [&](std::int64_t block, std::int64_t first, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(square_columns)
                   (weights, first, end, partial + block * columns);
                 });
  sum_blocks(partial, row_blocks(weights.rows), columns, norms);
  for (std::int64_t k = 0; k < columns; ++k)
    factor[k] = static_cast<float>(share * norms[k]);

  for_row_blocks(pool_, rows, columns, elements_for_threads,
                 [&](std::int64_t block, std::int64_t first, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(slope_rows)
                   (activation, pre, codes, factor, gradient, first, end,
                    partial + block * columns);
                 });
  sum_blocks(partial, row_blocks(rows), columns, slopes);
  double sum = 0.0;
  for (std::int64_t k = 0; k < columns; ++k)
    sum += norms[k] * slopes[k];
  *penalty += static_cast<double>(lambda) * sum;

  if (weights_gradient.empty()) return;
  for (std::int64_t k = 0; k < columns; ++k)
    factor[k] = static_cast<float>(2.0 * share * slopes[k]);
  for_row_blocks(pool_, weights.rows, columns, elements_for_threads,
                 [&](std::int64_t, std::int64_t first, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(add_scaled_columns)
                   (weights, factor, beta, weights_gradient, first, end);
                 });
}

}  // namespace hourglass::cpu
#endif
