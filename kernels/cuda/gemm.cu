// gemm: c = alpha op(a) op(b) + beta c, float32, row-major.
//
// Shapes: op(a) M x K, op(b) K x N, c M x N. 2 M N K FLOP; 4 (M K + K N + M N) bytes. By cuBLAS in
// float32 throughout (blas.hpp), unless TF32 was asked for: its ten bits of mantissa do not meet
// the tolerances of the losses, and only training takes them.
#include "kernels/cuda/backend.hpp"

namespace hourglass::cuda {

void CudaBackend::set_gemm_precision(Precision precision) {
  require(precision == Precision::float32 || tf32_, "set_gemm_precision",
          "tf32 where the GPU has it");
  gemm_precision_ = precision;
}

void CudaBackend::gemm(Transpose transpose_a, Transpose transpose_b, float alpha, ConstMat a,
                       ConstMat b, float beta, Mat c) {
  const OperationRange range("gemm");
  const bool a_turned = transpose_a == Transpose::yes;
  const bool b_turned = transpose_b == Transpose::yes;
  const std::int64_t m = a_turned ? a.columns : a.rows;
  const std::int64_t k = a_turned ? a.rows : a.columns;
  const std::int64_t n = b_turned ? b.rows : b.columns;
  require((b_turned ? b.columns : b.rows) == k && c.rows == m && c.columns == n, "gemm",
          "op(a) of M x K, op(b) of K x N and c of M x N");
  if (c.size() == 0) return;
  blas_.gemm(gemm_precision_, transpose_a, transpose_b, m, n, k, alpha, a.data, a.columns, b.data,
             b.columns, beta, c.data, c.columns);
}

}  // namespace hourglass::cuda
