// tsne_field: what repels each target from all sources, over its own partition.
//
// 13 FLOPs and a reciprocal a pair, a vector of sources against one target at a time: the sources,
// parted by coordinate, stream from the caches.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_field.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/reciprocal-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// sources: `dims` arrays of `padded` coordinates, the padding so far away that its q is nearly 0.
template <int dims>
void field_at(const float* target, const float* HWY_RESTRICT sources, std::int64_t padded,
              float* force) {
  const hn::ScalableTag<float> f;
  using V = hn::Vec<decltype(f)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  constexpr std::int64_t block = 4096;  // terms that float32 lanes add without loss
  double partition = 0, total[dims] = {};
  for (std::int64_t first = 0; first < padded; first += block) {
    auto z = hn::Zero(f);
    V at[dims], sums[dims];
    for (int c = 0; c < dims; ++c) {
      at[c] = hn::Set(f, target[c]);
      sums[c] = hn::Zero(f);
    }
    for (std::int64_t j = first; j < std::min(first + block, padded); j += lanes) {
      V d[dims];
      auto denominator = hn::Set(f, 1.0f);
      for (int c = 0; c < dims; ++c) {
        d[c] = hn::Sub(at[c], hn::LoadU(f, sources + c * padded + j));
        denominator = hn::MulAdd(d[c], d[c], denominator);
      }
      const auto q = reciprocal(f, denominator);
      const auto q2 = hn::Mul(q, q);
      z = hn::Add(z, q);
      for (int c = 0; c < dims; ++c)
        sums[c] = hn::MulAdd(q2, d[c], sums[c]);
    }
    partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z)));
    for (int c = 0; c < dims; ++c)
      total[c] += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, sums[c])));
  }
  for (int c = 0; c < dims; ++c)
    force[c] =
        partition > 0 || partition != partition ? static_cast<float>(total[c] / partition) : 0.0f;
}

void field_of(ConstMat targets, const float* sources, std::int64_t padded, Mat force,
              std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const float* target = targets.data + i * targets.columns;
    float* out = force.data + i * targets.columns;
    targets.columns == 2 ? field_at<2>(target, sources, padded, out)
                         : field_at<3>(target, sources, padded, out);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(field_of);

void CpuBackend::tsne_field(ConstMat targets, ConstMat sources, Mat force) {
  const std::int64_t dims = targets.columns;
  require((dims == 2 || dims == 3) && sources.columns == dims && force.rows == targets.rows &&
              force.columns == dims,
          "tsne_field", "targets, sources and force of two or three dimensions");
  constexpr std::int64_t padding = 64;  // a multiple of every vector length
  constexpr float far_away = 1e18f;     // d^2 stays finite
  const std::int64_t padded = (sources.rows + padding - 1) / padding * padding;
  float* parted = scratch_.reserve<float>(dims * padded);
  for (std::int64_t c = 0; c < dims; ++c) {
    for (std::int64_t j = 0; j < sources.rows; ++j)
      parted[c * padded + j] = sources.data[j * dims + c];
    std::fill(parted + c * padded + sources.rows, parted + (c + 1) * padded, far_away);
  }
  pool_.for_chunks(targets.rows, 16, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(field_of)(targets, parted, padded, force, begin, end);
  });
}

}  // namespace hourglass::cpu
#endif
