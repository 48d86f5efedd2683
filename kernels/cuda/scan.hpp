// Offsets from counts.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace hourglass::cuda {

/// Elements of workspace that exclusive_scan() needs.
std::int64_t scan_workspace(std::int64_t size);

/// offsets[i] = counts[0] + ... + counts[i - 1] for i = 0 .. size.
void exclusive_scan(cudaStream_t stream, const int* counts, std::int64_t size,
                    std::int64_t* offsets, std::int64_t* workspace);

}  // namespace hourglass::cuda
