// The CUDA execution model on the CPU, for tests: runs a kernel's grid and finds what is wrong with
// its use of barriers, warps and shared memory.
//
// One thread of the operating system runs one block at a time. Each CUDA thread is a fiber: it runs
// until it waits at a barrier or for the other lanes of its warp, and then hands over to the next
// thread that can go on. Which one that is depends on the order (Order): a kernel whose result
// changes with it lacks a barrier. Shared memory is filled with NaN bits before every block.
//
// Found and thrown as Fault, with file and line: barriers that not all threads of the block reach,
// or that they reach at different places; warp collectives in which lanes disagree, name lanes that
// have returned or lanes that are not in the mask; deadlock; writes past the end of dynamic shared
// memory; launches that a GPU would refuse. With sanitizers also: every access beyond an allocation
// and misaligned vectors (AddressSanitizer, UBSan), races between the threads of a block
// (ThreadSanitizer, see fiber.hpp), values that were never written (valgrind).
//
// Not found: races between blocks, which run one after the other; what depends on the order in
// which a GPU's memory shows writes; tensor cores, asynchronous copies, speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>

namespace hourglass::sim {

/// In which order the threads of a block, and the blocks of a grid, get their turn.
enum class Order { forward, reverse, shuffled };

/// A kernel did what CUDA leaves undefined.
struct Fault : std::logic_error {
  using std::logic_error::logic_error;
};

struct Extent {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
  [[nodiscard]] std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

struct Launch {
  std::string kernel;
  Extent grid;
  Extent block;
  std::size_t shared_bytes = 0;
  bool cooperative = false;
  Order order = Order::forward;
};

/// Runs `thread` once for every thread of the grid and returns when all have ended. Throws Fault.
void run_grid(const Launch& launch, const std::function<void()>& thread);

/// The names of all kernels that this process has run.
const std::set<std::string>& kernels_run();

// ---- what a kernel calls; see include/cuda_runtime.h ----

/// A call in a kernel.
struct Place {
  const char* call;
  const char* file;
  int line;
};

/// __syncthreads and its like: how many threads of the block brought a true predicate.
int block_barrier(bool predicate, Place place);

/// A barrier of all blocks of a cooperative grid.
void grid_barrier(Place place);

/// What the lanes of a warp bring to a collective, and what they take away.
struct Lane {
  std::uint64_t value;
  int operand;
  std::uint64_t result;
};

/// Computes the results of the lanes in `mask`. Returns what is wrong, empty where all is well.
using Combine = std::string (*)(Lane* lanes, unsigned mask, unsigned live);

/// The lanes named in `mask` meet; the last to come runs `combine` for all. Returns the caller's
/// result.
std::uint64_t warp_collective(unsigned mask, std::uint64_t value, int operand, Combine combine,
                              Place place);

/// __syncwarp, which orders memory where other collectives do not.
void warp_barrier(unsigned mask, Place place);

/// __threadfence: what came before one is seen after a later one, in whichever thread.
void memory_fence();

/// The dynamic shared memory of the running block, aligned to 16 bytes.
void* dynamic_shared();

// ---- static shared memory ----

/// A `__shared__` variable: where it lies from the thread-local storage's fixed point.
struct SharedVariable {
  std::string name;
  std::ptrdiff_t offset;
  std::size_t bytes;
};

/// Those of every kernel of the running program, found in its symbol table: shared variables are
/// thread-local ones of functions in hourglass::cuda.
const std::vector<SharedVariable>& shared_variables();

/// Fills them with NaN bits, undefined for valgrind.
void poison_shared_variables();

}  // namespace hourglass::sim
