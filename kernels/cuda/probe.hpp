// Whether this library holds code for the current device.
#pragma once

#include <cuda_runtime.h>

namespace hourglass::cuda {

/// cudaSuccess, or why no kernel can be loaded on the current device.
cudaError_t probe_kernel_image();

}  // namespace hourglass::cuda
