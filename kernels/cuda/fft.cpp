// Fft over cuFFT.
#include "kernels/cuda/fft.hpp"

#include <cufft.h>

#include <algorithm>
#include <array>
#include <string>

#include "kernels/cuda/memory.hpp"

namespace hourglass::cuda {
namespace {

static_assert(sizeof(Complex) == sizeof(cufftComplex));

const char* name_of(cufftResult status) {
  switch (status) {
    case CUFFT_INVALID_PLAN:
      return "CUFFT_INVALID_PLAN";
    case CUFFT_ALLOC_FAILED:
      return "CUFFT_ALLOC_FAILED";
    case CUFFT_INVALID_VALUE:
      return "CUFFT_INVALID_VALUE";
    case CUFFT_INTERNAL_ERROR:
      return "CUFFT_INTERNAL_ERROR";
    case CUFFT_EXEC_FAILED:
      return "CUFFT_EXEC_FAILED";
    case CUFFT_SETUP_FAILED:
      return "CUFFT_SETUP_FAILED";
    case CUFFT_INVALID_SIZE:
      return "CUFFT_INVALID_SIZE";
    case CUFFT_NOT_SUPPORTED:
      return "CUFFT_NOT_SUPPORTED";
    case CUFFT_NO_WORKSPACE:
      return "CUFFT_NO_WORKSPACE";
    default:
      return "an error of cuFFT";
  }
}

void check_fft(cufftResult status, const char* call, const char* file, int line) {
  if (status == CUFFT_SUCCESS) [[likely]] {
    return;
  }
  const char* advice = "use --method exact";
  if (status == CUFFT_ALLOC_FAILED) {
    advice = "the GPU is out of memory: free memory of it, use fewer points, or --method exact";
  } else if (status == CUFFT_SETUP_FAILED || status == CUFFT_INTERNAL_ERROR) {
    advice =
        "this cuFFT may not support the GPU or its driver: update the driver, or use --method "
        "exact";
  }
  throw DeviceError(source_location(file, line) + ": " + call + " failed: " + name_of(status) +
                    " (" + std::to_string(static_cast<int>(status)) + "); " + advice);
}

#define HOURGLASS_FFT_CHECK(call) check_fft((call), #call, __FILE__, __LINE__)

/// A plan whose workspace is set from outside.
class Plan {
 public:
  Plan(cudaStream_t stream, cufftType type, std::int64_t nodes, long long batch) {
    HOURGLASS_FFT_CHECK(cufftCreate(&plan_));
    try {
      HOURGLASS_FFT_CHECK(cufftSetAutoAllocation(plan_, 0));
      HOURGLASS_FFT_CHECK(cufftSetStream(plan_, stream));
      std::array<long long, 2> size{nodes, nodes};
      // Null layouts: dense, and the distances between the grids of a batch follow from the sizes.
      HOURGLASS_FFT_CHECK(cufftMakePlanMany64(plan_, 2, size.data(), nullptr, 1, 0, nullptr, 1, 0,
                                              type, batch, &workspace_bytes_));
    } catch (...) {
      cufftDestroy(plan_);
      throw;
    }
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() { cufftDestroy(plan_); }

  [[nodiscard]] cufftHandle get() const { return plan_; }
  [[nodiscard]] std::size_t workspace_bytes() const { return workspace_bytes_; }

 private:
  cufftHandle plan_ = 0;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace

struct Fft::Plans {
  Plans(Heap& from, cudaStream_t stream, std::int64_t nodes)
      : heap(from),
        forward(stream, CUFFT_R2C, nodes, 1),
        inverse_pair(stream, CUFFT_C2R, nodes, 2),
        // They run one after the other.
        workspace(
            heap.allocate(std::max(forward.workspace_bytes(), inverse_pair.workspace_bytes()))) {}
  Plans(const Plans&) = delete;
  Plans& operator=(const Plans&) = delete;
  ~Plans() { heap.release(workspace); }

  Heap& heap;
  Plan forward;
  Plan inverse_pair;
  void* workspace;
};

Fft::Fft(Heap& heap, cudaStream_t stream, std::int64_t nodes)
    : plans_(std::make_unique<Plans>(heap, stream, nodes)) {
  HOURGLASS_FFT_CHECK(cufftSetWorkArea(plans_->forward.get(), plans_->workspace));
  HOURGLASS_FFT_CHECK(cufftSetWorkArea(plans_->inverse_pair.get(), plans_->workspace));
}

Fft::~Fft() = default;

void Fft::forward(const float* grid, Complex* spectrum) {
  // A transform to another place leaves its real input as it is, though the call takes no const.
  HOURGLASS_FFT_CHECK(cufftExecR2C(plans_->forward.get(), const_cast<cufftReal*>(grid),
                                   reinterpret_cast<cufftComplex*>(spectrum)));
}

void Fft::inverse_pair(Complex* spectra, float* grids) {
  HOURGLASS_FFT_CHECK(
      cufftExecC2R(plans_->inverse_pair.get(), reinterpret_cast<cufftComplex*>(spectra), grids));
}

}  // namespace hourglass::cuda
