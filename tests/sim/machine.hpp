// The machine that the model's CUDA runtime shows: its devices, their memory, and faults on order.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>
#include <string>

#include "tests/sim/model.hpp"

namespace hourglass::sim {

struct Machine {
  int devices = 1;
  int driver_version = CUDART_VERSION;
  std::size_t memory_bytes = std::size_t{4} << 30;  ///< of every device
  bool memory_pools = true;
  std::size_t idle_in_pool = 0;  ///< held by the pool of a device, though nobody uses it
  int graphs = 0;                ///< and executables of them, that were not given back
  Order order = Order::forward;  ///< of the launches on streams that are created from now on
  /// The next call of a function of this name fails so, once.
  std::map<std::string, cudaError_t> fail_next;

  /// Allocations that were not given back, by their addresses.
  std::map<const void*, std::size_t> allocations;
  std::size_t allocated_bytes = 0;
  std::size_t peak_bytes = 0;  ///< the most that were allocated at once; tests set it back
};

/// There is one.
Machine& machine();

}  // namespace hourglass::sim
