// neighbour_ranks: the place of given neighbours in the order of distances from their point.
//
// Rows whose listed neighbours are few (12 for a trustworthiness) need no sort: with the distances
// of the listed ones known, one pass over all distances counts how many are nearer. 3 D FLOPs and
// `listed` compares a pair. Distances are distance_tile's on both sides of every comparison, so
// equal rows tie exactly.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/neighbour_ranks.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/distance_tile-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// How many of distances[0, count) come before (threshold, its index): nearer, or as near with an
/// index below `tie_end`.
std::int64_t count_before(const float* HWY_RESTRICT distances, std::int64_t count, float threshold,
                          std::int64_t tie_end) {
  const hn::ScalableTag<float> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto limit = hn::Set(f, threshold);
  std::int64_t before = 0;
  std::int64_t j = 0;
  for (; j + lanes <= std::min(tie_end, count); j += lanes) {
    before +=
        static_cast<std::int64_t>(hn::CountTrue(f, hn::Le(hn::LoadU(f, distances + j), limit)));
  }
  for (; j < std::min(tie_end, count); ++j)
    before += distances[j] <= threshold ? 1 : 0;
  for (; j < count && j % lanes != 0; ++j)
    before += distances[j] < threshold ? 1 : 0;
  for (; j + lanes <= count; j += lanes) {
    before +=
        static_cast<std::int64_t>(hn::CountTrue(f, hn::Lt(hn::LoadU(f, distances + j), limit)));
  }
  for (; j < count; ++j)
    before += distances[j] < threshold ? 1 : 0;
  return before;
}

/// Ranks for the points [first, first + count).
void ranks_of_block(ConstMat x, MatrixView<const std::int32_t> neighbours,
                    MatrixView<std::int32_t> rank, std::int64_t first, std::int64_t count) {
  const std::int64_t d = x.columns, n = x.rows, listed = neighbours.columns;
  const auto packed = hwy::AllocateAligned<float>(
      static_cast<std::size_t>(tile_columns * std::max<std::int64_t>(d, 1)));
  const auto tile = hwy::AllocateAligned<float>(static_cast<std::size_t>(tile_columns * count));
  std::vector<float> thresholds(static_cast<std::size_t>(count * listed));

  // Distances of the listed ones, in the same order of sums: each listed row as a tile of one
  // point's neighbours.
  std::vector<float> rows(static_cast<std::size_t>(tile_columns * std::max<std::int64_t>(d, 1)));
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t a0 = 0; a0 < listed; a0 += tile_columns) {
      const std::int64_t part = std::min(tile_columns, listed - a0);
      for (std::int64_t a = 0; a < part; ++a) {
        const std::int64_t j = neighbours.data[(first + i) * listed + a0 + a];
        std::copy_n(x.data + j * d, d, rows.data() + a * d);
      }
      pack_references(rows.data(), d, 0, part, packed.get());
      distance_tile(x.data + (first + i) * d, 1, d, packed.get(), part, tile.get());
      std::copy_n(tile.get(), part, thresholds.data() + i * listed + a0);
    }
  }

  std::vector<std::int64_t> before(static_cast<std::size_t>(count * listed), 0);
  for (std::int64_t r0 = 0; r0 < n; r0 += tile_columns) {
    const std::int64_t references = std::min(tile_columns, n - r0);
    pack_references(x.data, d, r0, references, packed.get());
    distance_tile(x.data + first * d, count, d, packed.get(), references, tile.get());
    for (std::int64_t i = 0; i < count; ++i) {
      const float* distances = tile.get() + i * tile_columns;
      for (std::int64_t a = 0; a < listed; ++a) {
        const std::int64_t j = neighbours.data[(first + i) * listed + a];
        before[static_cast<std::size_t>(i * listed + a)] += count_before(
            distances, references, thresholds[static_cast<std::size_t>(i * listed + a)],
            std::clamp(j - r0, std::int64_t{0}, references));
      }
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t a = 0; a < listed; ++a) {
      const std::size_t at = static_cast<std::size_t>(i * listed + a);
      const std::int64_t j = neighbours.data[(first + i) * listed + a];
      // The point itself (distance 0) was counted where it comes before: it is no neighbour of its
      // own.
      const bool self = 0.0f < thresholds[at] || (thresholds[at] == 0.0f && first + i < j);
      rank.data[(first + i) * listed + a] =
          static_cast<std::int32_t>(before[at] + 1 - (self ? 1 : 0));
    }
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(ranks_of_block);

void CpuBackend::neighbour_ranks(ConstMat x, MatrixView<const std::int32_t> neighbours,
                                 MatrixView<std::int32_t> rank) {
  require(neighbours.rows == x.rows && rank.rows == x.rows && rank.columns == neighbours.columns,
          "neighbour_ranks", "neighbours and rank with a row for each of x");
  if (neighbours.columns == 0) return;
  pool_.for_chunks(x.rows, 64, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(ranks_of_block)(x, neighbours, rank, begin, end - begin);
  });
}

}  // namespace hourglass::cpu
#endif
