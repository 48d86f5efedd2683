// nearest_neighbours: exact k nearest references of every query, by squared Euclidean distance.
//
// The distance that neighbours are ordered by, with ties by the lower index, is the one by
// differences in distance_tile-inl.hpp. Each row of the result is a function of the two matrices
// alone: not of the path taken here, of the tiles, or of the number of threads.
//
// Up to 16 columns, or where half of the references or more are asked for: these distances of every
// pair, a tile of queries by references at a time.
//
// More: |q - r|^2 / 2 = |q|^2 / 2 + |r|^2 / 2 - q.r with centred rows, 2 D FLOPs a pair. Rounding
// makes that off by at most g (|q|^2 + |r|^2) / 2 (Higham 2002, section 3.1). The best k + 16 or
// some more are kept, their distances computed anew by differences, and the best k of those taken;
// a row is proven where the k-th distance lies below the least that a dropped reference can have.
// Rows that are not proven (many equal distances, data far from its mean) are done again by
// differences.
//
// The products are a kernel of our own and not a library's sgemm, since none of them need be
// stored: a tile of 8 x 48 (AVX-512) is summed up in registers, compared with the thresholds of its
// rows and of its columns, and forgotten; what lies below a threshold is appended to the candidates
// of the row or the column. Where queries and references are the same rows each unordered pair is
// multiplied once, D FLOPs for each of the N^2 distances: 70,000 x 50 are 245 GFLOP, out of a copy
// of the rows that is read in blocks of the size of the second-level cache. That takes the
// candidates of all rows at once, 8 (2 k + 64) bytes each; where they would take more than 4 GiB,
// blocks of rows search one after the other, each through all references.
//
// Rows that are searched together are first put in an order in which near ones lie together: the
// first blocks then give thresholds that little exceeds any more. 70,000 x 50, k = 90, one thread
// of a Zen 4: 3.8 s, without the order 5.4 s, with OpenBLAS and a selection from its tiles 13 s.
//
// Selection: a query's candidates are a buffer with a threshold. A full buffer is cut to a few more
// than must be kept by bisection of the values, all of it in vectors.

// Arrays of vectors need vectors of a length known to the compiler.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include <hwy/cache_control.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/block_pairs.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/nearest_neighbours.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/distance_tile-inl.hpp"

#ifndef HOURGLASS_CANDIDATES
#define HOURGLASS_CANDIDATES
namespace hourglass::cpu {

inline constexpr std::int64_t widest_direct = 16;
inline constexpr std::int64_t query_block = 128;  ///< of distances by differences
inline constexpr std::int64_t refinement_margin = 16;
/// Candidates beyond those that must be kept before a buffer is cut: as many, within these.
inline constexpr std::int64_t least_slack = 32, most_slack = 256;
inline constexpr std::int64_t vector_room = 32;  ///< floats: two vectors of the longest kind
inline constexpr std::uint64_t largest_candidates = std::uint64_t{4} << 30;

inline constexpr std::int64_t panel_rows = 48;
inline constexpr std::int64_t block_elements = std::int64_t{1} << 17;  ///< 512 KiB, of cached rows
inline constexpr std::int64_t longest_block = 10 * panel_rows;
inline constexpr std::int64_t rows_of_pivot = 120, most_pivots = 1024;
inline constexpr std::int64_t chunk_columns = 128;  ///< products of so many are summed apart

template <class T>
std::unique_ptr<T[]> uninitialised(std::int64_t count) {
  return std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(count));
}

/// The candidates of one query: of those offered so far the best `keep`, and others. None of the
/// others lies below the threshold.
struct Candidates {
  float* value;
  std::int32_t* index;
  std::int32_t* size;
  float* threshold;
};

/// The candidates of `rows` queries.
class CandidateLists {
 public:
  /// `keep` of each are wanted.
  CandidateLists(std::int64_t rows, std::int64_t keep)
      : keep_(keep),
        limit_(limit(keep)),
        stride_(stride(keep)),
        values_(uninitialised<float>(rows * stride_)),
        indices_(uninitialised<std::int32_t>(rows * stride_)),
        sizes_(static_cast<std::size_t>(rows)),
        // A tile reads the thresholds of a whole panel.
        thresholds_(static_cast<std::size_t>(rows + panel_rows)) {
    reset();
  }
  void reset() {
    std::fill(sizes_.begin(), sizes_.end(), 0);
    std::fill(thresholds_.begin(), thresholds_.end(), std::numeric_limits<float>::infinity());
  }
  [[nodiscard]] Candidates of(std::int64_t row) {
    return {values_.get() + row * stride_, indices_.get() + row * stride_, sizes_.data() + row,
            thresholds_.data() + row};
  }
  [[nodiscard]] const float* thresholds() const { return thresholds_.data(); }
  [[nodiscard]] std::int64_t keep() const { return keep_; }
  /// A buffer with more candidates than this is to be cut.
  [[nodiscard]] std::int64_t limit() const { return limit_; }

