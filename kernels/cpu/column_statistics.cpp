// column_statistics: mean and population standard deviation of every column.
//
// Bytes: one pass, exact: the sums of x and x^2 are integers, and so is N^2 times the variance, N
// sum x^2 - (sum x)^2, which needs up to 128 bits. Reads 1 byte an element.
// float32: two passes in float64, the second of squared differences from the mean. Reads 8 bytes an
// element.
// Partial sums are kept for blocks of rows whose size does not depend on the threads.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/column_statistics.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// sum[d] += x, sum of squares[d] += x^2 over at most 65536 rows: 255^2 times that fits in 32 bits.
void add_bytes(const std::uint8_t* x, std::int64_t rows, std::int64_t columns,
               std::uint32_t* HWY_RESTRICT sum, std::uint32_t* HWY_RESTRICT squares) {
  const hn::ScalableTag<std::uint32_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const hn::Rebind<std::uint16_t, decltype(d)> words;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < rows; ++row, x += columns) {
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes) {
      const auto v = hn::PromoteTo(words, hn::LoadU(bytes, x + i));
      const auto square = hn::PromoteTo(d, hn::Mul(v, v));
      hn::StoreU(hn::Add(hn::LoadU(d, sum + i), hn::PromoteTo(d, v)), d, sum + i);
      hn::StoreU(hn::Add(hn::LoadU(d, squares + i), square), d, squares + i);
    }
    for (; i < columns; ++i) {
      const std::uint32_t v = x[i];
      sum[i] += v;
      squares[i] += v * v;
    }
  }
}

/// sum[d] += x - centre, or its square.
template <bool squared>
void add_floats(const float* x, std::int64_t rows, std::int64_t columns, const double* centre,
                double* HWY_RESTRICT sum) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < rows; ++row, x += columns) {
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes) {
      auto v = hn::PromoteTo(d, hn::LoadU(narrow, x + i));
      if constexpr (squared) {
        v = hn::Sub(v, hn::LoadU(d, centre + i));
        v = hn::Mul(v, v);
      }
      hn::StoreU(hn::Add(hn::LoadU(d, sum + i), v), d, sum + i);
    }
    for (; i < columns; ++i) {
      double v = static_cast<double>(x[i]);
      if constexpr (squared) v = (v - centre[i]) * (v - centre[i]);
      sum[i] += v;
    }
  }
}

/// centre null: sums of x.
void add_float_rows(const float* x, std::int64_t rows, std::int64_t columns, const double* centre,
                    double* sum) {
  if (centre == nullptr) {
    add_floats<false>(x, rows, columns, nullptr, sum);
  } else {
    add_floats<true>(x, rows, columns, centre, sum);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(add_bytes);
HWY_EXPORT(add_float_rows);

namespace {

// One thread's worth of rows; small enough for 32-bit sums of squares of bytes.
constexpr std::int64_t block = 2048;

void byte_statistics(ThreadPool& pool, Scratch& scratch, FeatureView x, std::span<double> mean,
                     std::span<double> deviation) {
  const std::int64_t blocks = (x.rows + block - 1) / block;
  const std::int64_t columns = x.columns;
  const auto* bytes = static_cast<const std::uint8_t*>(x.data);
  auto* partial = scratch.reserve<std::uint32_t>(2 * blocks * columns);
  pool.for_ranges(blocks, 1, 2, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::uint32_t* sum = partial + 2 * i * columns;
      std::fill(sum, sum + 2 * columns, 0u);
      HWY_DYNAMIC_DISPATCH(add_bytes)
      (bytes + i * block * columns, std::min(block, x.rows - i * block), columns, sum,
       sum + columns);
    }
  });
  const auto n = static_cast<double>(x.rows);
  for (std::int64_t d = 0; d < columns; ++d) {
    std::uint64_t sum = 0, squares = 0;
    for (std::int64_t i = 0; i < blocks; ++i) {
      sum += partial[2 * i * columns + d];
      squares += partial[(2 * i + 1) * columns + d];
    }
    using Wide = unsigned __int128;
    const Wide scatter = static_cast<Wide>(x.rows) * squares - static_cast<Wide>(sum) * sum;
    mean[static_cast<std::size_t>(d)] = static_cast<double>(sum) / n;
    deviation[static_cast<std::size_t>(d)] = std::sqrt(static_cast<double>(scatter)) / n;
  }
}

void float_statistics(ThreadPool& pool, Scratch& scratch, FeatureView x, std::span<double> mean,
                      std::span<double> deviation) {
  const std::int64_t blocks = (x.rows + block - 1) / block;
  const std::int64_t columns = x.columns;
  const auto* values = static_cast<const float*>(x.data);
  double* partial = scratch.reserve<double>(blocks * columns);
  /// result[d] = the mean over the rows of x, or of (x - centre)^2.
  const auto column_means = [&](const double* centre, std::span<double> result) {
    pool.for_ranges(blocks, 1, 2, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        double* sum = partial + i * columns;
        std::fill(sum, sum + columns, 0.0);
        HWY_DYNAMIC_DISPATCH(add_float_rows)
        (values + i * block * columns, std::min(block, x.rows - i * block), columns, centre, sum);
      }
    });
    std::fill(result.begin(), result.end(), 0.0);
    for (std::int64_t i = 0; i < blocks; ++i) {
      for (std::int64_t d = 0; d < columns; ++d)
        result[static_cast<std::size_t>(d)] += partial[i * columns + d];
    }
    for (double& value : result)
      value /= static_cast<double>(x.rows);
  };
  column_means(nullptr, mean);
  column_means(mean.data(), deviation);
  for (double& value : deviation)
    value = std::sqrt(value);
}

}  // namespace

void CpuBackend::column_statistics(FeatureView x, std::span<double> mean,
                                   std::span<double> deviation) {
  require(static_cast<std::int64_t>(mean.size()) == x.columns &&
              static_cast<std::int64_t>(deviation.size()) == x.columns,
          "column_statistics", "a mean and a deviation a column");
  if (x.rows == 0 || x.columns == 0) return;
  if (x.bytes) {
    byte_statistics(pool_, scratch_, x, mean, deviation);
  } else {
    float_statistics(pool_, scratch_, x, mean, deviation);
  }
}

}  // namespace hourglass::cpu
#endif
