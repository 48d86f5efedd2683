// Squared Euclidean distances by differences, for one Highway target: a tile of queries against a
// tile of references whose columns lie one after another, so that SIMD lanes are references.
// Included once a target by the operations.
//
// Every distance is the sum over d = 0 .. D-1 in that order by fused multiply-add, 64 columns at a
// time, whatever the tile it is computed in: equal rows have distance 0 and equal distances compare
// equal, which nearest_neighbours and neighbour_ranks rely on.
//
// clang-format off
#if defined(HOURGLASS_DISTANCE_TILE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HOURGLASS_DISTANCE_TILE_INL_HPP
#undef HOURGLASS_DISTANCE_TILE_INL_HPP
#else
#define HOURGLASS_DISTANCE_TILE_INL_HPP
#endif
// clang-format on

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Columns of a packed tile: a multiple of every vector length.
inline constexpr std::int64_t tile_columns = 512;
/// Columns whose squares are summed apart, so that rounding does not grow with all of them.
inline constexpr std::int64_t summed_columns = 64;

/// packed[d * tile_columns + j] = x[(first + j) * D + d] for j < count, 0 beyond: `packed` has D *
/// tile_columns elements.
inline void pack_references(const float* x, std::int64_t columns, std::int64_t first,
                            std::int64_t count, float* HWY_RESTRICT packed) {
  // Blocks of 16 columns: a line of every row is read once while the block's lines of `packed` stay
  // in the first-level cache.
  for (std::int64_t d0 = 0; d0 < columns; d0 += 16) {
    const std::int64_t d1 = std::min(d0 + 16, columns);
    for (std::int64_t j = 0; j < count; ++j) {
      const float* row = x + (first + j) * columns;
      for (std::int64_t d = d0; d < d1; ++d)
        packed[d * tile_columns + j] = row[d];
    }
    for (std::int64_t d = d0; d < d1; ++d) {
      std::fill(packed + d * tile_columns + count, packed + (d + 1) * tile_columns, 0.0f);
    }
  }
}

/// Adds to `sums` the squared differences of `Queries` rows, one after another at `queries`, and of
/// a vector of references, over columns begin .. end - 1. `reference` is that of column begin;
/// `stride` leads to the next.
template <int Queries, class D, class V>
HWY_INLINE void add_squares(D f, const float* queries, std::int64_t columns, std::int64_t begin,
                            std::int64_t end, const float* HWY_RESTRICT reference,
                            std::int64_t stride, V& s0, V& s1, V& s2, V& s3) {
  for (std::int64_t d = begin; d < end; ++d, reference += stride) {
    const auto r = hn::Load(f, reference);
    const auto d0 = hn::Sub(hn::Set(f, queries[d]), r);
    s0 = hn::MulAdd(d0, d0, s0);
    if constexpr (Queries == 4) {
      const auto d1 = hn::Sub(hn::Set(f, queries[columns + d]), r);
      const auto d2 = hn::Sub(hn::Set(f, queries[2 * columns + d]), r);
      const auto d3 = hn::Sub(hn::Set(f, queries[3 * columns + d]), r);
      s1 = hn::MulAdd(d1, d1, s1);
      s2 = hn::MulAdd(d2, d2, s2);
      s3 = hn::MulAdd(d3, d3, s3);
    }
  }
}

/// The squared distances of `Queries` rows from a vector of references whose column d is at
/// reference + d * stride.
template <int Queries, class D, class V>
HWY_INLINE void distance_vectors(D f, const float* queries, std::int64_t columns,
                                 const float* HWY_RESTRICT reference, std::int64_t stride, V& s0,
                                 V& s1, V& s2, V& s3) {
  s0 = s1 = s2 = s3 = hn::Zero(f);
  std::int64_t end = std::min(columns, summed_columns);
  add_squares<Queries>(f, queries, columns, 0, end, reference, stride, s0, s1, s2, s3);
  while (end < columns) {
    const std::int64_t begin = end;
    end = std::min(begin + summed_columns, columns);
    auto p0 = hn::Zero(f), p1 = p0, p2 = p0, p3 = p0;
    add_squares<Queries>(f, queries, columns, begin, end, reference + begin * stride, stride, p0,
                         p1, p2, p3);
    s0 = hn::Add(s0, p0);
    s1 = hn::Add(s1, p1);
    s2 = hn::Add(s2, p2);
    s3 = hn::Add(s3, p3);
  }
}

/// distances[l] = the squared distance of a row from rows[l], l = 0 .. Lanes - 1.
inline void distances_to_rows(const float* query, std::int64_t columns, const float* const* rows,
                              float* HWY_RESTRICT distances) {
  const hn::ScalableTag<float> f;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(f));
  HWY_ALIGN float packed[summed_columns * lanes];
  auto sum = hn::Zero(f);
  for (std::int64_t begin = 0; begin < columns; begin += summed_columns) {
    const std::int64_t count = std::min(summed_columns, columns - begin);
    for (std::int64_t l = 0; l < lanes; ++l) {
      const float* row = rows[l] + begin;
      for (std::int64_t d = 0; d < count; ++d)
        packed[d * lanes + l] = row[d];
    }
    auto s0 = hn::Zero(f), unused = s0;
    add_squares<1>(f, query + begin, columns, 0, count, packed, lanes, s0, unused, unused, unused);
    sum = hn::Add(sum, s0);
  }
  hn::Store(sum, f, distances);
}

/// distances[q * tile_columns + j] for `Queries` rows of `queries` and the `count` references of a
/// packed tile (rounded up to whole vectors; the rest of a row is not written).
template <int Queries>
HWY_INLINE void distance_rows(const float* queries, std::int64_t columns,
                              const float* HWY_RESTRICT packed, std::int64_t count,
                              float* HWY_RESTRICT distances) {
  const hn::ScalableTag<float> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  for (std::int64_t j = 0; j < count; j += lanes) {
    auto s0 = hn::Zero(f), s1 = s0, s2 = s0, s3 = s0;
    distance_vectors<Queries>(f, queries, columns, packed + j, tile_columns, s0, s1, s2, s3);
    hn::Store(s0, f, distances + j);
    if constexpr (Queries == 4) {
      hn::Store(s1, f, distances + tile_columns + j);
      hn::Store(s2, f, distances + 2 * tile_columns + j);
      hn::Store(s3, f, distances + 3 * tile_columns + j);
    }
  }
}

/// All `query_count` rows; distances has query_count * tile_columns elements.
inline void distance_tile(const float* queries, std::int64_t query_count, std::int64_t columns,
                          const float* HWY_RESTRICT packed, std::int64_t count,
                          float* HWY_RESTRICT distances) {
  std::int64_t q = 0;
  for (; q + 4 <= query_count; q += 4) {
    distance_rows<4>(queries + q * columns, columns, packed, count, distances + q * tile_columns);
  }
  for (; q < query_count; ++q) {
    distance_rows<1>(queries + q * columns, columns, packed, count, distances + q * tile_columns);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HOURGLASS_DISTANCE_TILE_INL_HPP
