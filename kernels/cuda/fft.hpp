// Fourier transforms of the vendor's library, behind the few calls that the operations need.
//
// Of square real grids, float32, both ways without factors. Row-major; of a grid's spectrum the
// columns 0 .. n / 2 are kept, the others are their conjugates.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

namespace hourglass::cuda {

class Heap;

struct alignas(8) Complex {
  float real;
  float imaginary;
};

class Fft {
 public:
  /// Plans for grids of nodes x nodes (even, without large prime factors) on `stream`, with a
  /// workspace of their own from `heap`: the transforms then allocate nothing, and in a captured
  /// graph keep their workspace. Throws DeviceError.
  Fft(Heap& heap, cudaStream_t stream, std::int64_t nodes);
  Fft(const Fft&) = delete;
  Fft& operator=(const Fft&) = delete;
  ~Fft();

  /// spectrum (n x (n / 2 + 1)) = sum over the grid (n x n) of exp(-2 pi i (...) / n). The grid is
  /// left as it is.
  void forward(const float* grid, Complex* spectrum);

  /// Two grids, one after the other, from two spectra likewise, with exp(+2 pi i (...) / n). What
  /// is in the spectra is lost.
  void inverse_pair(Complex* spectra, float* grids);

 private:
  struct Plans;
  std::unique_ptr<Plans> plans_;
};

}  // namespace hourglass::cuda
