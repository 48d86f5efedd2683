// tsne_step: attraction, gains, momentum, clip and step of every point, in one pass over the
// affinities.
//
// Reads 8 bytes an affinity and gathers 8 or 12 of the map; about 12 FLOPs and a reciprocal an
// affinity. Beyond some ten thousand points the affinities come from memory and bound the step
// (70,000 points: 73 MB), provided that the gathers hit the caches: hence locality_order. In two
// dimensions a point's coordinates are fetched together, as one 64-bit lane, and parted in
// registers. A chunk's attraction stays in a buffer in L1 until its points take their step.
//
// The mean is summed in float64 over fixed blocks, so that the map does not depend on the number of
// threads.
#include <hwy/cache_control.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/math.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_step.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/reciprocal-inl.hpp"

#ifndef HOURGLASS_TSNE_STEP
#define HOURGLASS_TSNE_STEP
namespace hourglass::cpu {

inline constexpr std::int64_t prefetch_entries = 256;  ///< ahead: a tenth faster from memory
inline constexpr std::int64_t step_chunk = 256;  ///< points; a multiple of every vector length

struct StepTask {
  ConstCsrView affinities;
  std::int64_t entries;  ///< of all rows
  const float* sources;
  const float* repulsion;
  float inverse_partition;
  TsneSchedule schedule;
  const float* y;
  std::array<float, 3> mean;
  float* next;
  float* step;
  float* gains;
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

/// A point's two coordinates as one 64-bit value, aligned to 4 bytes as maps are.
HWY_INLINE double pair_at(const float* points, std::int32_t place) {
  double pair;
  std::memcpy(&pair, points + 2 * std::int64_t{place}, sizeof(pair));
  return pair;
}

/// The points places[0], places[1] and so on, one a lane. Loads that are blended: a gather
/// instruction takes half as long again where it is microcode (Zen 4, 10,000 points in the caches:
/// .66 against .41 ns an affinity).
template <class D>
HWY_INLINE hn::Vec<D> load_pairs(D d, const float* points, const std::int32_t* places) {
  if constexpr (hn::MaxLanes(D()) == 2) {
    return hn::OddEven(hn::Set(d, pair_at(points, places[1])),
                       hn::Set(d, pair_at(points, places[0])));
  } else {
    const hn::Half<D> half;
    constexpr std::size_t lanes = hn::MaxLanes(hn::Half<D>());
    return hn::Combine(d, load_pairs(half, points, places + lanes),
                       load_pairs(half, points, places));
  }
}

/// Affinities and the coordinates of their columns, a vector of each.
template <int dims>
struct Gathered {
  V p;
  V s[dims];
};

/// Entries e .. e + lanes - 1; those from `last` on count nothing. All lanes must be readable.
template <int dims, bool whole>
HWY_INLINE Gathered<dims> gather(const StepTask& t, std::int64_t e, std::int64_t last) {
  const F f;
  Gathered<dims> g;
  g.p = hn::LoadU(f, t.affinities.values + e);
  if constexpr (!whole) {
    g.p = hn::IfThenElseZero(hn::FirstN(f, static_cast<std::size_t>(last - e)), g.p);
  }
  if constexpr (dims == 2) {
    const hn::Repartition<double, F> pair;
    const std::int64_t half = static_cast<std::int64_t>(hn::Lanes(pair));
    const std::int32_t* columns = t.affinities.columns + e;
    const auto low = load_pairs(pair, t.sources, columns);
    const auto high = load_pairs(pair, t.sources, columns + half);
    const auto lo = hn::BitCast(f, low), hi = hn::BitCast(f, high);
    g.s[0] = hn::ConcatEven(f, hi, lo);
    g.s[1] = hn::ConcatOdd(f, hi, lo);
  } else {
    // 64-bit places: 3 x 2^31 coordinates are more than an int32 counts.
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
    HWY_ALIGN float coordinates[dims][HWY_MAX_BYTES / sizeof(float)];
    for (std::int64_t l = 0; l < lanes; ++l) {
      const float* point = t.sources + std::int64_t{t.affinities.columns[e + l]} * dims;
      for (int c = 0; c < dims; ++c)
        coordinates[c][l] = point[c];
    }
    for (int c = 0; c < dims; ++c)
      g.s[c] = hn::Load(f, coordinates[c]);
  }
  return g;
}

template <int dims>
HWY_INLINE void pull(const Gathered<dims>& g, const V* yi, V* sums) {
  const F f;
  V d[dims];
  auto denominator = hn::Set(f, 1.0f);
  for (int c = 0; c < dims; ++c) {
    d[c] = hn::Sub(yi[c], g.s[c]);
    denominator = hn::MulAdd(d[c], d[c], denominator);
  }
  const auto pq = hn::Mul(g.p, reciprocal(f, denominator));
  for (int c = 0; c < dims; ++c)
    sums[c] = hn::MulAdd(pq, d[c], sums[c]);
}

/// attraction of rows [begin, end), one after another from `force` on.
template <int dims>
void attract(const StepTask& t, std::int64_t begin, std::int64_t end, float* HWY_RESTRICT force) {
  const F f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  for (std::int64_t i = begin; i < end; ++i, force += dims) {
    const float* yi = t.y + i * dims;
    V point[dims], sums[dims];
    for (int c = 0; c < dims; ++c) {
      point[c] = hn::Set(f, yi[c]);
      sums[c] = hn::Zero(f);
    }
    std::int64_t e = t.affinities.offsets[i];
    const std::int64_t last = t.affinities.offsets[i + 1];
    for (; e + lanes <= last; e += lanes) {
      hwy::Prefetch(t.affinities.columns + e + prefetch_entries);
      hwy::Prefetch(t.affinities.values + e + prefetch_entries);
      pull<dims>(gather<dims, true>(t, e, last), point, sums);
    }
    if (e < last && e + lanes <= t.entries) {  // the lanes beyond are the next rows'
      pull<dims>(gather<dims, false>(t, e, last), point, sums);
      e = last;
    }
    for (int c = 0; c < dims; ++c)
      force[c] = hn::GetLane(hn::SumOfLanes(f, sums[c]));
    for (; e < last; ++e) {  // of the last rows of all
      const float* s = t.sources + std::int64_t{t.affinities.columns[e]} * dims;
      float d2 = 0;
      for (int c = 0; c < dims; ++c)
        d2 += (yi[c] - s[c]) * (yi[c] - s[c]);
      const float pq = t.affinities.values[e] * student_t(d2);
      for (int c = 0; c < dims; ++c)
        force[c] += pq * (yi[c] - s[c]);
    }
  }
}

template <int dims>
HWY_INLINE void load_points(const float* from, V* out) {
  const F f;
  if constexpr (dims == 2) {
    hn::LoadInterleaved2(f, from, out[0], out[1]);
  } else {
    hn::LoadInterleaved3(f, from, out[0], out[1], out[2]);
  }
}

template <int dims>
HWY_INLINE void store_points(const V* values, float* to) {
  const F f;
  if constexpr (dims == 2) {
    hn::StoreInterleaved2(values[0], values[1], f, to);
  } else {
    hn::StoreInterleaved3(values[0], values[1], values[2], f, to);
  }
}

/// A vector of points takes its step: tsne_gain and tsne_coordinate_step of math.hpp, over lanes.
template <int dims>
HWY_INLINE void move_points(const StepTask& t, const float* attraction, const float* repulsion,
                            const float* y, float* next, float* step, float* gains) {
  const F f;
  const TsneSchedule& s = t.schedule;
  const auto zero = hn::Zero(f);
  V a[dims], r[dims], g[dims], st[dims], at[dims];
  load_points<dims>(attraction, a);
  load_points<dims>(repulsion, r);
  load_points<dims>(gains, g);
  load_points<dims>(step, st);
  load_points<dims>(y, at);
  auto square = zero;
  for (int c = 0; c < dims; ++c) {
    const auto gradient = hn::NegMulAdd(r[c], hn::Set(f, t.inverse_partition),
                                        hn::Mul(hn::Set(f, s.exaggeration), a[c]));
    // Signs differ where one is above 0 and the other is not, or one is below and the other is not.
    const auto apart = hn::Or(hn::Xor(hn::VecFromMask(f, hn::Gt(gradient, zero)),
                                      hn::VecFromMask(f, hn::Gt(st[c], zero))),
                              hn::Xor(hn::VecFromMask(f, hn::Lt(gradient, zero)),
                                      hn::VecFromMask(f, hn::Lt(st[c], zero))));
    const auto grown = hn::IfThenElse(hn::MaskFromVec(apart), hn::Add(g[c], hn::Set(f, 0.2f)),
                                      hn::Mul(g[c], hn::Set(f, 0.8f)));
    g[c] = hn::Max(grown, hn::Set(f, 0.01f));
    st[c] = hn::NegMulAdd(hn::Mul(hn::Set(f, s.learning_rate), g[c]), gradient,
                          hn::Mul(hn::Set(f, s.momentum), st[c]));
    square = hn::MulAdd(st[c], st[c], square);
  }
  const auto length = hn::Sqrt(square);
  const auto longest = hn::Set(f, s.max_step);
  const auto shrink =
      hn::IfThenElse(hn::Gt(length, longest), hn::Div(longest, length), hn::Set(f, 1.0f));
  for (int c = 0; c < dims; ++c) {
    st[c] = hn::Mul(st[c], shrink);
    at[c] = hn::Sub(hn::Add(at[c], st[c]), hn::Set(f, t.mean[static_cast<std::size_t>(c)]));
  }
  store_points<dims>(g, gains);
  store_points<dims>(st, step);
  store_points<dims>(at, next);
}

template <int dims>
void step_rows(const StepTask& t, std::int64_t begin, std::int64_t end) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(F()));
  HWY_ALIGN float attraction[static_cast<std::size_t>(step_chunk * dims)];
  attract<dims>(t, begin, end, attraction);
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    const std::int64_t at = i * dims;
    move_points<dims>(t, attraction + (i - begin) * dims, t.repulsion + at, t.y + at, t.next + at,
                      t.step + at, t.gains + at);
  }
  if (i == end) return;
  // The last points through padded copies.
  constexpr std::size_t most = dims * HWY_MAX_BYTES / sizeof(float);
  float a[most] = {}, r[most] = {}, g[most] = {}, st[most] = {}, y[most] = {};
  const std::int64_t at = i * dims, left = (end - i) * dims;
  std::copy_n(attraction + (i - begin) * dims, left, a);
  std::copy_n(t.repulsion + at, left, r);
  std::copy_n(t.gains + at, left, g);
  std::copy_n(t.step + at, left, st);
  std::copy_n(t.y + at, left, y);
  move_points<dims>(t, a, r, y, y, st, g);
  std::copy_n(g, left, t.gains + at);
  std::copy_n(st, left, t.step + at);
  std::copy_n(y, left, t.next + at);
}

