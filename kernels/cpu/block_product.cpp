// block_product, transpose_block: 2 M N K FLOPs; 8 bytes an element.
#include "kernels/cpu/block_product.hpp"

#include <cblas.h>

#include <algorithm>
#include <cstdint>

#if defined(HOURGLASS_XSMM)
#include <libxsmm.h>
#endif

namespace hourglass::cpu {
namespace {

void blas_product(bool transpose_a, std::int64_t m, std::int64_t n, std::int64_t k,
                  Strided<const float> a, Strided<const float> b, bool accumulate,
                  Strided<float> c) {
  cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, CblasNoTrans,
              static_cast<blasint>(m), static_cast<blasint>(n), static_cast<blasint>(k), 1.0f,
              a.data, static_cast<blasint>(a.stride), b.data, static_cast<blasint>(b.stride),
              accumulate ? 1.0f : 0.0f, c.data, static_cast<blasint>(c.stride));
}

#if defined(HOURGLASS_XSMM)
/// Empty where the library has no code for these sizes on this processor.
libxsmm_smmfunction generated(bool transpose_a, std::int64_t m, std::int64_t n, std::int64_t k,
                              std::int64_t a_stride, std::int64_t b_stride, bool accumulate,
                              std::int64_t c_stride) {
  // The library goes by columns: its first operand is our b, its second our a.
  const int flags = transpose_a ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
  const auto lda = static_cast<libxsmm_blasint>(b_stride);
  const auto ldb = static_cast<libxsmm_blasint>(a_stride);
  const auto ldc = static_cast<libxsmm_blasint>(c_stride);
  const float alpha = 1.0f;
  const float beta = accumulate ? 1.0f : 0.0f;
  return libxsmm_smmdispatch(static_cast<libxsmm_blasint>(n), static_cast<libxsmm_blasint>(m),
                             static_cast<libxsmm_blasint>(k), &lda, &ldb, &ldc, &alpha, &beta,
                             &flags, nullptr);
}
#endif

}  // namespace

void block_product(bool transpose_a, std::int64_t m, std::int64_t n, std::int64_t k,
                   Strided<const float> a, Strided<const float> b, bool accumulate,
                   Strided<float> c) {
#if defined(HOURGLASS_XSMM)
  // A block of b, 256 KB, stays in the second-level cache while the rows of a go by.
  constexpr std::int64_t widest = 128, deepest = 512, tallest = 256;
  if (n >= narrowest_block) {
    for (std::int64_t l = 0; l < k; l += deepest) {
      const std::int64_t depth = std::min(deepest, k - l);
      for (std::int64_t j = 0; j < n;) {
        // No rest narrower than a vector: the last two blocks share what is left.
        const std::int64_t left = n - j;
        const std::int64_t width =
            left <= widest ? left : (left < widest + narrowest_block ? widest / 2 : widest);
        for (std::int64_t i = 0; i < m; i += tallest) {
          const std::int64_t height = std::min(tallest, m - i);
          const Strided<const float> part_a{
              a.data + (transpose_a ? l * a.stride + i : i * a.stride + l), a.stride};
          const Strided<const float> part_b{b.data + l * b.stride + j, b.stride};
          const Strided<float> part_c{c.data + i * c.stride + j, c.stride};
          const bool add = accumulate || l > 0;
          if (const auto multiply =
                  generated(transpose_a, height, width, depth, a.stride, b.stride, add, c.stride)) {
            multiply(part_b.data, part_a.data, part_c.data);
          } else {
            blas_product(transpose_a, height, width, depth, part_a, part_b, add, part_c);
          }
        }
        j += width;
      }
    }
    return;
  }
#endif
  blas_product(transpose_a, m, n, k, a, b, accumulate, c);
}

void transpose_block(std::int64_t rows, std::int64_t columns, Strided<const float> from,
                     Strided<float> to) {
  // Within a tile both the lines that are read and those that are written stay in the first-level
  // cache.
  constexpr std::int64_t tile = 64;
  for (std::int64_t i = 0; i < rows; i += tile) {
    const std::int64_t height = std::min(tile, rows - i);
    for (std::int64_t j = 0; j < columns; j += tile) {
      const std::int64_t width = std::min(tile, columns - j);
      const float* source = from.data + i * from.stride + j;
      float* target = to.data + j * to.stride + i;
#if defined(HOURGLASS_XSMM)
      // By columns: a matrix of `width` rows and `height` columns.
      libxsmm_otrans(target, source, sizeof(float), static_cast<libxsmm_blasint>(width),
                     static_cast<libxsmm_blasint>(height),
                     static_cast<libxsmm_blasint>(from.stride),
                     static_cast<libxsmm_blasint>(to.stride));
#else
      for (std::int64_t row = 0; row < height; ++row) {
        for (std::int64_t column = 0; column < width; ++column)
          target[column * to.stride + row] = source[row * from.stride + column];
      }
#endif
    }
  }
}

}  // namespace hourglass::cpu
