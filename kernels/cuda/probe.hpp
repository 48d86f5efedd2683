// Whether the current device runs what this library holds.
#pragma once

#include <cuda_runtime.h>

namespace hourglass::cuda {

/// Loads a kernel that does nothing, runs it on the current device and waits for it. Returns why it
/// cannot be loaded; throws DeviceError where it cannot be launched.
cudaError_t probe_kernel_image();

}  // namespace hourglass::cuda