void step_points(const StepTask& t, std::int64_t dims, std::int64_t begin, std::int64_t end) {
  dims == 2 ? step_rows<2>(t, begin, end) : step_rows<3>(t, begin, end);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

HWY_EXPORT(step_points);

using Sums = std::array<double, 3>;

Sums sum_points(ConstMat y, std::int64_t begin, std::int64_t end) {
  Sums sums{};
  for (std::int64_t i = begin; i < end; ++i) {
    for (std::int64_t c = 0; c < y.columns; ++c) {
      sums[static_cast<std::size_t>(c)] += static_cast<double>(y.data[i * y.columns + c]);
    }
  }
  return sums;
}

std::array<float, 3> mean_of(ThreadPool& pool, Scratch& scratch, ConstMat y) {
  constexpr std::int64_t block = 2048;
  const std::int64_t blocks = (y.rows + block - 1) / block;
  Sums* sums = scratch.reserve<Sums>(blocks);
  pool.for_ranges(blocks, 1, 4, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t b = begin; b < end; ++b)
      sums[b] = sum_points(y, b * block, std::min((b + 1) * block, y.rows));
  });
  std::array<float, 3> mean{};
  for (std::size_t c = 0; c < 3; ++c) {
    double total = 0;
    for (std::int64_t b = 0; b < blocks; ++b)
      total += sums[b][c];
    mean[c] = static_cast<float>(total / static_cast<double>(y.rows));
  }
  return mean;
}

}  // namespace

