// The CUDA backend on the model, for the parity suite: once for each order of threads and blocks.
#include "kernels/cuda/backend.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/sim/machine.hpp"

namespace hourglass {
namespace {

std::unique_ptr<Backend> open_in_order(sim::Order order) {
  sim::machine().order = order;
  auto backend = std::make_unique<cuda::CudaBackend>(0);
  sim::machine().order = sim::Order::forward;
  return backend;
}

const bool registered =
    parity::register_backend(
        {"sim_forward", [] { return open_in_order(sim::Order::forward); }, true}) &&
    parity::register_backend(
        {"sim_reverse", [] { return open_in_order(sim::Order::reverse); }, true}) &&
    parity::register_backend(
        {"sim_shuffled", [] { return open_in_order(sim::Order::shuffled); }, true});

}  // namespace
}  // namespace hourglass
