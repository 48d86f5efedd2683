// Products of matrices that lie in larger ones: what gemm and the fused layers are made of. On the
// calling thread alone.
//
// x86-64: code that libxsmm generates at run time for the very sizes (Heinecke et al. 2016,
// "LIBXSMM: accelerating small matrix multiplications by runtime code generation"), which reads its
// operands where they lie. At the sizes of a training step that is 15 to 25 % faster than OpenBLAS,
// which packs them first. Elsewhere, and for products narrower than a vector: OpenBLAS.
#pragma once

#include <cstdint>

namespace hourglass::cpu {

/// Blocks of c narrower than this are OpenBLAS's: of less than a vector, generated code works on
/// masked lanes, a fifth as fast.
inline constexpr std::int64_t narrowest_block = 16;

/// Rows `stride` elements apart.
template <class T>
struct Strided {
  T* data;
  std::int64_t stride;
};

/// c (m x n) = op(a) b, or c + op(a) b where `accumulate`; op(a) is m x k, b k x n. Each element is
/// a sum over k in an order that the sizes alone decide.
void block_product(bool transpose_a, std::int64_t m, std::int64_t n, std::int64_t k,
                   Strided<const float> a, Strided<const float> b, bool accumulate,
                   Strided<float> c);

/// to (columns x rows) = the transpose of from (rows x columns).
void transpose_block(std::int64_t rows, std::int64_t columns, Strided<const float> from,
                     Strided<float> to);

}  // namespace hourglass::cpu
