// tsne_kl: the true Kullback-Leibler divergence of a map, sum of p log(p / q) over the affinities
// with the partition over every pair: KL = sum p log p + sum p log(1 + d^2) + log Z sum p.
// Everything in float64; 4 N^2 FLOPs and N^2 / 2 divisions.
//
// Partial sums belong to fixed blocks of rows and are added in order: the same bits with any number
// of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_kl.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Sum of q_ij over i in [begin, end), j > i.
double partition_above(const double* HWY_RESTRICT x, const double* HWY_RESTRICT y, std::int64_t n,
                       std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<double> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto one = hn::Set(f, 1.0);
  double total = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const auto xi = hn::Set(f, x[i]), yi = hn::Set(f, y[i]);
    auto s0 = hn::Zero(f), s1 = s0;
    std::int64_t j = i + 1;
    for (; j + 2 * lanes <= n; j += 2 * lanes) {
      const auto dx0 = hn::Sub(xi, hn::LoadU(f, x + j)), dy0 = hn::Sub(yi, hn::LoadU(f, y + j));
      const auto dx1 = hn::Sub(xi, hn::LoadU(f, x + j + lanes));
      const auto dy1 = hn::Sub(yi, hn::LoadU(f, y + j + lanes));
      s0 = hn::Add(s0, hn::Div(one, hn::MulAdd(dx0, dx0, hn::MulAdd(dy0, dy0, one))));
      s1 = hn::Add(s1, hn::Div(one, hn::MulAdd(dx1, dx1, hn::MulAdd(dy1, dy1, one))));
    }
    total += hn::GetLane(hn::SumOfLanes(f, hn::Add(s0, s1)));
    for (; j < n; ++j) {
      const double dx = x[i] - x[j], dy = y[i] - y[j];
      total += 1.0 / (1.0 + dx * dx + dy * dy);
    }
  }
  return total;
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(partition_above);

void CpuBackend::tsne_kl(ConstCsrView affinities, ConstMat y, double* kl) {
  const std::int64_t n = y.rows;
  require(y.columns == 2 && affinities.rows == n, "tsne_kl", "y of N x 2");
  std::vector<double> xs(static_cast<std::size_t>(n)), ys(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    xs[static_cast<std::size_t>(i)] = static_cast<double>(y.data[2 * i]);
    ys[static_cast<std::size_t>(i)] = static_cast<double>(y.data[2 * i + 1]);
  }
  struct Partial {
    double partition = 0;  ///< of pairs above the diagonal
    double cross = 0;      ///< sum p (log p + log(1 + d^2))
    double mass = 0;       ///< sum p
  };
  constexpr std::int64_t block = 64;
  std::vector<Partial> partials(static_cast<std::size_t>((n + block - 1) / block));
  pool_.for_chunks(n, block, [&](std::int64_t begin, std::int64_t end, int) {
    Partial& partial = partials[static_cast<std::size_t>(begin / block)];
    partial.partition = HWY_DYNAMIC_DISPATCH(partition_above)(xs.data(), ys.data(), n, begin, end);
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t e = affinities.offsets[i]; e < affinities.offsets[i + 1]; ++e) {
        const double p = static_cast<double>(affinities.values[e]);
        if (p == 0) continue;  // the limit of p log p
        const std::size_t j = static_cast<std::size_t>(affinities.columns[e]);
        const double dx = xs[static_cast<std::size_t>(i)] - xs[j];
        const double dy = ys[static_cast<std::size_t>(i)] - ys[j];
        partial.cross += p * std::log(p * (1.0 + dx * dx + dy * dy));
        partial.mass += p;
      }
    }
  });
  Partial total;
  for (const Partial& partial : partials) {
    total.partition += partial.partition;
    total.cross += partial.cross;
    total.mass += partial.mass;
  }
  *kl = total.mass == 0 ? total.cross : total.cross + std::log(2 * total.partition) * total.mass;
}

}  // namespace hourglass::cpu
#endif
