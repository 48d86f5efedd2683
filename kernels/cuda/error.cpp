#include "kernels/cuda/error.hpp"

#include <string_view>

namespace hourglass::cuda {
namespace {

const char* advice(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "use a smaller batch or fewer points, or free memory of the GPU";
    case cudaErrorInsufficientDriver:
      return "update the NVIDIA driver, or use --device cpu";
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
      return "see `hourglass devices`, or use --device cpu";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return "rebuild with HOURGLASS_CUDA_ARCHITECTURES set to this GPU's compute capability";
    case cudaErrorDevicesUnavailable:
      return "another process holds the GPU exclusively; wait for it or choose another with "
             "--device cuda:N";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
      return "the device's state is lost and the process must start again; run it under "
             "compute-sanitizer to find the kernel";
    case cudaErrorECCUncorrectable:
      return "the GPU's memory is faulty: reset or replace it";
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureImplicit:
      return "an operation allocated or waited while it was recorded: run the operations once by "
             "themselves before they are recorded, and leave both out of them";
    default:
      return "run again with CUDA_LAUNCH_BLOCKING=1 to find the kernel that failed";
  }
}

}  // namespace

std::string source_location(const char* file, int line) {
  std::string_view path = file;
  const auto project = path.rfind("kernels/cuda/");
  if (project != std::string_view::npos) path.remove_prefix(project);
  return std::string(path) + ":" + std::to_string(line);
}

void throw_cuda_error(cudaError_t error, const char* call, const char* file, int line) {
  cudaGetLastError();  // an error that is not sticky must not be reported again by the next call
  throw DeviceError(source_location(file, line) + ": " + call +
                    " failed: " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) +
                    "); " + advice(error));
}

}  // namespace hourglass::cuda