  static std::int64_t limit(std::int64_t keep) {
    return keep + std::clamp(keep, least_slack, most_slack);
  }
  static std::int64_t stride(std::int64_t keep) { return limit(keep) + vector_room; }

 private:
  std::int64_t keep_, limit_, stride_;
  std::unique_ptr<float[]> values_;
  std::unique_ptr<std::int32_t[]> indices_;
  std::vector<std::int32_t> sizes_;
  std::vector<float> thresholds_;
};

/// Centred rows in panels of 48, each column of a panel one after the other, so that SIMD lanes are
/// rows: value[(p D + d) 48 + j] is column d of row 48 p + j. Rows beyond the last are 0, and their
/// halves infinite.
struct Panels {
  std::unique_ptr<float[]> storage;
  float* value = nullptr;
  std::unique_ptr<float[]> half_squares;  ///< |x|^2 / 2
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  Panels(std::int64_t row_count, std::int64_t column_count)
      : storage(uninitialised<float>(padded(row_count) * column_count + 16)),
        half_squares(uninitialised<float>(padded(row_count))),
        rows(row_count),
        columns(column_count) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage.get());
    value = storage.get() + (64 - address % 64) % 64 / sizeof(float);
  }
  static std::int64_t padded(std::int64_t rows) {
    return (rows + panel_rows - 1) / panel_rows * panel_rows;
  }
  [[nodiscard]] const float* panel(std::int64_t first_row) const {
    return value + first_row * columns;
  }
};

struct NeighbourTask {
  const float* queries;
  const float* references;
  std::int64_t reference_rows;
  std::int64_t columns;
  bool same;
  std::int64_t k;
  std::int32_t* index;
  float* squared_distance;
  // For the products:
  const float* mean;
  const Panels* panels;  ///< of the references
  float largest_half;    ///< of their halves
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

// ---- selection

/// Integers in the order of the floats that have these bits; its own inverse.
template <class D, class V>
HWY_INLINE V order_of_bits(D i32, V bits) {
  const auto sign = hn::ShiftRight<31>(bits);
  return hn::Xor(bits, hn::And(sign, hn::Set(i32, 0x7FFFFFFF)));
}
inline std::int32_t order_of_bits(std::int32_t bits) {
  return bits ^ (bits < 0 ? 0x7FFFFFFF : 0);
}

/// Cuts candidates to the best, `keep` at least and `most` at most, and lowers the threshold to a
/// value that none of those dropped lies below. Those left keep their order, and of equal ones at
/// the end of what is kept the first are left.
HWY_NOINLINE void cut(const Candidates& c, std::int64_t keep, std::int64_t most) {
  const hn::ScalableTag<float> f;
  const hn::RebindToSigned<decltype(f)> i32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const std::int64_t size = *c.size;
  if (size <= most) return;
  constexpr std::int32_t beyond = std::numeric_limits<std::int32_t>::max();  // a NaN's
  std::int32_t* bits = reinterpret_cast<std::int32_t*>(c.value);
  hn::StoreU(hn::Set(i32, beyond), i32, bits + size);  // the last vector

  auto least = hn::Set(i32, beyond);
  auto greatest = hn::Set(i32, std::numeric_limits<std::int32_t>::min());
  for (std::int64_t i = 0; i < size; i += lanes) {
    const auto order = order_of_bits(i32, hn::LoadU(i32, bits + i));
    least = hn::Min(least, order);
    greatest = hn::Max(greatest, hn::IfThenZeroElse(hn::Eq(order, hn::Set(i32, beyond)), order));
  }
  // Not more than `low` are fewer than keep, not more than `high` are keep or more.
  std::int64_t low = std::int64_t{hn::GetLane(hn::MinOfLanes(i32, least))} - 1;
  std::int64_t high = hn::GetLane(hn::MaxOfLanes(i32, greatest));
  std::int64_t below_low = 0, up_to_high = size;
  while (up_to_high > most && high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    const auto limit = hn::Set(i32, static_cast<std::int32_t>(middle));
    auto counts = hn::Zero(i32);
    for (std::int64_t i = 0; i < size; i += lanes) {
      const auto order = order_of_bits(i32, hn::LoadU(i32, bits + i));
      counts = hn::Sub(counts, hn::VecFromMask(i32, hn::Not(hn::Gt(order, limit))));
    }
    const std::int64_t count = hn::GetLane(hn::SumOfLanes(i32, counts));
    if (count < keep) {
      low = middle;
      below_low = count;
    } else {
      high = middle;
      up_to_high = count;
    }
  }
  // Either few enough do not exceed `high`, or too many equal it.
  const bool ties = up_to_high > most;
  const auto limit = hn::Set(i32, static_cast<std::int32_t>(ties ? low : high));
  const auto last = hn::Set(i32, static_cast<std::int32_t>(high));
  std::int64_t of_ties = ties ? keep - below_low : 0;
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < size; i += lanes) {
    const auto value = hn::LoadU(i32, bits + i);
    const auto index = hn::LoadU(i32, c.index + i);
    const auto order = order_of_bits(i32, value);
    auto stays = hn::Not(hn::Gt(order, limit));
    if (of_ties > 0) {
      const auto equal = hn::Eq(order, last);
      // Lanes of `equal` beyond those that are still wanted do not stay.
      HWY_ALIGN std::int32_t lane[hn::MaxLanes(i32)];
      hn::Store(hn::VecFromMask(i32, equal), i32, lane);
      for (std::int64_t l = 0; l < lanes; ++l) {
        if (lane[l] != 0 && of_ties-- <= 0) lane[l] = 0;
      }
      of_ties = std::max<std::int64_t>(of_ties, 0);
      stays = hn::Or(stays, hn::Ne(hn::Load(i32, lane), hn::Zero(i32)));
    }
    hn::StoreU(hn::Compress(value, stays), i32, bits + kept);
    hn::StoreU(hn::Compress(index, stays), i32, c.index + kept);
    kept += static_cast<std::int64_t>(hn::CountTrue(i32, stays));
  }
  *c.size = static_cast<std::int32_t>(kept);
  *c.threshold = std::bit_cast<float>(order_of_bits(static_cast<std::int32_t>(high)));
}

