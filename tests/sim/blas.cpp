// The dense products of kernels/cuda/blas.hpp for the model: plain loops, which sanitizers see
// through. Sums are accumulated in float64, so the result is that of any good library within its
// rounding.
#include "kernels/cuda/blas.hpp"

#include <cuda_runtime.h>

#include <bit>

namespace hourglass::cuda {
namespace {

/// To 10 bits of mantissa, as tensor cores take float32.
float rounded_to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x1000u) & ~std::uint32_t{0x1fff});
}

}  // namespace

Blas::Blas(Heap& heap, cudaStream_t) : heap_(&heap) {}

Blas::~Blas() = default;

void Blas::gemm(Precision precision, Transpose transpose_a, Transpose transpose_b, std::int64_t m,
                std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
                const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  sim::enqueue_kernel([=] {
    const auto factor = [precision](float value) {
      return static_cast<double>(precision == Precision::tf32 ? rounded_to_tf32(value) : value);
    };
    const bool a_turned = transpose_a == Transpose::yes;
    const bool b_turned = transpose_b == Transpose::yes;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0.0;
        for (std::int64_t l = 0; l < k; ++l) {
          sum += factor(a_turned ? a[l * lda + i] : a[i * lda + l]) *
                 factor(b_turned ? b[j * ldb + l] : b[l * ldb + j]);
        }
        float& out = c[i * ldc + j];
        const double before =
            beta != 0.0f ? static_cast<double>(beta) * static_cast<double>(out) : 0;
        out = static_cast<float>(static_cast<double>(alpha) * sum + before);
      }
    }
  });
}

void Blas::gram(std::int64_t n, std::int64_t k, double alpha, const double* a, double beta,
                double* c) {
  sim::enqueue_kernel([=] {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = i; j < n; ++j) {
        double sum = 0.0;
        for (std::int64_t l = 0; l < k; ++l)
          sum += a[l * n + i] * a[l * n + j];
        c[i * n + j] = alpha * sum + (beta != 0.0 ? beta * c[i * n + j] : 0.0);
      }
    }
  });
}

}  // namespace hourglass::cuda
