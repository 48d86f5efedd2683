// l2_penalty: *penalty += rows lambda / 2 sum of weights^2; gradient += lambda weights.
//
// Shapes: weights and gradient of as many elements. Bytes: 8 an element read and 4 written (4 read
// where only the value is asked for); 4 FLOP an element, two of them in float64. Launch:
// grid-stride over 128-bit words, the rest one by one; float64 sums a block, which the last
// block adds up.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {
namespace {

constexpr int l2_threads = 256;
constexpr std::int64_t l2_blocks = round_limit(1024, 3);

/// V = 4: elements in quads, and the last size % 4 one by one; V = 1: all one by one.
template <int V, bool with_gradient>
__global__ void __launch_bounds__(l2_threads)
    l2_kernel(const float* __restrict__ weights, std::int64_t size, float lambda,
              float* __restrict__ gradient, double* block_sums, double factor, double* penalty,
              unsigned* ticket) {
  const std::int64_t first = std::int64_t{blockIdx.x} * l2_threads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * l2_threads;
  const std::int64_t words = size / V;
  double sum = 0.0;
#pragma unroll 1
  for (std::int64_t word = first; word < words; word += stride) {
    const Pack<float, V> w = load_pack<V>(weights + word * V);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const auto value = static_cast<double>(w.value[v]);
      sum += value * value;
    }
    if constexpr (with_gradient) {
      Pack<float, V> g = load_pack<V>(gradient + word * V);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        g.value[v] += lambda * w.value[v];
      }
      store_pack(gradient + word * V, g);
    }
  }
  if (const std::int64_t last = words * V + first; V > 1 && last < size) {
    const auto value = static_cast<double>(weights[last]);
    sum += value * value;
    if constexpr (with_gradient) gradient[last] += lambda * weights[last];
  }
  sum = block_sum<l2_threads>(sum);
  if (sum_over_blocks<l2_threads>(sum, block_sums, ticket)) *penalty += factor * sum;
}

}  // namespace

void CudaBackend::l2_penalty(std::span<const float> weights, float lambda, std::int64_t rows,
                             std::span<float> gradient, double* penalty) {
  const OperationRange range("l2_penalty");
  require(gradient.empty() || gradient.size() == weights.size(), "l2_penalty",
          "a gradient that is empty or of as many elements as the weights");
  const auto size = static_cast<std::int64_t>(weights.size());
  if (size == 0) return;
  const bool quads = aligned_to(16, weights.data()) && aligned_to(16, gradient.data());
  const unsigned blocks = blocks_for(size, l2_threads * (quads ? 4 : 1), l2_blocks);
  double* block_sums = scratch_.reserve(padded<double>(blocks)).take<double>(blocks);
  auto kernel = gradient.empty() ? (quads ? l2_kernel<4, false> : l2_kernel<1, false>)
                                 : (quads ? l2_kernel<4, true> : l2_kernel<1, true>);
  launch("l2_kernel", kernel, {.grid = blocks, .block = l2_threads}, stream(), weights.data(), size,
         lambda, gradient.data(), block_sums,
         0.5 * static_cast<double>(rows) * static_cast<double>(lambda), penalty, tickets_.all);
}

}  // namespace hourglass::cuda