void CpuBackend::tsne_step(ConstCsrView affinities, ConstMat sources, ConstMat repulsion,
                           const double* partition, const TsneSchedule* schedule, ConstMat y,
                           Mat next, Mat step, Mat gains) {
  const char* name = "tsne_step";
  const std::int64_t n = y.rows, dims = y.columns;
  const auto fits = [&](ConstMat m) { return m.rows == n && m.columns == dims; };
  require((dims == 2 || dims == 3) && sources.columns == dims, name,
          "maps of two or three dimensions");
  require(affinities.rows == n && fits(repulsion) && fits(next) && fits(step) && fits(gains), name,
          "as many rows of affinities, repulsion, next, step and gains as y");
  require(next.data != y.data && next.data != sources.data, name, "a next map beside y");
  if (n == 0) return;
  StepTask task{};
  task.affinities = affinities;
  task.entries = affinities.offsets[n];
  task.sources = sources.data;
  task.repulsion = repulsion.data;
  task.inverse_partition = *partition == 0 ? 0.0f : static_cast<float>(1.0 / *partition);
  task.schedule = *schedule;
  task.y = y.data;
  if (schedule->recentre) task.mean = mean_of(pool_, scratch_, y);
  task.next = next.data;
  task.step = step.data;
  task.gains = gains.data;
  pool_.for_chunks(n, step_chunk, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(step_points)(task, dims, begin, end);
  });
}

}  // namespace hourglass::cpu
#endif
