// perplexity_search: for every row the precision at which its conditional distribution has the
// wanted perplexity.
//
// With e_j = d_j - min d and p_j ~ exp(-beta e_j), S = sum exp(-beta e), the entropy is H = log S +
// beta E[e], and dH / d(log beta) = -beta^2 Var[e]. Newton on log beta inside a bracket that every
// evaluation narrows; where Newton leaves the bracket, bisection (or a factor of e^2 where one side
// is still open). An evaluation is k exponentials in float64 lanes. Source: van
// der Maaten and Hinton 2008, section 2; Newton in log space as in Vladymyrov and Carreira-Perpinan
// 2013.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/perplexity_search.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct Moments {
  double sum, mean, variance;  ///< S, E[e], Var[e]
};

/// weights[j] = exp(-beta e[j]); e and weights are padded to whole vectors, the padding of e with
/// infinity.
Moments evaluate(const double* e, std::int64_t padded, double beta, double* weights) {
  const hn::ScalableTag<double> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto minus_beta = hn::Set(f, -beta);
  auto s0 = hn::Zero(f), s1 = s0, s2 = s0;
  for (std::int64_t j = 0; j < padded; j += lanes) {
    const auto ej = hn::LoadU(f, e + j);
    const auto finite = hn::Lt(ej, hn::Set(f, std::numeric_limits<double>::infinity()));
    // Exp is specified down to -708; what lies below is 0 at the precision of a sum with a term 1
    // in it.
    const auto exponent = hn::Max(hn::Mul(minus_beta, ej), hn::Set(f, -700.0));
    const auto w = hn::IfThenElseZero(finite, hn::Exp(f, exponent));
    hn::StoreU(w, f, weights + j);
    const auto we = hn::IfThenElseZero(finite, hn::Mul(w, ej));
    s0 = hn::Add(s0, w);
    s1 = hn::Add(s1, we);
    s2 = hn::Add(s2, hn::IfThenElseZero(finite, hn::Mul(we, ej)));
  }
  const double sum = hn::GetLane(hn::SumOfLanes(f, s0));
  const double mean = hn::GetLane(hn::SumOfLanes(f, s1)) / sum;
  const double square = hn::GetLane(hn::SumOfLanes(f, s2)) / sum;
  return {sum, mean, std::max(0.0, square - mean * mean)};
}

void search_rows(ConstMat squared_distance, double target, Mat conditional, float* precision,
                 std::int64_t begin, std::int64_t end) {
  constexpr double tolerance = 1e-6;  // ten times finer than what is promised
  constexpr int most_evaluations = 200;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::int64_t k = squared_distance.columns;
  const std::int64_t padded = (k + 15) / 16 * 16;
  std::vector<double> e(static_cast<std::size_t>(padded), infinity);
  std::vector<double> weights(static_cast<std::size_t>(padded));
  for (std::int64_t i = begin; i < end; ++i) {
    const float* d = squared_distance.data + i * k;
    const float nearest = *std::min_element(d, d + k);
    double scale = 0;
    for (std::int64_t j = 0; j < k; ++j) {
      e[static_cast<std::size_t>(j)] = static_cast<double>(d[j]) - static_cast<double>(nearest);
      scale += e[static_cast<std::size_t>(j)];
    }
    scale /= static_cast<double>(k);
    double beta = 0;
    Moments m{static_cast<double>(k), 0, 0};
    if (!(scale > 0) || target >= std::log(static_cast<double>(k))) {
      // Equal distances, or a perplexity that all k together just reach: uniform (NaN stays NaN).
      m = evaluate(e.data(), padded, scale == scale ? 0.0 : scale, weights.data());
    } else {
      double low = -infinity, high = infinity;  // bracket of log beta; entropy falls with beta
      double x = scale < infinity ? -std::log(scale) : 0.0;
      for (int n = 0; n < most_evaluations; ++n) {
        beta = std::exp(x);
        m = evaluate(e.data(), padded, beta, weights.data());
        const double excess = std::log(m.sum) + beta * m.mean - target;
        if (std::fabs(excess) < tolerance) break;
        (excess > 0 ? low : high) = x;
        const double slope = -beta * beta * m.variance;
        double next = x - excess / slope;
        const bool newton = slope < 0 && next > low && next < high && std::fabs(next - x) < 4;
        if (!newton) {
          if (low == -infinity) {
            next = high - 2;
          } else if (high == infinity) {
            next = low + 2;
          } else {
            next = 0.5 * (low + high);
          }
        }
        // More equal nearest neighbours than the perplexity: the entropy never falls that low, the
        // limit is uniform over them.
        if (next == x || next > 600 || high - low < 1e-14 * std::fabs(x)) break;
        x = next;
      }
    }
    const double inverse = 1.0 / m.sum;
    for (std::int64_t j = 0; j < k; ++j) {
      conditional.data[i * k + j] =
          static_cast<float>(weights[static_cast<std::size_t>(j)] * inverse);
    }
    precision[i] = static_cast<float>(std::min(beta, double{std::numeric_limits<float>::max()}));
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(search_rows);

void CpuBackend::perplexity_search(ConstMat squared_distance, float perplexity, Mat conditional,
                                   std::span<float> precision) {
  const char* name = "perplexity_search";
  require(conditional.rows == squared_distance.rows &&
              conditional.columns == squared_distance.columns &&
              static_cast<std::int64_t>(precision.size()) == squared_distance.rows,
          name, "conditional of squared_distance's shape and a precision a row");
  require(perplexity >= 1.0f, name, "a perplexity of at least 1");
  if (squared_distance.columns == 0) return;
  pool_.for_chunks(squared_distance.rows, 64, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(search_rows)
    (squared_distance, std::log(static_cast<double>(perplexity)), conditional, precision.data(),
     begin, end);
  });
}

}  // namespace hourglass::cpu
#endif