/// Appends the lanes `near` of `value`, which are the references first, first + 1, ...
template <class V, class M>
HWY_INLINE void append(CandidateLists& lists, const Candidates& c, V value, M near,
                       std::int64_t first) {
  const hn::ScalableTag<float> f;
  const hn::RebindToSigned<decltype(f)> i32;
  const auto index = hn::Iota(i32, static_cast<std::int32_t>(first));
  const std::int32_t size = *c.size;
  // Compressed in a register and stored whole: a compressing store is slow on some processors.
  hn::StoreU(hn::Compress(value, near), f, c.value + size);
  hn::StoreU(hn::Compress(index, hn::RebindMask(i32, near)), i32, c.index + size);
  *c.size = size + static_cast<std::int32_t>(hn::CountTrue(f, near));
  if (*c.size > lists.limit()) cut(c, lists.keep(), lists.keep() + refinement_margin);
}

HWY_INLINE void append(CandidateLists& lists, const Candidates& c, float value,
                       std::int32_t index) {
  const std::int32_t size = *c.size;
  c.value[size] = value;
  c.index[size] = index;
  *c.size = size + 1;
  if (size + 1 > lists.limit()) cut(c, lists.keep(), lists.keep() + refinement_margin);
}

/// Sorts the keys (bits of the distance in the upper half, index in the lower) and writes the best
/// k as the neighbours of query `id`. There are fewer only where distances are NaN, which compare
/// with nothing.
void write_neighbours(const NeighbourTask& t, std::int64_t id, std::vector<std::uint64_t>& keys) {
  std::sort(keys.begin(), keys.end());
  const auto found = static_cast<std::int64_t>(keys.size());
  std::int32_t* index = t.index + id * t.k;
  float* distance = t.squared_distance + id * t.k;
  for (std::int64_t a = 0; a < t.k; ++a) {
    const std::uint64_t key = a < found ? keys[static_cast<std::size_t>(a)] : 0;
    index[a] = static_cast<std::int32_t>(key & 0xFFFFFFFFu);
    distance[a] = a < found ? std::bit_cast<float>(static_cast<std::uint32_t>(key >> 32))
                            : std::numeric_limits<float>::quiet_NaN();
  }
}

/// Of a distance, which is not negative.
inline std::uint64_t key_of(float distance, std::int32_t index) {
  return std::uint64_t{std::bit_cast<std::uint32_t>(distance)} << 32 |
         static_cast<std::uint32_t>(index);
}

// ---- by differences

