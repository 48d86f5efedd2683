// The transforms of kernels/cuda/fft.hpp for the model: kissfft's, along the rows and then the
// columns. Their workspace is of about the size that cuFFT asks for, so that what is planned of
// memory counts it.
#include "kernels/cuda/fft.hpp"

#include <cuda_runtime.h>
#include <kissfft/kiss_fft.h>
#include <kissfft/kiss_fftr.h>

#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "kernels/cuda/memory.hpp"

namespace hourglass::cuda {
namespace {

static_assert(sizeof(Complex) == sizeof(kiss_fft_cpx));

struct Free {
  void operator()(void* plan) const { kiss_fft_free(plan); }
};
using ComplexPlan = std::unique_ptr<kiss_fft_state, Free>;
using RealPlan = std::unique_ptr<kiss_fftr_state, Free>;

template <class Plan>
Plan made(Plan plan) {
  if (plan == nullptr) throw std::bad_alloc();
  return plan;
}

/// Transforms each of the n / 2 + 1 columns in place.
void transform_columns(const ComplexPlan& plan, std::int64_t n, kiss_fft_cpx* spectrum) {
  const std::int64_t columns = n / 2 + 1;
  std::vector<kiss_fft_cpx> column(static_cast<std::size_t>(n));
  for (std::int64_t c = 0; c < columns; ++c) {
    kiss_fft_stride(plan.get(), spectrum + c, column.data(), static_cast<int>(columns));
    for (std::int64_t row = 0; row < n; ++row)
      spectrum[row * columns + c] = column[static_cast<std::size_t>(row)];
  }
}

}  // namespace

struct Fft::Plans {
  Plans(Heap& from, std::int64_t n)
      : heap(from),
        nodes(n),
        rows_forward(made(kiss_fftr_alloc(static_cast<int>(n), 0, nullptr, nullptr))),
        rows_inverse(made(kiss_fftr_alloc(static_cast<int>(n), 1, nullptr, nullptr))),
        columns_forward(made(kiss_fft_alloc(static_cast<int>(n), 0, nullptr, nullptr))),
        columns_inverse(made(kiss_fft_alloc(static_cast<int>(n), 1, nullptr, nullptr))),
        workspace(heap.allocate(2 * sizeof(Complex) * static_cast<std::size_t>(n * (n / 2 + 1)))) {}
  Plans(const Plans&) = delete;
  Plans& operator=(const Plans&) = delete;
  ~Plans() { heap.release(workspace); }

  Heap& heap;
  std::int64_t nodes;
  RealPlan rows_forward;
  RealPlan rows_inverse;
  ComplexPlan columns_forward;
  ComplexPlan columns_inverse;
  void* workspace;
};

Fft::Fft(Heap& heap, cudaStream_t, std::int64_t nodes)
    : plans_(std::make_unique<Plans>(heap, nodes)) {}

Fft::~Fft() = default;

void Fft::forward(const float* grid, Complex* spectrum) {
  sim::enqueue([grid, plans = plans_.get(), out = reinterpret_cast<kiss_fft_cpx*>(spectrum)] {
    const std::int64_t n = plans->nodes;
    for (std::int64_t row = 0; row < n; ++row)
      kiss_fftr(plans->rows_forward.get(), grid + row * n, out + row * (n / 2 + 1));
    transform_columns(plans->columns_forward, n, out);
  });
}

void Fft::inverse_pair(Complex* spectra, float* grids) {
  sim::enqueue([spectra, grids, plans = plans_.get()] {
    const std::int64_t n = plans->nodes;
    const std::int64_t size = n * (n / 2 + 1);
    constexpr float lost = std::numeric_limits<float>::quiet_NaN();
    for (std::int64_t which = 0; which < 2; ++which) {
      auto* spectrum = reinterpret_cast<kiss_fft_cpx*>(spectra + which * size);
      transform_columns(plans->columns_inverse, n, spectrum);
      for (std::int64_t row = 0; row < n; ++row) {
        kiss_fftri(plans->rows_inverse.get(), spectrum + row * (n / 2 + 1),
                   grids + (which * n + row) * n);
      }
      for (std::int64_t m = 0; m < size; ++m)
        spectrum[m] = {lost, lost};
    }
  });
}

}  // namespace hourglass::cuda
