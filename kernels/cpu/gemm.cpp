// gemm: block_product() on a part of C a thread; C is cut along its longer side, so that the parts
// need no sum and no second pass. 2 M N K FLOPs. A transposed b is first copied the right way round
// where enough rows of C share the copy.
//
// OpenBLAS's own threads are not used: they are a second pool beside ours, of one size for all
// products of the process, and they sleep and wake around products of a tenth of a millisecond.
#include <cblas.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/block_product.hpp"

namespace hourglass::cpu {
namespace {

constexpr std::int64_t largest_size = std::numeric_limits<blasint>::max();

struct Product {
  bool transpose_a, transpose_b;
  float alpha, beta;
  std::int64_t m, n, k;
  Strided<const float> a, b;
  Strided<float> c;
};

constexpr std::int64_t bytes_for_threads = std::int64_t{1} << 16;

bool is_block_product(float alpha, float beta) {
  return alpha == 1.0f && (beta == 0.0f || beta == 1.0f);
}

/// The rows [i, i + m) and columns [j, j + n) of C.
void multiply_part(const Product& p, std::int64_t i, std::int64_t j, std::int64_t m,
                   std::int64_t n) {
  const float* a = p.a.data + (p.transpose_a ? i : i * p.a.stride);
  const float* b = p.b.data + (p.transpose_b ? j * p.b.stride : j);
  float* c = p.c.data + i * p.c.stride + j;
  if (!p.transpose_b && is_block_product(p.alpha, p.beta)) {
    block_product(p.transpose_a, m, n, p.k, {a, p.a.stride}, {b, p.b.stride}, p.beta == 1.0f,
                  {c, p.c.stride});
    return;
  }
  cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans,
              p.transpose_b ? CblasTrans : CblasNoTrans, static_cast<blasint>(m),
              static_cast<blasint>(n), static_cast<blasint>(p.k), p.alpha, a,
              static_cast<blasint>(p.a.stride), b, static_cast<blasint>(p.b.stride), p.beta, c,
              static_cast<blasint>(p.c.stride));
}

}  // namespace

void CpuBackend::gemm(Transpose transpose_a, Transpose transpose_b, float alpha, ConstMat a,
                      ConstMat b, float beta, Mat c) {
  // A part gets a multiple of 48 rows or columns: whole register tiles of the library's kernels (up
  // to 16 wide), so that the cut makes no ragged edge inside.
  constexpr std::int64_t grain = 48;
  constexpr double flops_for_threads = 1e6;  // 10 microseconds on one core
  const bool ta = transpose_a == Transpose::yes, tb = transpose_b == Transpose::yes;
  const std::int64_t m = ta ? a.columns : a.rows;
  const std::int64_t k = ta ? a.rows : a.columns;
  const std::int64_t n = tb ? b.rows : b.columns;
  require((tb ? b.columns : b.rows) == k, "gemm", "inner sizes of a and b to be equal");
  require(c.rows == m && c.columns == n, "gemm", "c of the product's shape");
  require(std::max({m, n, k}) <= largest_size, "gemm", "sizes below 2^31");
  if (c.size() == 0) return;
  if (k == 0) {
    for (float& value : c.flat())
      value = beta == 0.0f ? 0.0f : beta * value;
    return;
  }

  // Copying takes as long as some ten rows of the product; the largest copies leave the caches.
  constexpr std::int64_t rows_for_copy = 64, largest_copy = std::int64_t{1} << 22;
  constexpr std::int64_t columns_a_part = 64;
  Product product{ta,         tb, alpha, beta, m, n, k, {a.data, a.columns}, {b.data, b.columns},
                  {c.data, n}};
  if (tb && m >= rows_for_copy && n >= narrowest_block && k * n <= largest_copy &&
      is_block_product(alpha, beta)) {
    // One line more a row: rows a power of two apart would share a few sets of the cache.
    const std::int64_t stride = n + 16;
    float* copy = scratch_.reserve<float>(k * stride);
    pool_.for_ranges(
        n, columns_a_part, bytes_for_threads / (4 * k) + 1,
        [&](std::int64_t begin, std::int64_t end, int) {
          transpose_block(end - begin, k, {b.data + begin * k, k}, {copy + begin, stride});
        });
    product.transpose_b = false;
    product.b = {copy, stride};
  }
  const bool by_rows = m >= n;
  const std::int64_t longer = by_rows ? m : n;
  const double flops =
      2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const std::int64_t serial_below = flops < flops_for_threads ? longer + 1 : 2 * grain;
  pool_.for_ranges(longer, grain, serial_below, [&](std::int64_t begin, std::int64_t end, int) {
    if (by_rows) {
      multiply_part(product, begin, 0, end - begin, n);
    } else {
      multiply_part(product, 0, begin, m, end - begin);
    }
  });
}

}  // namespace hourglass::cpu
