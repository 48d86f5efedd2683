// tsne_kl: the true Kullback-Leibler divergence of a map, sum of p log(p / q) over the affinities
// with the partition over every pair: KL = sum p log p + sum p log(1 + d^2) + log Z sum p.
// Everything in float64; 4 N^2 FLOPs and N^2 / 2 divisions, unless the partition is given, and a
// logarithm an affinity.
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

#include <hwy/contrib/math/math-inl.h>

#ifndef HOURGLASS_TSNE_KL
#define HOURGLASS_TSNE_KL
namespace hourglass::cpu {

struct EntrySums {
  double cross = 0;  ///< sum p (log p + log(1 + d^2))
  double mass = 0;   ///< sum p
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Sum of q_ij over i in [begin, end), j > i. `at` has `dims` arrays of n coordinates.
template <int dims>
double partition_of_rows(const double* HWY_RESTRICT at, std::int64_t n, std::int64_t begin,
                         std::int64_t end) {
  const hn::ScalableTag<double> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto one = hn::Set(f, 1.0);
  double total = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    hn::Vec<decltype(f)> yi[dims];
    for (int c = 0; c < dims; ++c)
      yi[c] = hn::Set(f, at[c * n + i]);
    const auto q = [&](std::int64_t j) HWY_ATTR {
      auto denominator = one;
      for (int c = dims; c-- > 0;) {
        const auto d = hn::Sub(yi[c], hn::LoadU(f, at + c * n + j));
        denominator = hn::MulAdd(d, d, denominator);
      }
      return hn::Div(one, denominator);
    };
    auto s0 = hn::Zero(f), s1 = s0;
    std::int64_t j = i + 1;
    for (; j + 2 * lanes <= n; j += 2 * lanes) {
      s0 = hn::Add(s0, q(j));
      s1 = hn::Add(s1, q(j + lanes));
    }
    total += hn::GetLane(hn::SumOfLanes(f, hn::Add(s0, s1)));
    for (; j < n; ++j) {
      double d2 = 0;
      for (int c = 0; c < dims; ++c)
        d2 += (at[c * n + i] - at[c * n + j]) * (at[c * n + i] - at[c * n + j]);
      total += 1.0 / (1.0 + d2);
    }
  }
  return total;
}

/// Rows [begin, end) of the affinities. Lanes of a row that are not there hold p = 0.
template <int dims>
EntrySums entries_of_rows(ConstCsrView p, const double* HWY_RESTRICT at, std::int64_t begin,
                          std::int64_t end) {
  const hn::ScalableTag<double> f;
  const hn::RebindToSigned<decltype(f)> i64;
  const hn::Rebind<float, decltype(f)> narrow;
  const hn::Rebind<std::int32_t, decltype(f)> i32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const std::int64_t entries = p.offsets[p.rows];
  auto cross = hn::Zero(f), mass = cross;
  HWY_ALIGN float last_values[HWY_MAX_BYTES / sizeof(double)] = {};
  HWY_ALIGN std::int32_t last_columns[HWY_MAX_BYTES / sizeof(double)] = {};
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t last = p.offsets[i + 1];
    for (std::int64_t e = p.offsets[i]; e < last; e += lanes) {
      const float* values = p.values + e;
      const std::int32_t* columns = p.columns + e;
      if (e + lanes > entries) {  // not readable to the vector's end
        std::copy(values, p.values + entries, last_values);
        std::copy(columns, p.columns + entries, last_columns);
        values = last_values;
        columns = last_columns;
      }
      auto pij = hn::PromoteTo(f, hn::LoadU(narrow, values));
      if (e + lanes > last)
        pij = hn::IfThenElseZero(hn::FirstN(f, static_cast<std::size_t>(last - e)), pij);
      const auto j = hn::PromoteTo(i64, hn::LoadU(i32, columns));
      auto denominator = hn::Set(f, 1.0);
      for (int c = dims; c-- > 0;) {
        const auto d =
            hn::Sub(hn::Set(f, at[c * p.rows + i]), hn::GatherIndex(f, at + c * p.rows, j));
        denominator = hn::MulAdd(d, d, denominator);
      }
      // p log p is 0 at 0.
      const auto counts = hn::Ne(pij, hn::Zero(f));
      const auto argument = hn::IfThenElse(counts, hn::Mul(pij, denominator), hn::Set(f, 1.0));
      cross = hn::Add(cross, hn::IfThenElseZero(counts, hn::Mul(pij, hn::Log(f, argument))));
      mass = hn::Add(mass, pij);
    }
  }
  return {hn::GetLane(hn::SumOfLanes(f, cross)), hn::GetLane(hn::SumOfLanes(f, mass))};
}

EntrySums sum_entries(ConstCsrView p, const double* at, std::int64_t dims, std::int64_t begin,
                      std::int64_t end) {
  return dims == 2 ? entries_of_rows<2>(p, at, begin, end) : entries_of_rows<3>(p, at, begin, end);
}

double partition_above(const double* at, std::int64_t dims, std::int64_t n, std::int64_t begin,
                       std::int64_t end) {
  return dims == 2 ? partition_of_rows<2>(at, n, begin, end)
                   : partition_of_rows<3>(at, n, begin, end);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(partition_above);
HWY_EXPORT(sum_entries);

void CpuBackend::tsne_kl(ConstCsrView affinities, ConstMat y, const double* partition, double* kl) {
  const std::int64_t n = y.rows, dims = y.columns;
  require((dims == 2 || dims == 3) && affinities.rows == n, "tsne_kl", "y of N x 2 or N x 3");
  double* at = scratch_.reserve<double>(std::max<std::int64_t>(dims * n, 1));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t c = 0; c < dims; ++c)
      at[c * n + i] = static_cast<double>(y.data[dims * i + c]);
  }
  struct Partial {
    double partition = 0;  ///< of pairs above the diagonal
    EntrySums entries;
  };
  constexpr std::int64_t block = 64;
  std::vector<Partial> partials(static_cast<std::size_t>((n + block - 1) / block));
  pool_.for_chunks(n, block, [&](std::int64_t begin, std::int64_t end, int) {
    Partial& partial = partials[static_cast<std::size_t>(begin / block)];
    if (partition == nullptr) {
      partial.partition = HWY_DYNAMIC_DISPATCH(partition_above)(at, dims, n, begin, end);
    }
    partial.entries = HWY_DYNAMIC_DISPATCH(sum_entries)(affinities, at, dims, begin, end);
  });
  Partial total;
  for (const Partial& partial : partials) {
    total.partition += partial.partition;
    total.entries.cross += partial.entries.cross;
    total.entries.mass += partial.entries.mass;
  }
  const double z = partition == nullptr ? 2 * total.partition : *partition;
  const EntrySums& entries = total.entries;
  *kl = entries.mass == 0 ? entries.cross : entries.cross + std::log(z) * entries.mass;
}

}  // namespace hourglass::cpu
#endif
