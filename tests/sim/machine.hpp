// The machine that the model's CUDA runtime shows: its devices, their memory, and faults on order.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>
#include <string>

#include "tests/sim/model.hpp"

namespace hourglass::sim {

/// What was asked of the runtime, and what was done.
struct Calls {
  int allocations = 0;
  int uploads = 0;
  int downloads = 0;
  int synchronisations = 0;  ///< of a stream
  int launches = 0;          ///< of kernels and products, by the host; those within a capture apart
  int graph_launches = 0;
  int graphs_made = 0;  ///< executables
  int captured = 0;     ///< kernels and products
  int executed = 0;     ///< kernels and products that ran, launched by the host or of a graph
};

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
  Calls calls;                 ///< likewise
};

/// There is one.
Machine& machine();

}  // namespace hourglass::sim
