// sgd: one step of stochastic gradient descent with momentum over one flat buffer of parameters
// (Polyak 1964, in PyTorch's form).
//
// Formulas: advance_sgd() and sgd_update() in math.hpp. Shapes: parameters, gradients and velocity
// of as many elements. Bytes and FLOP: 12 bytes read and 8 written a parameter, 5 FLOP: bound by
// bandwidth. Launch: one kernel, grid-stride over 128-bit words; the state advances in it
// (optimiser_state.cuh).
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/optimiser_state.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {
namespace {

constexpr int sgd_threads = 256;
constexpr std::int64_t sgd_blocks = round_limit(1024, 3);

/// V = 4: parameters in quads, and the last size % 4 one by one; V = 1: all one by one.
template <int V>
__global__ void __launch_bounds__(sgd_threads)
    sgd_kernel(float* __restrict__ parameters, const float* __restrict__ gradients,
               float* __restrict__ velocity, std::int64_t size, float momentum,
               OptimiserState* state, unsigned* ticket, StepFigures figures) {
  const StepScalars now =
      advance_state(state, ticket, figures, [](OptimiserState& next) { advance_sgd(next); });
  const std::int64_t first = std::int64_t{blockIdx.x} * sgd_threads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * sgd_threads;
  const std::int64_t words = size / V;
#pragma unroll 1
  for (std::int64_t word = first; word < words; word += stride) {
    Pack<float, V> p = load_pack<V>(parameters + word * V);
    const Pack<float, V> g = load_pack<V>(gradients + word * V);
    Pack<float, V> v = load_pack<V>(velocity + word * V);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      sgd_update(p.value[i], g.value[i], v.value[i], momentum, now.gradient_scale, now.step_size);
    }
    store_pack(parameters + word * V, p);
    store_pack(velocity + word * V, v);
  }
  if (const std::int64_t last = words * V + first; V > 1 && last < size) {
    sgd_update(parameters[last], gradients[last], velocity[last], momentum, now.gradient_scale,
               now.step_size);
  }
}

}  // namespace

void CudaBackend::sgd(std::span<float> parameters, std::span<const float> gradients,
                      std::span<float> velocity, float momentum, OptimiserState* state,
                      StepFigures figures) {
  const OperationRange range("sgd");
  const auto size = static_cast<std::int64_t>(parameters.size());
  require(gradients.size() == parameters.size() && velocity.size() == parameters.size(), "sgd",
          "parameters, gradients and velocity of as many elements");
  // An empty model still makes a step: one block with nothing to update.
  const bool quads = aligned_to(16, parameters.data()) && aligned_to(16, gradients.data()) &&
                     aligned_to(16, velocity.data());
  launch(
      "sgd_kernel", quads ? sgd_kernel<4> : sgd_kernel<1>,
      {.grid = blocks_for(size, sgd_threads * (quads ? 4 : 1), sgd_blocks), .block = sgd_threads},
      stream(), parameters.data(), gradients.data(), velocity.data(), size, momentum, state,
      tickets_.all, figures);
}

}  // namespace hourglass::cuda
