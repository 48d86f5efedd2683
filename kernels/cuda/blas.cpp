// Blas over cuBLAS. cuBLAS is column-major: it sees each row-major matrix as its transpose, so C =
// A B becomes C^T = B^T A^T, the same call with the operands exchanged and no copy.
#include "kernels/cuda/blas.hpp"

#include <cublas_v2.h>

#include <algorithm>
#include <string>

#include "kernels/cuda/memory.hpp"

namespace hourglass::cuda {
namespace {

constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // what cuBLAS advises for sm_90

void check_blas(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]] {
    return;
  }
  const char* advice = "run again with CUBLAS_LOGINFO_DBG=1 for the library's own account";
  if (status == CUBLAS_STATUS_NOT_INITIALIZED || status == CUBLAS_STATUS_ALLOC_FAILED) {
    advice = "the GPU is missing or out of memory: free memory of it, or use --device cpu";
  } else if (status == CUBLAS_STATUS_ARCH_MISMATCH) {
    advice = "this cuBLAS does not support the GPU: use another CUDA version, or --device cpu";
  }
  throw DeviceError(source_location(file, line) + ": " + call +
                    " failed: " + cublasGetStatusName(status) + " (" +
                    cublasGetStatusString(status) + "); " + advice);
}

#define HOURGLASS_BLAS_CHECK(call) check_blas((call), #call, __FILE__, __LINE__)

cublasOperation_t operation(Transpose transpose) {
  return transpose == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N;
}

}  // namespace

Blas::Blas(Heap& heap, cudaStream_t stream) : heap_(&heap) {
  HOURGLASS_BLAS_CHECK(cublasCreate(&handle_));
  try {
    HOURGLASS_BLAS_CHECK(cublasSetPointerMode(handle_, CUBLAS_POINTER_MODE_HOST));
    HOURGLASS_BLAS_CHECK(cublasSetAtomicsMode(handle_, CUBLAS_ATOMICS_NOT_ALLOWED));
    HOURGLASS_BLAS_CHECK(cublasSetMathMode(handle_, CUBLAS_PEDANTIC_MATH));
    // The stream before the workspace: setting the stream puts the library's own workspace back.
    HOURGLASS_BLAS_CHECK(cublasSetStream(handle_, stream));
    workspace_ = heap.allocate(workspace_bytes);
    HOURGLASS_BLAS_CHECK(cublasSetWorkspace(handle_, workspace_, workspace_bytes));
  } catch (...) {
    cublasDestroy(handle_);
    heap.release(workspace_);
    throw;
  }
}

Blas::~Blas() {
  cublasDestroy(handle_);
  heap_->release(workspace_);
}

void Blas::gemm(Precision precision, Transpose transpose_a, Transpose transpose_b, std::int64_t m,
                std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
                const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  if (precision != precision_) {
    HOURGLASS_BLAS_CHECK(cublasSetMathMode(
        handle_, precision == Precision::tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_PEDANTIC_MATH));
    precision_ = precision;
  }
  HOURGLASS_BLAS_CHECK(cublasSgemm_64(handle_, operation(transpose_b), operation(transpose_a), n, m,
                                      k, &alpha, b, std::max<std::int64_t>(ldb, 1), a,
                                      std::max<std::int64_t>(lda, 1), &beta, c,
                                      std::max<std::int64_t>(ldc, 1)));
}

void Blas::gram(std::int64_t n, std::int64_t k, double alpha, const double* a, double beta,
                double* c) {
  // Lower in column-major order is upper in row-major order.
  HOURGLASS_BLAS_CHECK(cublasDsyrk_64(handle_, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, n, k, &alpha, a,
                                      n, &beta, c, n));
}

}  // namespace hourglass::cuda
