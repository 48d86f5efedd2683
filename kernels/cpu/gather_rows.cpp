// gather_rows: a batch of scaled float32 rows from rows of bytes or float32 anywhere in a data set.
// Reads 1 or 4 bytes an element from memory, which the processor's own prefetcher cannot foresee
// (rows of a batch are drawn at random): the rows to come are prefetched a few ahead. gather_batch
// finds the rows of the batch whose turn it is, and gathers them.
#include <hwy/cache_control.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gather_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

#ifndef HOURGLASS_GATHERED_ROWS
#define HOURGLASS_GATHERED_ROWS
namespace hourglass::cpu {

struct GatheredRows {
  FeatureView source;
  const std::int32_t* index;  ///< null: first_row + b
  std::int64_t first_row;
  const float* offset;
  const float* factor;
  Mat out;

  [[nodiscard]] std::int64_t row(std::int64_t b) const {
    return index != nullptr ? index[b] : first_row + b;
  }
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> load_features(D d, const float* p) {
  return hn::LoadU(d, p);
}

template <class D>
HWY_INLINE hn::Vec<D> load_features(D d, const std::uint8_t* p) {
  const hn::Rebind<std::uint8_t, D> bytes;
  const hn::Rebind<std::int32_t, D> integers;
  return hn::ConvertTo(d, hn::PromoteTo(integers, hn::LoadU(bytes, p)));
}

template <class T>
void gather(const GatheredRows& rows, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t rows_ahead = 8;
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t columns = rows.out.columns;
  const T* source = static_cast<const T*>(rows.source.data);
  for (std::int64_t b = begin; b < end; ++b) {
    if (b + rows_ahead < end) {
      const T* ahead = source + rows.row(b + rows_ahead) * columns;
      for (std::int64_t i = 0; i < columns; i += line)
        hwy::Prefetch(ahead + i);
    }
    const T* from = source + rows.row(b) * columns;
    float* to = rows.out.data + b * columns;
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes) {
      const auto x = hn::Sub(load_features(d, from + i), hn::LoadU(d, rows.offset + i));
      hn::StoreU(hn::Mul(x, hn::LoadU(d, rows.factor + i)), d, to + i);
    }
    for (; i < columns; ++i)
      to[i] = (static_cast<float>(from[i]) - rows.offset[i]) * rows.factor[i];
  }
}

void gather_rows_range(const GatheredRows& rows, std::int64_t begin, std::int64_t end) {
  if (rows.source.bytes) {
    gather<std::uint8_t>(rows, begin, end);
  } else {
    gather<float>(rows, begin, end);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(gather_rows_range);

void CpuBackend::gather_rows(FeatureView source, const std::int32_t* index, std::int64_t first_row,
                             std::span<const float> offset, std::span<const float> factor,
                             Mat out) {
  constexpr std::int64_t elements_for_threads = 65536;
  const char* name = "gather_rows";
  const auto columns = static_cast<std::size_t>(out.columns);
  require(source.columns == out.columns, name, "as many columns as the source has");
  require(offset.size() == columns && factor.size() == columns, name,
          "an offset and a factor a column");
  if (out.size() == 0) return;
  if (index != nullptr) {
    const auto [least, greatest] = std::minmax_element(index, index + out.rows);
    require(*least >= 0 && *greatest < source.rows, name, "rows that the source has");
  } else {
    require(first_row >= 0 && first_row <= source.rows - out.rows, name,
            "rows that the source has");
  }
  const GatheredRows rows{source, index, first_row, offset.data(), factor.data(), out};
  pool_.for_ranges(out.rows, 1, elements_for_threads / out.columns + 1,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     HWY_DYNAMIC_DISPATCH(gather_rows_range)(rows, begin, end);
                   });
}

void CpuBackend::gather_batch(FeatureView source, std::span<const std::int32_t> order,
                              std::int64_t batch, const std::int64_t* step,
                              std::span<const float> offset, std::span<const float> factor,
                              Mat out) {
  const char* name = "gather_batch";
  const auto columns = static_cast<std::size_t>(out.columns);
  require(source.columns == out.columns && offset.size() == columns && factor.size() == columns,
          name, "source, offset, factor and out of as many columns");
  require(std::cmp_equal(order.size(), source.rows) && batch >= 1 && out.rows <= batch &&
              step != nullptr,
          name, "an order of all rows, a batch of at most `batch` of them and its number");
  if (out.size() == 0) return;
  const std::int64_t batches = (source.rows + batch - 1) / batch;
  const std::int64_t first = *step % batches * batch;
  require(out.rows <= source.rows - first, name, "no more rows than the batch has");
  gather_rows(source, order.data() + first, 0, offset, factor, out);
}

}  // namespace hourglass::cpu
#endif
