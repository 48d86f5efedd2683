// adam: one step of Adam over one flat buffer of parameters (Kingma and Ba 2015, in Keras's form),
// with decoupled weight decay of the first of them (Loshchilov and Hutter 2019).
//
// Formulas: advance_adam() and adam_update() in math.hpp. Shapes: parameters, gradients and both
// moments of as many elements. Bytes and FLOP: 16 bytes read and 12 written a parameter, about 15
// FLOP with a square root and a division: bound by bandwidth. Launch: one kernel, grid-stride over
// 128-bit words. The step's number and bias correction advance in device memory, with no second
// launch: optimiser_state.cuh.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/optimiser_state.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {
namespace {

constexpr int adam_threads = 256;
constexpr int adam_resident = 4;
constexpr std::int64_t adam_blocks = round_limit(1024, 3);

/// V = 4: parameters in quads, and the last size % 4 one by one; V = 1: all one by one.
template <int V>
__global__ void __launch_bounds__(adam_threads, adam_resident)
    adam_kernel(float* __restrict__ parameters, const float* __restrict__ gradients,
                float* __restrict__ first_moment, float* __restrict__ second_moment,
                std::int64_t size, std::int64_t decayed, AdamOptions options, OptimiserState* state,
                unsigned* ticket, StepFigures figures) {
  const StepScalars now = advance_state(state, ticket, figures,
                                        [&](OptimiserState& next) { advance_adam(next, options); });
  const auto decay_of = [&](std::int64_t at) { return at < decayed ? now.decay : 0.0f; };
  const std::int64_t first = std::int64_t{blockIdx.x} * adam_threads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * adam_threads;
  const std::int64_t words = size / V;
#pragma unroll 1
  for (std::int64_t word = first; word < words; word += stride) {
    Pack<float, V> p = load_pack<V>(parameters + word * V);
    const Pack<float, V> g = load_pack<V>(gradients + word * V);
    Pack<float, V> m = load_pack<V>(first_moment + word * V);
    Pack<float, V> v = load_pack<V>(second_moment + word * V);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      adam_update(p.value[i], g.value[i], m.value[i], v.value[i], options, now.gradient_scale,
                  now.step_size, decay_of(word * V + i));
    }
    store_pack(parameters + word * V, p);
    store_pack(first_moment + word * V, m);
    store_pack(second_moment + word * V, v);
  }
  if (const std::int64_t last = words * V + first; V > 1 && last < size) {
    adam_update(parameters[last], gradients[last], first_moment[last], second_moment[last], options,
                now.gradient_scale, now.step_size, decay_of(last));
  }
}

}  // namespace

void CudaBackend::adam(std::span<float> parameters, std::span<const float> gradients,
                       std::span<float> first_moment, std::span<float> second_moment,
                       std::int64_t decayed, AdamOptions options, OptimiserState* state,
                       StepFigures figures) {
  const OperationRange range("adam");
  const auto size = static_cast<std::int64_t>(parameters.size());
  require(gradients.size() == parameters.size() && first_moment.size() == parameters.size() &&
              second_moment.size() == parameters.size(),
          "adam", "parameters, gradients and moments of as many elements");
  require(decayed >= 0 && decayed <= size, "adam", "no more decayed parameters than there are");
  // An empty model still makes a step: one block with nothing to update.
  const bool quads = aligned_to(16, parameters.data()) && aligned_to(16, gradients.data()) &&
                     aligned_to(16, first_moment.data()) && aligned_to(16, second_moment.data());
  launch("adam_kernel", quads ? adam_kernel<4> : adam_kernel<1>,
         {.grid = blocks_for(size, adam_threads * (quads ? 4 : 1), adam_blocks),
          .block = adam_threads},
         stream(), parameters.data(), gradients.data(), first_moment.data(), second_moment.data(),
         size, decayed, options, state, tickets_.all, figures);
}

}  // namespace hourglass::cuda
