// tsne_attraction: force[i] = sum over j of p_ij q_ij (y_i - y_j), q = 1 / (1 + |y_i - y_j|^2).
//
// Reads 8 bytes an affinity and gathers 8 bytes of the map; about 10 FLOPs an affinity. The gather
// is what costs: a point's two coordinates are fetched together, as one 64-bit lane, and parted in
// registers.
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_attraction.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void attract_rows(ConstCsrView p, const float* HWY_RESTRICT y, float* HWY_RESTRICT force,
                  std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> f;
  const hn::Repartition<std::int64_t, decltype(f)> i64;
  const hn::Repartition<double, decltype(f)> pair;  // two coordinates in one lane
  const hn::Rebind<std::int32_t, decltype(i64)> i32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const std::int64_t half = lanes / 2;
  const double* points = reinterpret_cast<const double*>(y);
  const auto one = hn::Set(f, 1.0f);

  for (std::int64_t i = begin; i < end; ++i) {
    const float yx = y[2 * i], yy = y[2 * i + 1];
    const auto xi = hn::Set(f, yx), yi = hn::Set(f, yy);
    auto sx = hn::Zero(f), sy = sx;
    std::int64_t e = p.offsets[i];
    const std::int64_t last = p.offsets[i + 1];
    for (; e + lanes <= last; e += lanes) {
      const auto low =
          hn::GatherIndex(pair, points, hn::PromoteTo(i64, hn::LoadU(i32, p.columns + e)));
      const auto high =
          hn::GatherIndex(pair, points, hn::PromoteTo(i64, hn::LoadU(i32, p.columns + e + half)));
      const auto lo = hn::BitCast(f, low), hi = hn::BitCast(f, high);
      const auto dx = hn::Sub(xi, hn::ConcatEven(f, hi, lo));
      const auto dy = hn::Sub(yi, hn::ConcatOdd(f, hi, lo));
      const auto denominator = hn::MulAdd(dx, dx, hn::MulAdd(dy, dy, one));
      const auto pq = hn::Div(hn::LoadU(f, p.values + e), denominator);
      sx = hn::MulAdd(pq, dx, sx);
      sy = hn::MulAdd(pq, dy, sy);
    }
    float fx = hn::GetLane(hn::SumOfLanes(f, sx)), fy = hn::GetLane(hn::SumOfLanes(f, sy));
    for (; e < last; ++e) {
      const std::int64_t j = p.columns[e];
      const float dx = yx - y[2 * j], dy = yy - y[2 * j + 1];
      const float pq = p.values[e] / (1.0f + dx * dx + dy * dy);
      fx += pq * dx;
      fy += pq * dy;
    }
    force[2 * i] = fx;
    force[2 * i + 1] = fy;
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(attract_rows);

void CpuBackend::tsne_attraction(ConstCsrView affinities, ConstMat y, Mat force) {
  require(y.columns == 2 && force.columns == 2 && y.rows == affinities.rows &&
              force.rows == affinities.rows,
          "tsne_attraction", "y and force of N x 2");
  pool_.for_chunks(affinities.rows, 256, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(attract_rows)(affinities, y.data, force.data, begin, end);
  });
}

}  // namespace hourglass::cpu
#endif
