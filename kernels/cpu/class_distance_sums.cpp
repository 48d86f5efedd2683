// class_distance_sums: for every row the sum of its distances to the rows of each class. 3 D FLOPs
// and a square root an unordered pair, and two float64 additions.
//
// The rows are put in order of their class first, so that a tile's rows and columns fall into a few
// runs of one class each; a run is summed in float64 lanes. Blocks of rows meet in pairs, each pair
// once: what one row adds to the other's sums the other adds to its.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/block_pairs.hpp"

#ifndef HOURGLASS_CLASS_ROWS
#define HOURGLASS_CLASS_ROWS
namespace hourglass::cpu {

/// Rows of a block: few enough that blocks, which meet in pairs, keep many threads busy.
inline constexpr std::int64_t block_rows = 256;
inline constexpr std::int64_t tile_rows = 64;

/// Rows in order of their class, those without one at the end.
struct ClassRows {
  const float* ordered;  ///< N x D
  std::int64_t columns;
  std::int64_t classes;
  const std::int64_t* class_begin;  ///< C + 1: class c has the rows [class_begin[c], [c + 1])
  const std::int64_t* row;          ///< N: which row of the sums an ordered row has
  double* sums;                     ///< N x C
};

}  // namespace hourglass::cpu
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/class_distance_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/distance_tile-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// Takes the square roots of values[0, count) in place.
void take_roots(float* HWY_RESTRICT values, std::int64_t count) {
  const hn::ScalableTag<float> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes)
    hn::StoreU(hn::Sqrt(hn::LoadU(f, values + j)), f, values + j);
  for (; j < count; ++j)
    values[j] = std::sqrt(values[j]);
}

/// Sum of values[0, count), in float64.
double sum_of(const float* HWY_RESTRICT values, std::int64_t count) {
  const hn::ScalableTag<double> f64;
  const hn::Rebind<float, decltype(f64)> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f64));
  auto sum0 = hn::Zero(f64), sum1 = sum0;
  std::int64_t j = 0;
  for (; j + 2 * lanes <= count; j += 2 * lanes) {
    sum0 = hn::Add(sum0, hn::PromoteTo(f64, hn::LoadU(f32, values + j)));
    sum1 = hn::Add(sum1, hn::PromoteTo(f64, hn::LoadU(f32, values + j + lanes)));
  }
  double total = hn::GetLane(hn::SumOfLanes(f64, hn::Add(sum0, sum1)));
  for (; j < count; ++j)
    total += static_cast<double>(values[j]);
  return total;
}

/// sums[j] = sum over the `rows` rows of a tile of their value j, j < columns, in float64.
void sum_columns(const float* HWY_RESTRICT tile, std::int64_t rows, std::int64_t columns,
                 double* HWY_RESTRICT sums) {
  const hn::ScalableTag<double> f64;
  const hn::Rebind<float, decltype(f64)> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f64));
  const auto value = [&](std::int64_t i, std::int64_t j) HWY_ATTR {
    return hn::PromoteTo(f64, hn::LoadU(f32, tile + i * tile_columns + j));
  };
  std::int64_t j = 0;
  for (; j + 4 * lanes <= columns; j += 4 * lanes) {
    auto s0 = hn::Zero(f64), s1 = s0, s2 = s0, s3 = s0;
    for (std::int64_t i = 0; i < rows; ++i) {
      s0 = hn::Add(s0, value(i, j));
      s1 = hn::Add(s1, value(i, j + lanes));
      s2 = hn::Add(s2, value(i, j + 2 * lanes));
      s3 = hn::Add(s3, value(i, j + 3 * lanes));
    }
    hn::StoreU(s0, f64, sums + j);
    hn::StoreU(s1, f64, sums + j + lanes);
    hn::StoreU(s2, f64, sums + j + 2 * lanes);
    hn::StoreU(s3, f64, sums + j + 3 * lanes);
  }
  for (; j < columns; ++j) {
    sums[j] = 0;
    for (std::int64_t i = 0; i < rows; ++i)
      sums[j] += static_cast<double>(tile[i * tile_columns + j]);
  }
}

/// Calls body(class, begin, end) for the runs of one class among the ordered rows [begin, end).
template <class Body>
void for_runs(const ClassRows& rows, std::int64_t begin, std::int64_t end, Body&& body) {
  const std::int64_t* first = rows.class_begin;
  std::int64_t c = std::upper_bound(first, first + rows.classes + 1, begin) - first - 1;
  for (; begin < end; ++c) {
    const std::int64_t stop = std::min(first[c + 1], end);
    if (stop > begin) body(c, begin, stop);
    begin = std::max(begin, stop);
  }
}

