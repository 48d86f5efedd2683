// kl_penalty: the mean activation of every code unit, its divergence from rho, and the gradient of
// that, the same for every row. Two passes over B x K, the second (8 bytes an element) only where a
// gradient is wanted. Means in float64. Formula: kl_sparsity() of math.hpp.
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/row_blocks.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/kl_penalty.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// sums[k] = sum over the rows [first, end) of x.
void sum_columns(ConstMat x, std::int64_t first, std::int64_t end, double* sums) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::fill(sums, sums + x.columns, 0.0);
  for (std::int64_t row = first; row < end; ++row) {
    const float* from = x.data + row * x.columns;
    std::int64_t i = 0;
    for (; i + lanes <= x.columns; i += lanes) {
      const auto v = hn::PromoteTo(d, hn::LoadU(narrow, from + i));
      hn::StoreU(hn::Add(hn::LoadU(d, sums + i), v), d, sums + i);
    }
    for (; i < x.columns; ++i)
      sums[i] += static_cast<double>(from[i]);
  }
}

/// Adds `row` to the rows [first, end) of x.
void add_to_rows(Mat x, const float* row, std::int64_t first, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t b = first; b < end; ++b) {
    float* to = x.data + b * x.columns;
    std::int64_t i = 0;
    for (; i + lanes <= x.columns; i += lanes)
      hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, row + i)), d, to + i);
    for (; i < x.columns; ++i)
      to[i] += row[i];
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(sum_columns);
HWY_EXPORT(add_to_rows);

void CpuBackend::kl_penalty(ConstMat codes, float rho, float beta, Mat gradient,
                            std::span<float> mean_activation, double* penalty) {
  constexpr std::int64_t elements_for_threads = 131072;
  const char* name = "kl_penalty";
  const std::int64_t rows = codes.rows, columns = codes.columns;
  require(gradient.empty() || (gradient.rows == rows && gradient.columns == columns), name,
          "a gradient of the codes' shape, or none");
  require(static_cast<std::int64_t>(mean_activation.size()) == columns, name,
          "a mean activation a code unit");
  require(penalty != nullptr, name, "a place for the penalty");
  if (codes.size() == 0) return;

  const std::int64_t blocks = row_blocks(rows);
  double* sums = scratch_.reserve<double>(blocks * columns + columns);
  auto* slope = reinterpret_cast<float*>(sums + blocks * columns);
  for_row_blocks(pool_, rows, columns, elements_for_threads,
                 [&](std::int64_t block, std::int64_t first, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(sum_columns)(codes, first, end, sums + block * columns);
                 });
  double divergence = 0.0;
  for (std::int64_t k = 0; k < columns; ++k) {
    double sum = 0.0;
    for (std::int64_t block = 0; block < blocks; ++block)
      sum += sums[block * columns + k];
    const auto mean = static_cast<float>(sum / static_cast<double>(rows));
    mean_activation[static_cast<std::size_t>(k)] = mean;
    const KlTerm term = kl_sparsity(rho, mean);
    divergence += static_cast<double>(term.value);
    slope[k] = beta * term.gradient / static_cast<float>(rows);
  }
  *penalty += static_cast<double>(rows) * static_cast<double>(beta) * divergence;
  if (gradient.empty()) return;
  for_row_blocks(pool_, rows, columns, elements_for_threads,
                 [&](std::int64_t, std::int64_t first, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(add_to_rows)(gradient, slope, first, end);
                 });
}

}  // namespace hourglass::cpu
#endif
