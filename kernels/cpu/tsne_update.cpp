// tsne_update: gradient, gains, momentum, clip and step of every point, then the map recentred at
// the origin.
//
// 20 bytes read and 12 written a coordinate. The mean is summed in float64 over fixed blocks of
// points, so that the result does not depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/math.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_update.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef HOURGLASS_TSNE_UPDATE
#define HOURGLASS_TSNE_UPDATE
namespace hourglass::cpu {

inline constexpr std::int64_t update_block = 2048;  // points; a multiple of every vector length

struct UpdateTask {
  const float* attraction;
  const float* repulsion;
  float inverse_partition;
  TsneSchedule schedule;
  float* y;
  float* step;
  float* gains;
};

struct Sums {
  double x, y;
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Points [begin, end); returns the sums of the new coordinates.
Sums update_points(const UpdateTask& t, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> f;
  using V = hn::Vec<decltype(f)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const TsneSchedule& s = t.schedule;
  const auto exaggeration = hn::Set(f, s.exaggeration);
  const auto inverse_partition = hn::Set(f, t.inverse_partition);
  const auto rate = hn::Set(f, s.learning_rate), momentum = hn::Set(f, s.momentum);
  const auto longest = hn::Set(f, s.max_step);
  const auto zero = hn::Zero(f);
  // Sums of 2,048 coordinates in 4 to 16 float lanes would lose 3 digits of a mean that is nearly
  // 0: float64 lanes.
  Sums sums{0, 0};
  // tsne_gain and tsne_step of math.hpp, over lanes.
  const auto coordinate = [&](V attraction, V repulsion, V& gain, V& step) HWY_ATTR {
    const auto gradient =
        hn::NegMulAdd(repulsion, inverse_partition, hn::Mul(exaggeration, attraction));
    // Signs differ where one is above 0 and the other is not, or one is below and the other is not.
    const auto apart = hn::Or(
        hn::Xor(hn::VecFromMask(f, hn::Gt(gradient, zero)), hn::VecFromMask(f, hn::Gt(step, zero))),
        hn::Xor(hn::VecFromMask(f, hn::Lt(gradient, zero)),
                hn::VecFromMask(f, hn::Lt(step, zero))));
    const auto next = hn::IfThenElse(hn::MaskFromVec(apart), hn::Add(gain, hn::Set(f, 0.2f)),
                                     hn::Mul(gain, hn::Set(f, 0.8f)));
    gain = hn::Max(next, hn::Set(f, 0.01f));
    step = hn::NegMulAdd(hn::Mul(rate, gain), gradient, hn::Mul(momentum, step));
  };
  const auto point = [&](V ax, V ay, V rx, V ry, V& gx, V& gy, V& sx, V& sy) HWY_ATTR {
    coordinate(ax, rx, gx, sx);
    coordinate(ay, ry, gy, sy);
    const auto length = hn::Sqrt(hn::MulAdd(sx, sx, hn::Mul(sy, sy)));
    const auto shrink =
        hn::IfThenElse(hn::Gt(length, longest), hn::Div(longest, length), hn::Set(f, 1.0f));
    sx = hn::Mul(sx, shrink);
    sy = hn::Mul(sy, shrink);
  };
  const auto run = [&](const float* a, const float* r, float* g, float* st, float* y) HWY_ATTR {
    V ax, ay, rx, ry, gx, gy, sx, sy, yx, yy;
    hn::LoadInterleaved2(f, a, ax, ay);
    hn::LoadInterleaved2(f, r, rx, ry);
    hn::LoadInterleaved2(f, g, gx, gy);
    hn::LoadInterleaved2(f, st, sx, sy);
    hn::LoadInterleaved2(f, y, yx, yy);
    point(ax, ay, rx, ry, gx, gy, sx, sy);
    hn::StoreInterleaved2(gx, gy, f, g);
    hn::StoreInterleaved2(sx, sy, f, st);
    hn::StoreInterleaved2(hn::Add(yx, sx), hn::Add(yy, sy), f, y);
  };
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    run(t.attraction + 2 * i, t.repulsion + 2 * i, t.gains + 2 * i, t.step + 2 * i, t.y + 2 * i);
  }
  if (i < end) {  // the last points through padded copies
    constexpr std::size_t most = 2 * HWY_MAX_BYTES / sizeof(float);
    float a[most] = {}, r[most] = {}, g[most] = {}, st[most] = {}, y[most] = {};
    const std::int64_t left = 2 * (end - i);
    std::copy_n(t.attraction + 2 * i, left, a);
    std::copy_n(t.repulsion + 2 * i, left, r);
    std::copy_n(t.gains + 2 * i, left, g);
    std::copy_n(t.step + 2 * i, left, st);
    std::copy_n(t.y + 2 * i, left, y);
    run(a, r, g, st, y);
    std::copy_n(g, left, t.gains + 2 * i);
    std::copy_n(st, left, t.step + 2 * i);
    std::copy_n(y, left, t.y + 2 * i);
  }
  for (std::int64_t j = begin; j < end; ++j) {
    sums.x += static_cast<double>(t.y[2 * j]);
    sums.y += static_cast<double>(t.y[2 * j + 1]);
  }
  return sums;
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(update_points);

void CpuBackend::tsne_update(ConstMat attraction, ConstMat repulsion, const double* partition,
                             const TsneSchedule* schedule, Mat y, Mat step, Mat gains) {
  const std::int64_t n = y.rows;
  const auto fits = [&](std::int64_t rows, std::int64_t columns) {
    return rows == n && columns == 2;
  };
  require(fits(y.rows, y.columns) && fits(attraction.rows, attraction.columns) &&
              fits(repulsion.rows, repulsion.columns) && fits(step.rows, step.columns) &&
              fits(gains.rows, gains.columns),
          "tsne_update", "matrices of N x 2");
  if (n == 0) return;
  UpdateTask task{};
  task.attraction = attraction.data;
  task.repulsion = repulsion.data;
  // A single point has no pairs: nothing repels it.
  task.inverse_partition =
      *partition > 0 || *partition != *partition ? static_cast<float>(1.0 / *partition) : 0.0f;
  task.schedule = *schedule;
  task.y = y.data;
  task.step = step.data;
  task.gains = gains.data;

  const std::int64_t blocks = (n + update_block - 1) / update_block;
  Sums* sums = scratch_.reserve<Sums>(blocks);
  pool_.for_ranges(blocks, 1, 4, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t b = begin; b < end; ++b) {
      sums[b] = HWY_DYNAMIC_DISPATCH(update_points)(task, b * update_block,
                                                    std::min((b + 1) * update_block, n));
    }
  });
  Sums total{0, 0};
  for (std::int64_t b = 0; b < blocks; ++b) {
    total.x += sums[b].x;
    total.y += sums[b].y;
  }
  const float mean_x = static_cast<float>(total.x / static_cast<double>(n));
  const float mean_y = static_cast<float>(total.y / static_cast<double>(n));
  pool_.for_ranges(n, 1024, 16384, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      y.data[2 * i] -= mean_x;
      y.data[2 * i + 1] -= mean_y;
    }
  });
}

}  // namespace hourglass::cpu
#endif
