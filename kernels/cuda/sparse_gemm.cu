// sparse_gemm: c = op(a) b + beta c by cuBLAS, as gemm: at the shares of zeros that images have, a
// dense product of tensors that are on the chip already costs less than finding the zeros.
//
// Shapes: op(a) M x K, b K x N, c M x N. 2 M N K FLOP; 4 (M K + K N + M N) bytes.
#include "kernels/cuda/backend.hpp"

namespace hourglass::cuda {

void CudaBackend::sparse_gemm(Transpose transpose_a, ConstMat a, std::span<const float> zero,
                              ConstMat b, float beta, Mat c) {
  const OperationRange range("sparse_gemm");
  const bool turned = transpose_a == Transpose::yes;
  const std::int64_t m = turned ? a.columns : a.rows;
  const std::int64_t k = turned ? a.rows : a.columns;
  require(b.rows == k && c.rows == m && c.columns == b.columns, "sparse_gemm",
          "op(a) of M x K, b of K x N and c of M x N");
  require(zero.empty() || static_cast<std::int64_t>(zero.size()) == a.columns, "sparse_gemm",
          "a zero a column, or none");
  if (c.size() == 0) return;
  blas_.gemm(gemm_precision_, transpose_a, Transpose::no, m, b.columns, k, 1.0f, a.data, a.columns,
             b.data, b.columns, beta, c.data, c.columns);
}

}  // namespace hourglass::cuda
