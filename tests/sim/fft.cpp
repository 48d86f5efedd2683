// The transforms of kernels/cuda/fft.hpp for the model: kissfft's. Their workspace is of about the
// size that cuFFT asks for, so that what is planned of memory counts it.
#include "kernels/cuda/fft.hpp"

#include <cuda_runtime.h>
#include <kissfft/kiss_fftndr.h>

#include <array>
#include <new>

#include "kernels/cuda/memory.hpp"

namespace hourglass::cuda {
namespace {

static_assert(sizeof(Complex) == sizeof(kiss_fft_cpx));

kiss_fftndr_cfg plan(std::int64_t nodes, bool inverse) {
  const std::array<int, 2> size{static_cast<int>(nodes), static_cast<int>(nodes)};
  const kiss_fftndr_cfg made = kiss_fftndr_alloc(size.data(), 2, inverse ? 1 : 0, nullptr, nullptr);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}

}  // namespace

struct Fft::Plans {
  Plans(Heap& from, std::int64_t n)
      : heap(from),
        nodes(n),
        forward(plan(n, false)),
        inverse(plan(n, true)),
        workspace(heap.allocate(2 * sizeof(Complex) * static_cast<std::size_t>(n * (n / 2 + 1)))) {}
  Plans(const Plans&) = delete;
  Plans& operator=(const Plans&) = delete;
  ~Plans() {
    heap.release(workspace);
    kiss_fft_free(forward);
    kiss_fft_free(inverse);
  }

  Heap& heap;
  std::int64_t nodes;
  kiss_fftndr_cfg forward;
  kiss_fftndr_cfg inverse;
  void* workspace;
};

Fft::Fft(Heap& heap, cudaStream_t, std::int64_t nodes)
    : plans_(std::make_unique<Plans>(heap, nodes)) {}

Fft::~Fft() = default;

void Fft::forward(const float* grid, Complex* spectrum) {
  sim::enqueue([grid, spectrum, plans = plans_.get()] {
    kiss_fftndr(plans->forward, grid, reinterpret_cast<kiss_fft_cpx*>(spectrum));
  });
}

void Fft::inverse_pair(Complex* spectra, float* grids) {
  sim::enqueue([spectra, grids, plans = plans_.get()] {
    const std::int64_t n = plans->nodes;
    for (std::int64_t which = 0; which < 2; ++which) {
      Complex* spectrum = spectra + which * n * (n / 2 + 1);
      kiss_fftndri(plans->inverse, reinterpret_cast<const kiss_fft_cpx*>(spectrum),
                   grids + which * n * n);
      for (std::int64_t m = 0; m < n * (n / 2 + 1); ++m)
        spectrum[m] = {__int_as_float(-1), __int_as_float(-1)};  // as cuFFT may leave them
    }
  });
}

}  // namespace hourglass::cuda
