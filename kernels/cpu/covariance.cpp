// covariance: (X - mean)^T (X - mean) / (N - 1) in float64: N D^2 FLOPs (both triangles would be
// twice that).
//
// Blocks of rows are centred and widened into workspace, then the upper triangle of the result is
// updated tile by tile with OpenBLAS, dsyrk on the diagonal and dgemm above it. The tiles are the
// same for any number of threads, and each adds the blocks in their order: the result does not
// depend on the threads.
#include <cblas.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/covariance.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// centred = x - mean for `rows` rows.
void centre_rows(const float* x, const double* mean, std::int64_t rows, std::int64_t columns,
                 double* HWY_RESTRICT centred) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < rows; ++row, x += columns, centred += columns) {
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes) {
      const auto v = hn::PromoteTo(d, hn::LoadU(narrow, x + i));
      hn::StoreU(hn::Sub(v, hn::LoadU(d, mean + i)), d, centred + i);
    }
    for (; i < columns; ++i)
      centred[i] = static_cast<double>(x[i]) - mean[i];
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(centre_rows);

void CpuBackend::covariance(ConstMat x, std::span<const double> mean,
                            std::span<double> covariance) {
  constexpr std::int64_t block = 384;  // rows; at 784 columns 2.4 MB
  constexpr std::int64_t tile = 256;   // rows and columns of the result
  constexpr std::int64_t rows_for_threads = 64;
  const std::int64_t rows = x.rows, columns = x.columns;
  require(static_cast<std::int64_t>(mean.size()) == columns, "covariance", "a mean a column");
  require(columns <= std::numeric_limits<blasint>::max(), "covariance", "columns below 2^31");
  require(static_cast<std::int64_t>(covariance.size()) == columns * columns, "covariance",
          "a result of columns x columns");
  if (x.size() == 0) return;

  const std::int64_t side = (columns + tile - 1) / tile;
  const std::int64_t tiles = side * (side + 1) / 2;
  const auto width = [&](std::int64_t t) {
    return static_cast<blasint>(std::min(tile, columns - t * tile));
  };
  const auto stride = static_cast<blasint>(columns);
  double* centred = scratch_.reserve<double>(std::min(block, rows) * columns);
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t count = std::min(block, rows - first);
    pool_.for_ranges(count, 1, rows_for_threads, [&](std::int64_t begin, std::int64_t end, int) {
      HWY_DYNAMIC_DISPATCH(centre_rows)
      (x.data + (first + begin) * columns, mean.data(), end - begin, columns,
       centred + begin * columns);
    });
    const double beta = first == 0 ? 0.0 : 1.0;
    pool_.for_chunks(tiles, 1, [&](std::int64_t begin, std::int64_t, int) {
      // Tiles are numbered along the rows of the upper triangle.
      std::int64_t i = 0, left = begin;
      for (; left >= side - i; ++i)
        left -= side - i;
      const std::int64_t j = i + left;
      double* c = covariance.data() + i * tile * columns + j * tile;
      if (i == j) {
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, width(i), static_cast<blasint>(count),
                    1.0, centred + i * tile, stride, beta, c, stride);
      } else {
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, width(i), width(j),
                    static_cast<blasint>(count), 1.0, centred + i * tile, stride,
                    centred + j * tile, stride, beta, c, stride);
      }
    });
  }
  const double divisor = static_cast<double>(rows - 1);
  for (std::int64_t i = 0; i < columns; ++i) {
    for (std::int64_t j = i; j < columns; ++j) {
      double& upper = covariance[static_cast<std::size_t>(i * columns + j)];
      upper /= divisor;
      covariance[static_cast<std::size_t>(j * columns + i)] = upper;
    }
  }
}

}  // namespace hourglass::cpu
#endif
