// gradient_norm: state->gradient_norm = |gradients|, state->gradient_scale = the scale that limits
// it to max_norm (Pascanu et al. 2013).
//
// Formula: clip_scale() in math.hpp. Shapes: gradients of any number, seen as one flat array.
// Bytes: 4 read a gradient; 2 FLOP in float64 each: bound by bandwidth, on GPUs with few float64
// units by those. Launch: grid-stride over 128-bit words, the rest one by one; float64 sums a
// block, which the last block adds up; it writes the state.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {
namespace {

constexpr int norm_threads = 256;
constexpr std::int64_t norm_blocks = round_limit(1024, 3);

/// V = 4: elements in quads, and the last size % 4 one by one; V = 1: all one by one.
template <int V>
__global__ void __launch_bounds__(norm_threads)
    square_sum_kernel(const float* __restrict__ gradients, std::int64_t size, float max_norm,
                      double* block_sums, OptimiserState* state, unsigned* ticket) {
  const std::int64_t first = std::int64_t{blockIdx.x} * norm_threads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * norm_threads;
  const std::int64_t words = size / V;
  double sum = 0.0;
#pragma unroll 1
  for (std::int64_t word = first; word < words; word += stride) {
    const Pack<float, V> g = load_pack<V>(gradients + word * V);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const auto value = static_cast<double>(g.value[v]);
      sum += value * value;
    }
  }
  if (const std::int64_t last = words * V + first; V > 1 && last < size) {
    const auto value = static_cast<double>(gradients[last]);
    sum += value * value;
  }
  sum = block_sum<norm_threads>(sum);
  if (sum_over_blocks<norm_threads>(sum, block_sums, ticket)) {
    const double norm = sqrt(sum);
    state->gradient_norm = norm;
    state->gradient_scale = clip_scale(norm, max_norm);
  }
}

}  // namespace

void CudaBackend::gradient_norm(std::span<const float> gradients, float max_norm,
                                OptimiserState* state) {
  const OperationRange range("gradient_norm");
  const auto size = static_cast<std::int64_t>(gradients.size());
  const bool quads = aligned_to(16, gradients.data());
  const unsigned blocks = blocks_for(size, norm_threads * (quads ? 4 : 1), norm_blocks);
  double* block_sums = scratch_.reserve(padded<double>(blocks)).take<double>(blocks);
  launch("square_sum_kernel", quads ? square_sum_kernel<4> : square_sum_kernel<1>,
         {.grid = blocks, .block = norm_threads}, stream(), gradients.data(), size, max_norm,
         block_sums, state, tickets_.all);
}

}  // namespace hourglass::cuda
