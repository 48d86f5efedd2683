// gemm: OpenBLAS on one thread a part; C is cut along its longer side, so that the parts need no
// sum and no second pass. 2 M N K FLOPs.
//
// OpenBLAS's own threads are not used: they are a second pool beside ours, of one size for all
// products of the process, and they sleep and wake around products of a tenth of a millisecond.
#include <cblas.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

namespace hourglass::cpu {
namespace {

constexpr std::int64_t largest_size = std::numeric_limits<blasint>::max();

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

  const bool by_rows = m >= n;
  const std::int64_t longer = by_rows ? m : n;
  const double flops =
      2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const std::int64_t serial_below = flops < flops_for_threads ? longer + 1 : 2 * grain;
  pool_.for_ranges(longer, grain, serial_below, [&](std::int64_t begin, std::int64_t end, int) {
    const std::int64_t i = by_rows ? begin : 0, j = by_rows ? 0 : begin;
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                static_cast<blasint>(by_rows ? end - begin : m),
                static_cast<blasint>(by_rows ? n : end - begin), static_cast<blasint>(k), alpha,
                a.data + (ta ? i : i * a.columns), static_cast<blasint>(a.columns),
                b.data + (tb ? j * b.columns : j), static_cast<blasint>(b.columns), beta,
                c.data + i * n + j, static_cast<blasint>(n));
  });
}

}  // namespace hourglass::cpu