/// The neighbours of queries ids[0 .. count), count <= query_block.
void neighbours_by_differences(const NeighbourTask& t, const std::int64_t* ids,
                               std::int64_t count) {
  const hn::ScalableTag<float> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const std::int64_t d = t.columns;
  std::vector<float> queries(static_cast<std::size_t>(count * d));
  for (std::int64_t q = 0; q < count; ++q)
    std::copy_n(t.queries + ids[q] * d, d, queries.data() + q * d);
  // Aligned by hand, so that it is counted as all other memory is.
  const auto packed_storage = uninitialised<float>(tile_columns * d + 16);
  const auto tile_storage = uninitialised<float>(count * tile_columns + 16);
  const auto aligned = [](float* p) {
    return p + (64 - reinterpret_cast<std::uintptr_t>(p) % 64) % 64 / sizeof(float);
  };
  float* packed = aligned(packed_storage.get());
  float* tile = aligned(tile_storage.get());
  constexpr float nothing = std::numeric_limits<float>::quiet_NaN();

  CandidateLists lists(count, t.k);
  for (std::int64_t r0 = 0; r0 < t.reference_rows; r0 += tile_columns) {
    const std::int64_t references = std::min(tile_columns, t.reference_rows - r0);
    pack_references(t.references, d, r0, references, packed);
    distance_tile(queries.data(), count, d, packed, references, tile);
    for (std::int64_t q = 0; q < count; ++q) {
      float* row = tile + q * tile_columns;
      if (t.same && ids[q] >= r0 && ids[q] < r0 + references) row[ids[q] - r0] = nothing;
      std::fill(row + references, row + (references + lanes - 1) / lanes * lanes, nothing);
      // References come by rising index, and a cut keeps the first of equal ones: what is kept is
      // the best by (distance, index).
      const Candidates c = lists.of(q);
      for (std::int64_t j = 0; j < references; j += lanes) {
        const auto distance = hn::Load(f, row + j);
        const auto near = hn::Lt(distance, hn::Set(f, *c.threshold));
        if (!hn::AllFalse(f, near)) append(lists, c, distance, near, r0 + j);
      }
    }
  }
  std::vector<std::uint64_t> keys;
  for (std::int64_t q = 0; q < count; ++q) {
    const Candidates c = lists.of(q);
    keys.clear();
    for (std::int64_t i = 0; i < *c.size; ++i)
      keys.push_back(key_of(c.value[i], c.index[i]));
    write_neighbours(t, ids[q], keys);
  }
}

void neighbours_of_narrow_rows(const NeighbourTask& t, std::int64_t first, std::int64_t count) {
  std::int64_t ids[query_block];
  std::iota(ids, ids + count, first);
  neighbours_by_differences(t, ids, count);
}

// ---- by products

#if HWY_MAX_BYTES >= 64 || HWY_ARCH_ARM
inline constexpr int tile_rows = 8, tile_vectors = 3;  // of 32 registers 24 are sums
#else
inline constexpr int tile_rows = 6, tile_vectors = 2;  // of 16 registers 12
#endif

/// products[i, j] = or, unless `first`, += sum over d of a[d * 48 + i] b[d * 48 + j], of a tile.
HWY_INLINE void tile_products(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                              std::int64_t columns, bool first, float* HWY_RESTRICT products) {
  const hn::ScalableTag<float> f;
  using V = hn::Vec<decltype(f)>;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(f));
  V sum[tile_rows][tile_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < tile_vectors; ++v)
      sum[i][v] = hn::Zero(f);
  }
  for (std::int64_t d = 0; d < columns; ++d) {
    V column[tile_vectors];
#pragma GCC unroll 8
    for (int v = 0; v < tile_vectors; ++v)
      column[v] = hn::Load(f, b + d * panel_rows + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < tile_rows; ++i) {
      const V row = hn::Set(f, a[d * panel_rows + i]);
#pragma GCC unroll 8
      for (int v = 0; v < tile_vectors; ++v)
        sum[i][v] = hn::MulAdd(row, column[v], sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < tile_vectors; ++v) {
      float* out = products + (i * tile_vectors + v) * lanes;
      hn::Store(first ? sum[i][v] : hn::Add(hn::Load(f, out), sum[i][v]), f, out);
    }
  }
}

/// One side of the pairs of a block of rows and a block of columns.
struct Side {
  const Panels* panels;
  CandidateLists* lists;
  std::int64_t first_list;  ///< the row whose candidates are the lists' first
};

