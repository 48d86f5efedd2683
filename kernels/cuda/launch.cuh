// The only place that launches a kernel, and the arithmetic of launch shapes.
//
// Kernels keep to what a CPU model of CUDA can run as well: no inline PTX, no asynchronous copies
// to shared memory, no tensor-core instructions; dynamic shared memory is named by the macro below.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/cuda/error.hpp"

#if defined(__CUDACC__)
/// In a kernel: `T* name` points at the launch's dynamic shared memory, aligned to 16 bytes.
#define HOURGLASS_DYNAMIC_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char hourglass_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(hourglass_dynamic_shared)
#endif  // tests/sim, the CPU model, defines its own

namespace hourglass::cuda {

// Launch bounds with a second argument, `..._resident` blocks a multiprocessor, stand where ptxas,
// left to itself, allots so few registers for some architecture that it spills.
//
// Loops that stride over a grid say `unroll 1`: they turn a few times, and to unroll them the
// compiler would divide two 64-bit numbers in every thread, a hundred instructions. Enough loads
// are in flight without it.
inline constexpr int warp_size = 32;
inline constexpr unsigned full_mask = 0xffffffffu;

struct LaunchShape {
  dim3 grid = 1;
  dim3 block = 1;
  std::size_t shared_bytes = 0;  ///< dynamic
  bool cooperative = false;      ///< all blocks resident, for grid-wide barriers
};

/// Launches `kernel` on `stream`. Returns at once; throws DeviceError that names the kernel where
/// the launch is refused.
template <class... Parameters>
void launch(const char* kernel_name, void (*kernel)(Parameters...), const LaunchShape& shape,
            cudaStream_t stream, std::type_identity_t<Parameters>... arguments) {
  constexpr std::size_t default_dynamic_limit = 48 * 1024;  // more must be asked for
  cudaError_t error = cudaSuccess;
  if (shape.shared_bytes > default_dynamic_limit) {
    error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shape.shared_bytes));
  }
  if (error == cudaSuccess) {
    cudaLaunchAttribute cooperative{};
    cooperative.id = cudaLaunchAttributeCooperative;
    cooperative.val.cooperative = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = stream;
    config.attrs = &cooperative;
    config.numAttrs = shape.cooperative ? 1 : 0;
#if defined(HOURGLASS_SIM)
    sim::name_next_launch(kernel_name);  // tests/sim: the CPU model knows kernels by name
#endif
    error = cudaLaunchKernelEx(&config, kernel, arguments...);
  }
  if (error != cudaSuccess) [[unlikely]] {
    const std::string call =
        std::string("launch of ") + kernel_name + " with " + std::to_string(shape.grid.x) + " x " +
        std::to_string(shape.grid.y) + " x " + std::to_string(shape.grid.z) + " blocks of " +
        std::to_string(shape.block.x * shape.block.y * shape.block.z) + " threads and " +
        std::to_string(shape.shared_bytes) + " bytes of dynamic shared memory";
    throw_cuda_error(error, call.c_str(), __FILE__, __LINE__);
  }
}

constexpr std::int64_t ceil_div(std::int64_t items, std::int64_t per) {
  return (items + per - 1) / per;
}

/// A limit on a grid, or on what a block does at once: a constant, not a property of a GPU, so that
/// the order of every sum follows from the shapes alone. The CPU model of CUDA takes a small one,
/// and so goes the second round of every loop at sizes that it can run.
constexpr std::int64_t round_limit([[maybe_unused]] std::int64_t device,
                                   [[maybe_unused]] std::int64_t model) {
#if defined(HOURGLASS_SIM)
  return model;
#else
  return device;
#endif
}

/// Blocks for `items`, `per_block` each, at most `limit` (round_limit): kernels stride over what is
/// left.
inline unsigned blocks_for(std::int64_t items, std::int64_t per_block, std::int64_t limit) {
  return static_cast<unsigned>(std::clamp<std::int64_t>(ceil_div(items, per_block), 1, limit));
}

}  // namespace hourglass::cuda
