// class_distance_sums: for every row the sum of its distances to the rows of each class. 3 D + 2
// FLOPs and a square root a pair.
//
// The rows are put in order of their class first, so that a tile's columns fall into a few runs of
// one class; a run is summed in float64 lanes.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/class_distance_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/distance_tile-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// Sum of the square roots of values[0, count), in float64.
double sum_of_roots(const float* HWY_RESTRICT values, std::int64_t count) {
  const hn::ScalableTag<double> f64;
  const hn::Rebind<float, decltype(f64)> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f64));
  auto sum0 = hn::Zero(f64), sum1 = sum0;
  std::int64_t j = 0;
  for (; j + 2 * lanes <= count; j += 2 * lanes) {
    sum0 = hn::Add(sum0, hn::PromoteTo(f64, hn::Sqrt(hn::LoadU(f32, values + j))));
    sum1 = hn::Add(sum1, hn::PromoteTo(f64, hn::Sqrt(hn::LoadU(f32, values + j + lanes))));
  }
  double total = hn::GetLane(hn::SumOfLanes(f64, hn::Add(sum0, sum1)));
  for (; j < count; ++j)
    total += static_cast<double>(std::sqrt(values[j]));
  return total;
}

/// Rows [first, first + count); `ordered` holds the rows that have a class by it, class c from
/// class_begin[c] on.
void class_sums_of_block(ConstMat x, const float* ordered, const std::int64_t* class_begin,
                         MatrixView<double> sums, std::int64_t first, std::int64_t count) {
  const std::int64_t d = x.columns, classes = sums.columns, n = class_begin[classes];
  const auto packed = hwy::AllocateAligned<float>(
      static_cast<std::size_t>(tile_columns * std::max<std::int64_t>(d, 1)));
  const auto tile = hwy::AllocateAligned<float>(static_cast<std::size_t>(tile_columns * count));
  std::fill(sums.data + first * classes, sums.data + (first + count) * classes, 0.0);
  for (std::int64_t r0 = 0; r0 < n; r0 += tile_columns) {
    const std::int64_t references = std::min(tile_columns, n - r0);
    pack_references(ordered, d, r0, references, packed.get());
    distance_tile(x.data + first * d, count, d, packed.get(), references, tile.get());
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::int64_t begin = std::max(class_begin[c] - r0, std::int64_t{0});
      const std::int64_t end = std::min(class_begin[c + 1] - r0, references);
      if (begin >= end) continue;
      for (std::int64_t i = 0; i < count; ++i) {
        sums.data[(first + i) * classes + c] +=
            sum_of_roots(tile.get() + i * tile_columns + begin, end - begin);
      }
    }
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(class_sums_of_block);

void CpuBackend::class_distance_sums(ConstMat x, std::span<const std::int32_t> labels,
                                     MatrixView<double> sums) {
  const char* name = "class_distance_sums";
  require(static_cast<std::int64_t>(labels.size()) == x.rows && sums.rows == x.rows, name,
          "a label and a row of sums for each row of x");
  const std::int64_t classes = sums.columns;
  const auto is_class = [&](std::int32_t label) { return label >= 0 && label < classes; };
  std::vector<std::int64_t> class_begin(static_cast<std::size_t>(classes) + 1, 0);
  for (const std::int32_t label : labels) {
    if (is_class(label)) ++class_begin[static_cast<std::size_t>(label) + 1];
  }
  for (std::size_t c = 1; c < class_begin.size(); ++c)
    class_begin[c] += class_begin[c - 1];
  std::vector<std::int64_t> next(class_begin.begin(), class_begin.end() - 1);
  std::vector<float> ordered(static_cast<std::size_t>(x.size()));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const std::int32_t label = labels[static_cast<std::size_t>(i)];
    if (!is_class(label)) continue;
    const std::int64_t at = next[static_cast<std::size_t>(label)]++;
    std::copy_n(x.data + i * x.columns, x.columns, ordered.data() + at * x.columns);
  }
  pool_.for_chunks(x.rows, 64, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(class_sums_of_block)
    (x, ordered.data(), class_begin.data(), sums, begin, end - begin);
  });
}

}  // namespace hourglass::cpu
#endif
