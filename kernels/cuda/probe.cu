// A kernel that does nothing: that it can be loaded, launched and waited for is the news. Shapes,
// bytes and FLOP: none. Launch: one thread.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/probe.hpp"

namespace hourglass::cuda {
namespace {

__global__ void probe_kernel() {}

}  // namespace

cudaError_t probe_kernel_image() {
  cudaFuncAttributes attributes{};
  const cudaError_t error =
      cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&probe_kernel));
  if (error != cudaSuccess) return error;
  launch("probe_kernel", probe_kernel, {}, nullptr);
  return cudaStreamSynchronize(nullptr);
}

}  // namespace hourglass::cuda