/// Offers the references [first_column, end_column) to the queries [first_row, end_row), and where
/// `Both` each of these to those, too; both blocks begin with a panel. Where the two blocks are
/// one, pairs with a column above the row, each of which stands for two.
template <bool Both>
void pair_blocks(const Side& rows, std::int64_t first_row, std::int64_t end_row,
                 const Side& columns, std::int64_t first_column, std::int64_t end_column,
                 std::int64_t itself) {
  const hn::ScalableTag<float> f;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(f));
  constexpr std::int64_t width = tile_vectors * lanes;
  const std::int64_t depth = rows.panels->columns;
  const bool diagonal = Both && first_row == first_column;
  // Wide rows are multiplied some columns at a time, so that those of the panel stay in the
  // first-level cache for all rows of the block; what is summed up so far waits in `products`.
  const bool wide = depth > chunk_columns;
  HWY_ALIGN float products[(longest_block + panel_rows) * width];
  for (std::int64_t j0 = first_column; j0 < end_column; j0 += width) {
    const std::int64_t j_panel = j0 / panel_rows * panel_rows;
    const float* b = columns.panels->panel(j_panel) + (j0 - j_panel);
    const float* column_halves = columns.panels->half_squares.get() + j0;
    const float* column_thresholds = Both ? columns.lists->thresholds() + j0 : nullptr;
    // Where the blocks are one, no column of these lies above a row from here on.
    const std::int64_t last_row = diagonal ? std::min(end_row, j0 + width - 1) : end_row;
    const auto multiply = [&](std::int64_t i0, std::int64_t from, float* tile) HWY_ATTR {
      const std::int64_t i_panel = i0 / panel_rows * panel_rows;
      tile_products(rows.panels->panel(i_panel) + from * panel_rows + (i0 - i_panel),
                    b + from * panel_rows, std::min(chunk_columns, depth - from), from == 0, tile);
    };
    for (std::int64_t from = 0; wide && from < depth; from += chunk_columns) {
      for (std::int64_t i0 = first_row; i0 < last_row; i0 += tile_rows)
        multiply(i0, from, products + (i0 - first_row) * width);
    }
    for (std::int64_t i0 = first_row; i0 < last_row; i0 += tile_rows) {
      float* tile = products + (wide ? (i0 - first_row) * width : 0);
      if (!wide) multiply(i0, 0, tile);
      const std::int64_t row_count = std::min<std::int64_t>(tile_rows, end_row - i0);
      if (diagonal && i0 + tile_rows > j0) {
        for (std::int64_t i = 0; i < row_count; ++i) {
          const std::int64_t end = std::clamp<std::int64_t>(i0 + i + 1 - j0, 0, width);
          std::fill_n(tile + i * width, end, -std::numeric_limits<float>::infinity());
        }
      }
      for (std::int64_t i = 0; i < row_count; ++i) {
        const std::int64_t id = i0 + i;
        const Candidates row = rows.lists->of(id - rows.first_list);
        if (!Both && id + itself >= j0 && id + itself < j0 + width) {
          tile[i * width + id + itself - j0] = -std::numeric_limits<float>::infinity();
        }
        const auto half = hn::Set(f, rows.panels->half_squares[id]);
#pragma GCC unroll 8
        for (int v = 0; v < tile_vectors; ++v) {
          const auto value = hn::Sub(hn::Add(half, hn::LoadU(f, column_halves + v * lanes)),
                                     hn::Load(f, tile + i * width + v * lanes));
          const auto near_row = hn::Lt(value, hn::Set(f, *row.threshold));
          if constexpr (Both) {
            const auto near_column = hn::Lt(value, hn::LoadU(f, column_thresholds + v * lanes));
            if (HWY_LIKELY(hn::AllFalse(f, hn::Or(near_row, near_column)))) continue;
            if (!hn::AllFalse(f, near_row)) {
              append(*rows.lists, row, value, near_row, j0 + v * lanes);
            }
            if (!hn::AllFalse(f, near_column)) {
              std::uint8_t bytes[8] = {};
              hn::StoreMaskBits(f, near_column, bytes);
              HWY_ALIGN float values[hn::MaxLanes(f)];
              hn::Store(value, f, values);
              for (unsigned bits = bytes[0] | unsigned{bytes[1]} << 8; bits != 0;
                   bits &= bits - 1) {
                const int lane = std::countr_zero(bits);
                append(*columns.lists, columns.lists->of(j0 + v * lanes + lane), values[lane],
                       static_cast<std::int32_t>(id));
              }
            }
          } else {
            if (HWY_LIKELY(hn::AllFalse(f, near_row))) continue;
            append(*rows.lists, row, value, near_row, j0 + v * lanes);
          }
        }
      }
    }
  }
}

