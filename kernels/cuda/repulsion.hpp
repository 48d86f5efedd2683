// The two ways of summing the repulsive forces: tsne_repulsion.cu (exact), tsne_fft.cu.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.hpp"

namespace hourglass::cuda {

class CudaBackend;

/// For a map of two dimensions.
[[nodiscard]] std::unique_ptr<Repulsion> make_fft_repulsion(CudaBackend& backend,
                                                            std::int64_t points);

/// What an evaluation takes on an H100, by its bytes and launches: counted, not measured.
[[nodiscard]] double fft_repulsion_seconds(std::int64_t points, double span);

/// Throws where the arguments of evaluate() are not of the shape that the Repulsion was made for.
void require_map(const char* operation, ConstMat y, ConstMat force, std::int64_t points,
                 std::int64_t dimensions);

}  // namespace hourglass::cuda
