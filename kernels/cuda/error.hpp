// Checks of CUDA runtime calls: a failure becomes a DeviceError that names the file, the line, the
// call and what its user can do about it.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "hourglass/error.hpp"

namespace hourglass::cuda {

/// "kernels/cuda/gemm.cpp:12": where a call stands, without the folders of the machine that built
/// it.
std::string source_location(const char* file, int line);

[[noreturn]] void throw_cuda_error(cudaError_t error, const char* call, const char* file, int line);

inline void check(cudaError_t error, const char* call, const char* file, int line) {
  if (error != cudaSuccess) [[unlikely]] {
    throw_cuda_error(error, call, file, line);
  }
}

}  // namespace hourglass::cuda

#define HOURGLASS_CUDA_CHECK(call) ::hourglass::cuda::check((call), #call, __FILE__, __LINE__)