/// The panels' rows [first, end), of which `first` begins a panel: row order[i] of x less the mean,
/// or row i where there is no order.
void fill_panels(const float* x, const std::int32_t* order, const float* mean, std::int64_t first,
                 std::int64_t end, Panels& panels) {
  const std::int64_t d = panels.columns;
  for (std::int64_t i = first; i < end; i += panel_rows) {
    const std::int64_t count = std::min(panel_rows, end - i);
    float* panel = panels.value + i * d;
    for (std::int64_t j = 0; j < panel_rows; ++j) {
      double square = 0.0;
      if (j < count) {
        const float* row = x + (order != nullptr ? std::int64_t{order[i + j]} : i + j) * d;
        for (std::int64_t c = 0; c < d; ++c) {
          const float value = row[c] - mean[c];
          panel[c * panel_rows + j] = value;
          square += static_cast<double>(value) * static_cast<double>(value);
        }
      } else {
        for (std::int64_t c = 0; c < d; ++c)
          panel[c * panel_rows + j] = 0.0f;
      }
      panels.half_squares[static_cast<std::size_t>(i + j)] =
          j < count ? static_cast<float>(0.5 * square) : std::numeric_limits<float>::infinity();
    }
  }
}

/// nearest[i] = the pivot that row i of x lies next to, for rows [first, end). The panels are those
/// of the pivots. Only the order of the work depends on it.
void nearest_pivots(const float* x, const float* mean, const Panels& pivots, std::int64_t first,
                    std::int64_t end, std::int32_t* nearest) {
  const hn::ScalableTag<float> f;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(f));
  constexpr std::int64_t width = tile_vectors * lanes;
  HWY_ALIGN float tile[tile_rows * width];
  Panels rows(panel_rows, pivots.columns);
  for (std::int64_t i0 = first; i0 < end; i0 += panel_rows) {
    const std::int64_t count = std::min(panel_rows, end - i0);
    fill_panels(x + i0 * pivots.columns, nullptr, mean, 0, count, rows);
    float best[panel_rows];
    std::fill(best, best + panel_rows, std::numeric_limits<float>::infinity());
    std::fill(nearest + i0, nearest + i0 + count, 0);
    for (std::int64_t j0 = 0; j0 < pivots.rows; j0 += width) {
      const std::int64_t panel = j0 / panel_rows * panel_rows;
      for (std::int64_t i = 0; i < count; i += tile_rows) {
        tile_products(rows.value + i, pivots.panel(panel) + (j0 - panel), pivots.columns, true,
                      tile);
        for (std::int64_t r = i; r < std::min<std::int64_t>(i + tile_rows, count); ++r) {
          for (std::int64_t v = 0; v < width; v += lanes) {
            const float* halves = pivots.half_squares.get() + j0 + v;
            const auto value =
                hn::Sub(hn::LoadU(f, halves), hn::Load(f, tile + (r - i) * width + v));
            const auto nearer = hn::Lt(value, hn::Set(f, best[r]));
            if (hn::AllFalse(f, nearer)) continue;
            best[r] = hn::GetLane(hn::MinOfLanes(f, value));
            nearest[i0 + r] = static_cast<std::int32_t>(
                j0 + v + hn::FindFirstTrue(f, hn::Eq(value, hn::Set(f, best[r]))));
          }
        }
      }
    }
  }
}

/// From the candidates of queries [first, end) their neighbours. `halves` are those of the queries.
/// Where there is an order, lists and references are counted in it.
void refine(const NeighbourTask& t, CandidateLists& lists, std::int64_t first_list,
            const std::int32_t* order, const float* halves, std::int64_t first, std::int64_t end) {
  const hn::ScalableTag<float> f;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(f));
  const std::int64_t d = t.columns;
  const std::int64_t chunks = (d + chunk_columns - 1) / chunk_columns;
  constexpr double unit = 0x1p-24;
  // Of the sum in its chunks; the rest is for centring, the squares and the last additions.
  const double of_products =
      (static_cast<double>(std::min(d, chunk_columns) + chunks) + 16.0) * unit;
  const double of_differences = (static_cast<double>(d) + 8.0) * unit;
  std::vector<std::uint64_t> keys;
  std::vector<std::int64_t> doubtful;
  HWY_ALIGN float distances[hn::MaxLanes(f)];

  for (std::int64_t list = first; list < end; ++list) {
    const std::int64_t q = order != nullptr ? order[list] : list;
    const Candidates c = lists.of(list - first_list);
    cut(c, lists.keep(), lists.keep() + refinement_margin);
    const float* query = t.queries + q * d;
    const std::int64_t size = *c.size;
    if (order != nullptr) {
      for (std::int64_t a = 0; a < size; ++a)
        c.index[a] = order[c.index[a]];
    }
    keys.clear();
    for (std::int64_t a = 0; a < size; a += lanes) {
      const std::int64_t count = std::min(lanes, size - a);
      for (std::int64_t l = 0; l < lanes; ++l) {  // the rows of the next turn
        const std::int64_t next = std::min(a + lanes + l, size - 1);
        const float* row = t.references + c.index[next] * d;
        for (std::int64_t column = 0; column < std::min<std::int64_t>(d, 64); column += 16)
          hwy::Prefetch(row + column);
      }
      const float* rows[hn::MaxLanes(f)];
      for (std::int64_t l = 0; l < lanes; ++l)
        rows[l] = t.references + c.index[a + std::min(l, count - 1)] * d;
      distances_to_rows(query, d, rows, distances);
      for (std::int64_t l = 0; l < count; ++l) {
        if (distances[l] == distances[l]) keys.push_back(key_of(distances[l], c.index[a + l]));
      }
    }
    write_neighbours(t, q, keys);
    if (size == t.reference_rows - (t.same ? 1 : 0)) continue;  // none was dropped
    const double error =
        of_products * 2.0 * (static_cast<double>(halves[list - first_list]) + t.largest_half);
    const double least_dropped =
        (2.0 * static_cast<double>(*c.threshold) - error) * (1.0 - of_differences);
    const double kth = t.squared_distance[q * t.k + t.k - 1];
    if (!(kth < least_dropped)) doubtful.push_back(q);
  }
  const auto count = static_cast<std::int64_t>(doubtful.size());
  for (std::int64_t i = 0; i < count; i += query_block) {
    neighbours_by_differences(t, doubtful.data() + i, std::min(query_block, count - i));
  }
}

