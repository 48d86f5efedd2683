// l1_penalty: *penalty += B weight sum |codes|; gradient += weight sign(codes).
//
// Shapes: codes, gradient B x K, seen as one flat array. Bytes: 8 B K read and 4 B K written (4 B K
// read where only the value is asked for); 3 FLOP an element. Launch: grid-stride over 128-bit
// words, the rest one by one; float64 sums a block, which the last block adds up.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {
namespace {

constexpr int l1_threads = 256;
constexpr std::int64_t l1_blocks = round_limit(1024, 3);

/// V = 4: elements in quads, and the last size % 4 one by one; V = 1: all one by one.
template <int V, bool with_gradient>
__global__ void __launch_bounds__(l1_threads)
    l1_kernel(const float* __restrict__ codes, std::int64_t size, float weight,
              float* __restrict__ gradient, double* block_sums, double factor, double* penalty,
              unsigned* ticket) {
  const std::int64_t first = std::int64_t{blockIdx.x} * l1_threads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * l1_threads;
  const std::int64_t words = size / V;
  double sum = 0.0;
#pragma unroll 1
  for (std::int64_t word = first; word < words; word += stride) {
    const Pack<float, V> h = load_pack<V>(codes + word * V);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum += static_cast<double>(fabsf(h.value[v]));
    }
    if constexpr (with_gradient) {
      Pack<float, V> g = load_pack<V>(gradient + word * V);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        g.value[v] += weight * sign(h.value[v]);
      }
      store_pack(gradient + word * V, g);
    }
  }
  if (const std::int64_t last = words * V + first; V > 1 && last < size) {
    sum += static_cast<double>(fabsf(codes[last]));
    if constexpr (with_gradient) gradient[last] += weight * sign(codes[last]);
  }
  sum = block_sum<l1_threads>(sum);
  if (sum_over_blocks<l1_threads>(sum, block_sums, ticket)) *penalty += factor * sum;
}

}  // namespace

void CudaBackend::l1_penalty(ConstMat codes, float weight, Mat gradient, double* penalty) {
  const OperationRange range("l1_penalty");
  require(gradient.empty() || (gradient.rows == codes.rows && gradient.columns == codes.columns),
          "l1_penalty", "a gradient that is empty or of the shape of the codes");
  const std::int64_t size = codes.size();
  if (size == 0) return;
  const bool quads = aligned_to(16, codes.data) && aligned_to(16, gradient.data);
  const unsigned blocks = blocks_for(size, l1_threads * (quads ? 4 : 1), l1_blocks);
  double* block_sums = scratch_.reserve(padded<double>(blocks)).take<double>(blocks);
  auto kernel = gradient.empty() ? (quads ? l1_kernel<4, false> : l1_kernel<1, false>)
                                 : (quads ? l1_kernel<4, true> : l1_kernel<1, true>);
  launch("l1_kernel", kernel, {.grid = blocks, .block = l1_threads}, stream(), codes.data, size,
         weight, gradient.data, block_sums,
         static_cast<double>(codes.rows) * static_cast<double>(weight), penalty, tickets_.all);
}

}  // namespace hourglass::cuda
