// Dense products of the vendor's library, behind the few calls that the operations need.
//
// All matrices are row-major here. Products are float32 (or float64) throughout, with no emulation
// and no TF32 but where a call asks for it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/backend.hpp"

struct cublasContext;

namespace hourglass::cuda {

class Heap;

class Blas {
 public:
  /// A handle on `stream` with a workspace of its own from `heap`: equal calls then give equal
  /// bits, and a product in a captured graph keeps its workspace.
  Blas(Heap& heap, cudaStream_t stream);
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas();

  /// c (m x n) = alpha op(a) op(b) + beta c with leading dimensions in elements; op(a) is m x k,
  /// op(b) is k x n. tf32: both are rounded to 10 bits of mantissa, products are summed in float32.
  void gemm(Precision precision, Transpose transpose_a, Transpose transpose_b, std::int64_t m,
            std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
            const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);

  /// The upper triangle of c (n x n) = alpha a^T a + beta c for a (k x n), dense, float64.
  void gram(std::int64_t n, std::int64_t k, double alpha, const double* a, double beta, double* c);

 private:
  Heap* heap_;
  cublasContext* handle_ = nullptr;
  Precision precision_ = Precision::float32;  ///< that the handle is set to
  void* workspace_ = nullptr;
};

}  // namespace hourglass::cuda