/// The pairs of blocks `a` <= `b` of one matrix, or of one block.
void pair_rows(const Panels& panels, CandidateLists& lists, std::int64_t block, std::int64_t a,
               std::int64_t b) {
  const Side side{&panels, &lists, 0};
  pair_blocks<true>(side, a * block, std::min((a + 1) * block, panels.rows), side, b * block,
                    std::min((b + 1) * block, panels.rows), 0);
}

/// Queries [first, end) against all references.
void neighbours_of_block(const NeighbourTask& t, std::int64_t first, std::int64_t end,
                         std::int64_t keep) {
  Panels queries(end - first, t.columns);
  fill_panels(t.queries + first * t.columns, nullptr, t.mean, 0, end - first, queries);
  CandidateLists lists(end - first, keep);
  // Rows of the queries' panels count from 0. Where they are references, too, `first` is added to
  // find the row itself; elsewhere that lies beyond all.
  const std::int64_t itself = t.same ? first : std::numeric_limits<std::int64_t>::max() / 2;
  const std::int64_t block =
      std::clamp(block_elements / t.columns / panel_rows * panel_rows, panel_rows, longest_block);
  for (std::int64_t r = 0; r < t.reference_rows; r += block) {
    pair_blocks<false>({&queries, &lists, 0}, 0, end - first, {t.panels, nullptr, 0}, r,
                       std::min(r + block, t.reference_rows), itself);
  }
  refine(t, lists, first, nullptr, queries.half_squares.get(), first, end);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(neighbours_of_narrow_rows);
HWY_EXPORT(neighbours_of_block);
HWY_EXPORT(fill_panels);
HWY_EXPORT(nearest_pivots);
HWY_EXPORT(pair_rows);
HWY_EXPORT(refine);

namespace {

std::int64_t rows_of_block(std::int64_t rows, std::int64_t columns) {
  // Short enough that each round has work for many threads.
  const std::int64_t wanted = std::min(block_elements / columns, rows / 64);
  return std::clamp(wanted / panel_rows * panel_rows, panel_rows, longest_block);
}

/// The rows so that near ones come one after the other: by the nearest of some pivots, and these in
/// a chain from each to the nearest that is left.
std::vector<std::int32_t> order_of_rows(ThreadPool& pool, const float* x, const float* mean,
                                        std::int64_t rows, std::int64_t columns) {
  const std::int64_t pivots = std::clamp<std::int64_t>(rows / rows_of_pivot, 1, most_pivots);
  std::vector<std::int32_t> chain(static_cast<std::size_t>(pivots));
  for (std::int64_t p = 0; p < pivots; ++p)
    chain[static_cast<std::size_t>(p)] = static_cast<std::int32_t>(p * rows / pivots);
  const auto distance = [&](std::int32_t a, std::int32_t b) {
    float sum = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const float difference = x[a * columns + c] - x[b * columns + c];
      sum += difference * difference;
    }
    return sum;
  };
  for (std::size_t p = 1; p < chain.size(); ++p) {
    std::size_t best = p;
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t other = p; other < chain.size(); ++other) {
      const float apart = distance(chain[p - 1], chain[other]);
      if (apart < least) {
        least = apart;
        best = other;
      }
    }
    std::swap(chain[p], chain[best]);
  }
  Panels panels(pivots, columns);
  HWY_DYNAMIC_DISPATCH(fill_panels)(x, chain.data(), mean, 0, pivots, panels);
  std::vector<std::int32_t> nearest(static_cast<std::size_t>(rows));
  pool.for_chunks(rows, 10 * panel_rows, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(nearest_pivots)(x, mean, panels, begin, end, nearest.data());
  });
  std::vector<std::int64_t> next(static_cast<std::size_t>(pivots + 1), 0);
  for (const std::int32_t pivot : nearest)
    ++next[static_cast<std::size_t>(pivot) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<std::int32_t> order(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto pivot = static_cast<std::size_t>(nearest[static_cast<std::size_t>(i)]);
    order[static_cast<std::size_t>(next[pivot]++)] = static_cast<std::int32_t>(i);
  }
  return order;
}

}  // namespace

