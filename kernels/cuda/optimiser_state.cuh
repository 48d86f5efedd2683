// The optimisers' state advances in device memory, in the kernel that makes the step.
//
// Every block reads the old state and advances a copy for itself; a block that has read it takes a
// ticket, and the block with the last ticket, which knows that all others have read, writes the
// advanced state back. The fence between the read and the ticket, and the one between the ticket
// and the write, order them; nobody waits. That block also files the step's loss and penalty, which
// costs no launch here.
#pragma once

#include "kernels/math.hpp"

namespace hourglass::cuda {

/// What of the advanced state each parameter needs.
struct StepScalars {
  float gradient_scale;
  float step_size;
  float decay;
};

/// Calls advance(next) on a copy of *state and returns its scalars, in every thread; *state holds
/// them, and the step's figures are filed, when the kernel has ended. All threads of every block
/// must call it, once in a launch.
template <class Advance>
__device__ __forceinline__ StepScalars advance_state(OptimiserState* state, unsigned* ticket,
                                                     const StepFigures& figures,
                                                     Advance&& advance) {
  __shared__ StepScalars shared;
  if (threadIdx.x == 0) {
    OptimiserState next = *state;
    const std::int64_t step = next.step;
    __threadfence();
    const bool last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    advance(next);
    shared = {next.gradient_scale, next.step_size, next.decay};
    if (last) {
      __threadfence();
      *state = next;
      *ticket = 0;
      file_figures(figures, step);
    }
  }
  __syncthreads();
  return shared;
}

}  // namespace hourglass::cuda
