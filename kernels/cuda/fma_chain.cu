// fma_chain: values[i] after `terms` turns of v = v a + b, the arithmetic ceiling of the GPU.
//
// Shapes: values of any number, in place. FLOP: 2 a turn. Bytes: 4 read and 4 written a value,
// whatever the number of terms. Bound by the float32 units. Launch: grid-stride; a thread carries
// eight values at once, 256 apart so that loads are coalesced: a fused multiply-add takes four
// cycles and a scheduler begins one in each, so eight independent chains fill the pipeline with a
// single warp, and registers are few enough for all the warps that a multiprocessor holds. The
// limit on the grid is far above what is resident: the last, incomplete wave is then a small part.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace hourglass::cuda {
namespace {

constexpr int chain_threads = 256;
constexpr int chains = 8;  // of a thread
constexpr std::int64_t chain_blocks = round_limit(65536, 2);

__global__ void __launch_bounds__(chain_threads)
    fma_chain_kernel(float a, float b, int terms, std::int64_t size, float* __restrict__ values) {
  constexpr std::int64_t block_values = std::int64_t{chain_threads} * chains;
  const std::int64_t stride = gridDim.x * block_values;
#pragma unroll 1
  for (std::int64_t first = blockIdx.x * block_values + threadIdx.x; first < size;
       first += stride) {
    float v[chains];
#pragma unroll
    for (int c = 0; c < chains; ++c) {
      const std::int64_t i = first + c * chain_threads;
      v[c] = i < size ? values[i] : 0.0f;
    }
#pragma unroll 8
    for (int term = 0; term < terms; ++term) {
#pragma unroll
      for (int c = 0; c < chains; ++c) {
        v[c] = fmaf(v[c], a, b);
      }
    }
#pragma unroll
    for (int c = 0; c < chains; ++c) {
      const std::int64_t i = first + c * chain_threads;
      if (i < size) values[i] = v[c];
    }
  }
}

}  // namespace

void CudaBackend::fma_chain(float a, float b, int terms, std::span<float> values) {
  const OperationRange range("fma_chain");
  require(terms >= 0, "fma_chain", "a number of terms that is not negative");
  const auto size = static_cast<std::int64_t>(values.size());
  if (size == 0 || terms == 0) return;
  launch("fma_chain_kernel", fma_chain_kernel,
         {.grid = blocks_for(size, std::int64_t{chain_threads} * chains, chain_blocks),
          .block = chain_threads},
         stream(), a, b, terms, size, values.data());
}

}  // namespace hourglass::cuda
