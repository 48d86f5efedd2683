// The column mean, for operations that centre their data (nearest_neighbours).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/views.hpp"

namespace hourglass::cuda {

/// Elements of workspace that column_mean() needs for x.
std::int64_t column_mean_partials(FeatureView x);

/// mean[d] over the rows of x, float64.
void column_mean(cudaStream_t stream, FeatureView x, double* partials, double* mean);

}  // namespace hourglass::cuda