void CpuBackend::nearest_neighbours(ConstMat queries, ConstMat references, bool same,
                                    MatrixView<std::int32_t> index, Mat squared_distance) {
  const char* name = "nearest_neighbours";
  require(queries.columns == references.columns, name, "queries and references of equal width");
  require(index.rows == queries.rows && squared_distance.rows == queries.rows &&
              index.columns == squared_distance.columns,
          name, "index and squared_distance with a row a query");
  require(!same || queries.rows == references.rows, name, "one matrix where `same` is set");
  require(index.columns <= references.rows - (same ? 1 : 0), name, "k no larger than the rows");
  require(references.rows <= std::numeric_limits<std::int32_t>::max() - panel_rows, name,
          "fewer than 2^31 rows");
  const std::int64_t k = index.columns;
  if (queries.rows == 0 || k == 0) return;

  NeighbourTask task{};
  task.queries = queries.data;
  task.references = references.data;
  task.reference_rows = references.rows;
  task.columns = queries.columns;
  task.same = same;
  task.k = k;
  task.index = index.data;
  task.squared_distance = squared_distance.data;
  if (queries.columns <= widest_direct || 2 * k >= references.rows) {
    pool_.for_chunks(queries.rows, query_block, [&](std::int64_t begin, std::int64_t end, int) {
      HWY_DYNAMIC_DISPATCH(neighbours_of_narrow_rows)(task, begin, end - begin);
    });
    return;
  }

  const std::int64_t d = queries.columns, n = references.rows;
  std::vector<double> sums(static_cast<std::size_t>(d), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t c = 0; c < d; ++c)
      sums[static_cast<std::size_t>(c)] += static_cast<double>(references.data[i * d + c]);
  }
  std::vector<float> mean(static_cast<std::size_t>(d));
  for (std::size_t c = 0; c < mean.size(); ++c)
    mean[c] = static_cast<float>(sums[c] / static_cast<double>(n));
  const std::int64_t keep = std::min(k + refinement_margin, n - (same ? 1 : 0));
  const double candidate_bytes = 8.0 * static_cast<double>(CandidateLists::stride(keep));
  const bool by_pairs =
      same && candidate_bytes * static_cast<double>(n) <= static_cast<double>(largest_candidates);
  std::vector<std::int32_t> order;
  if (by_pairs) order = order_of_rows(pool_, references.data, mean.data(), n, d);
  Panels panels(n, d);
  pool_.for_ranges(n, panel_rows, 1024, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(fill_panels)
    (references.data, by_pairs ? order.data() : nullptr, mean.data(), begin, end, panels);
  });
  task.mean = mean.data();
  task.panels = &panels;
  task.largest_half = *std::max_element(panels.half_squares.get(), panels.half_squares.get() + n);

  if (by_pairs) {
    CandidateLists lists(n, keep);
    const std::int64_t block = rows_of_block(n, d);
    for_block_pairs(pool_, (n + block - 1) / block, [&](std::int64_t a, std::int64_t b) {
      HWY_DYNAMIC_DISPATCH(pair_rows)(panels, lists, block, a, b);
    });
    pool_.for_chunks(n, query_block, [&](std::int64_t begin, std::int64_t end, int) {
      HWY_DYNAMIC_DISPATCH(refine)
      (task, lists, 0, order.data(), panels.half_squares.get(), begin, end);
    });
    return;
  }
  const std::int64_t block = rows_of_block(queries.rows, d);
  pool_.for_chunks(queries.rows, block, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(neighbours_of_block)(task, begin, end, keep);
  });
}

}  // namespace hourglass::cpu
#endif