/// Adds the distances of the ordered rows of `queries` from those of `references`, at most
/// tile_columns that have a class, to the queries' sums and, where `both`, to the references'.
void add_distances(const ClassRows& rows, Range queries, Range references, bool both) {
  const std::int64_t d = rows.columns, classes = rows.classes, width = references.size();
  const auto packed = hwy::AllocateAligned<float>(
      static_cast<std::size_t>(tile_columns * std::max<std::int64_t>(d, 1)));
  const auto tile = hwy::AllocateAligned<float>(static_cast<std::size_t>(tile_columns * tile_rows));
  double of_column[tile_columns];
  pack_references(rows.ordered, d, references.begin, width, packed.get());
  for (std::int64_t first = queries.begin; first < queries.end; first += tile_rows) {
    const std::int64_t last = std::min(first + tile_rows, queries.end);
    distance_tile(rows.ordered + first * d, last - first, d, packed.get(), width, tile.get());
    for (std::int64_t i = first; i < last; ++i) {
      float* distances = tile.get() + (i - first) * tile_columns;
      take_roots(distances, width);
      double* sums = rows.sums + rows.row[i] * classes;
      for_runs(rows, references.begin, references.end,
               [&](std::int64_t c, std::int64_t begin, std::int64_t end) {
                 sums[c] += sum_of(distances + begin - references.begin, end - begin);
               });
    }
    if (!both) continue;
    for_runs(rows, first, last, [&](std::int64_t c, std::int64_t begin, std::int64_t end) {
      sum_columns(tile.get() + (begin - first) * tile_columns, end - begin, width, of_column);
      for (std::int64_t j = 0; j < width; ++j)
        rows.sums[rows.row[references.begin + j] * classes + c] += of_column[j];
    });
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(add_distances);

void CpuBackend::class_distance_sums(ConstMat x, std::span<const std::int32_t> labels,
                                     MatrixView<double> sums) {
  const char* name = "class_distance_sums";
  require(static_cast<std::int64_t>(labels.size()) == x.rows && sums.rows == x.rows, name,
          "a label and a row of sums for each row of x");
  const std::int64_t classes = sums.columns;
  const auto class_of = [&](std::int32_t label) {
    return label >= 0 && label < classes ? std::int64_t{label} : classes;
  };
  std::vector<std::int64_t> class_begin(static_cast<std::size_t>(classes) + 2, 0);
  for (const std::int32_t label : labels)
    ++class_begin[static_cast<std::size_t>(class_of(label)) + 1];
  std::partial_sum(class_begin.begin(), class_begin.end(), class_begin.begin());
  std::vector<std::int64_t> next(class_begin.begin(), class_begin.end() - 1);
  std::vector<float> ordered(static_cast<std::size_t>(x.size()));
  std::vector<std::int64_t> row(static_cast<std::size_t>(x.rows));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const std::int64_t c = class_of(labels[static_cast<std::size_t>(i)]);
    const std::int64_t at = next[static_cast<std::size_t>(c)]++;
    row[static_cast<std::size_t>(at)] = i;
    std::copy_n(x.data + i * x.columns, x.columns, ordered.data() + at * x.columns);
  }
  std::fill_n(sums.data, sums.size(), 0.0);
  const ClassRows rows{ordered.data(),     x.columns,  classes,
                       class_begin.data(), row.data(), sums.data};
  const std::int64_t n = class_begin[static_cast<std::size_t>(classes)];
  const auto block = [&](std::int64_t b) {
    return Range{b * block_rows, std::min((b + 1) * block_rows, n)};
  };
  const std::int64_t blocks = (n + block_rows - 1) / block_rows;
  for_block_pairs(pool_, blocks, [&](std::int64_t a, std::int64_t b) {
    HWY_DYNAMIC_DISPATCH(add_distances)(rows, block(a), block(b), a != b);
  });
  pool_.for_chunks(x.rows - n, tile_rows, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t b = 0; b < blocks; ++b)
      HWY_DYNAMIC_DISPATCH(add_distances)(rows, {n + begin, n + end}, block(b), false);
  });
}

}  // namespace hourglass::cpu
#endif
