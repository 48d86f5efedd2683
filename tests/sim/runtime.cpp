// The CUDA runtime of the model: everything happens at once, in the order of the calls; what a
// stream in capture is asked for becomes a part of a graph and happens when that is launched.
// Device memory is host memory, exactly as long as was asked for (so that AddressSanitizer knows
// its end) and full of NaN bits.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "tests/sim/machine.hpp"
#include "tests/sim/watch.hpp"

struct CUstream_st {
  hourglass::sim::Order order;
};

struct CUevent_st {
  bool timed;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
};

/// What to do, in order.
struct CUgraph_st {
  std::vector<std::function<void()>> nodes;
};

struct CUgraphExec_st {
  std::vector<std::function<void()>> nodes;
};

namespace hourglass::sim {
namespace {

/// The stream in capture: one at a time, whichever thread asks.
struct Recording {
  cudaStream_t stream = nullptr;
  bool invalid = false;  ///< something was asked for that no graph can hold
  std::vector<std::function<void()>> nodes;
};
Recording recording;

constexpr std::size_t static_shared_limit = 48 * 1024;
constexpr std::size_t dynamic_shared_limit = 227 * 1024;

cudaError_t last_error = cudaSuccess;
int current_device = 0;
thread_local std::string next_kernel = "without a name";
/// What cudaFuncSetAttribute has allowed.
std::map<const void*, std::size_t> dynamic_shared_limits;

/// The error that a call of `function` was told to return, else success.
cudaError_t ordered(const char* function) {
  auto& orders = machine().fail_next;
  const auto order = orders.find(function);
  if (order == orders.end()) return cudaSuccess;
  last_error = order->second;
  orders.erase(order);
  return last_error;
}

cudaError_t refuse(cudaError_t error) {
  last_error = error;
  return error;
}

/// The error of a call that waits or takes memory while a stream is in capture, which it spoils;
/// else success.
cudaError_t outside_captures() {
  if (recording.stream == nullptr) return cudaSuccess;
  recording.invalid = true;
  return refuse(cudaErrorStreamCaptureUnsupported);
}

/// Throws unless [address, address + bytes) lies in one allocation.
void require_device_memory(const char* call, const void* address, std::size_t bytes) {
  const auto& all = machine().allocations;
  auto next = all.upper_bound(address);
  if (next != all.begin()) {
    const auto& [start, size] = *--next;
    const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(address) -
                                                 static_cast<const std::byte*>(start));
    if (offset + bytes <= size) return;
  }
  throw Fault(std::string(call) + ": " + std::to_string(bytes) +
              " bytes that are not all in one allocation of device memory");
}

}  // namespace

Machine& machine() {
  static Machine one;
  return one;
}

void enqueue(std::function<void()> work) {
  if (recording.stream != nullptr) {
    recording.nodes.push_back(std::move(work));
  } else {
    work();
  }
}

void enqueue_kernel(std::function<void()> work) {
  ++(recording.stream != nullptr ? machine().calls.captured : machine().calls.launches);
  enqueue([work = std::move(work)] {
    ++machine().calls.executed;
    work();
  });
}

void name_next_launch(const char* kernel) {
  next_kernel = kernel;
}

void renew_workspace(void* memory, std::size_t bytes) {
  enqueue([memory, bytes] {
#if HOURGLASS_SIM_ASAN
    __asan_unpoison_memory_region(memory, bytes);
#endif
    // What was in it before may be any number: NaN bits and zeros by turns, so that the two equal
    // runs of a parity test differ where one is used.
    static bool zeros = false;
    zeros = !zeros;
    VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes);
    std::memset(memory, zeros ? 0 : 0xff, bytes);
    VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes);
  });
}

void guard_gap([[maybe_unused]] void* begin, [[maybe_unused]] void* end) {
  enqueue([=] {
    [[maybe_unused]] const auto bytes =
        static_cast<std::size_t>(static_cast<std::byte*>(end) - static_cast<std::byte*>(begin));
#if HOURGLASS_SIM_ASAN
    __asan_poison_memory_region(begin, bytes);
#endif
    VALGRIND_MAKE_MEM_NOACCESS(begin, bytes);
  });
}

cudaError_t launch_kernel(const cudaLaunchConfig_t& config, const void* kernel,
                          const std::function<void()>& thread) {
  if (const cudaError_t error = ordered("cudaLaunchKernelEx"); error != cudaSuccess) return error;
  const Launch launch{.kernel = std::exchange(next_kernel, "without a name"),
                      .grid = {config.gridDim.x, config.gridDim.y, config.gridDim.z},
                      .block = {config.blockDim.x, config.blockDim.y, config.blockDim.z},
                      .shared_bytes = config.dynamicSmemBytes,
                      .cooperative = config.numAttrs > 0 && config.attrs->val.cooperative != 0,
                      .order = config.stream != nullptr ? config.stream->order : machine().order};
  if (launch.grid.count() == 0 || launch.grid.x > 0x7fffffffu || launch.grid.y > 65535 ||
      launch.grid.z > 65535 || launch.block.count() == 0 || launch.block.count() > 1024 ||
      launch.block.z > 64) {
    return refuse(cudaErrorInvalidConfiguration);
  }
  const auto allowed = dynamic_shared_limits.find(kernel);
  const std::size_t limit =
      allowed != dynamic_shared_limits.end() ? allowed->second : static_shared_limit;
  if (launch.shared_bytes > limit) return refuse(cudaErrorInvalidValue);
  enqueue_kernel([launch, thread] { run_grid(launch, thread); });
  return cudaSuccess;
}

}  // namespace hourglass::sim

using hourglass::sim::enqueue;
using hourglass::sim::machine;
using hourglass::sim::ordered;
using hourglass::sim::outside_captures;
using hourglass::sim::recording;
using hourglass::sim::refuse;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an error of the model";
}

cudaError_t cudaGetLastError() {
  return std::exchange(hourglass::sim::last_error, cudaSuccess);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().driver_version;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (const cudaError_t error = ordered("cudaGetDeviceCount"); error != cudaSuccess) return error;
  *count = machine().devices;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = hourglass::sim::current_device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= machine().devices) return refuse(cudaErrorInvalidDevice);
  hourglass::sim::current_device = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = machine().memory_pools ? 1 : 0;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  std::snprintf(properties->name, sizeof properties->name, "model of a GPU, number %d", device);
  properties->totalGlobalMem = machine().memory_bytes;
  properties->l2CacheSize = 1 << 20;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = machine().memory_bytes;
  *free = *total - machine().allocated_bytes - machine().idle_in_pool;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void* value) {
  const bool reserved = attribute == cudaMemPoolAttrReservedMemCurrent;
  *static_cast<std::uint64_t*>(value) =
      machine().allocated_bytes + (reserved ? machine().idle_in_pool : 0);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (const cudaError_t error = ordered("cudaMalloc"); error != cudaSuccess) return error;
  if (const cudaError_t error = outside_captures(); error != cudaSuccess) return error;
  if (bytes > machine().memory_bytes - machine().allocated_bytes ||
      posix_memalign(memory, 256, bytes) != 0) {
    return refuse(cudaErrorMemoryAllocation);
  }
  std::memset(*memory, 0xff, bytes);
  VALGRIND_MAKE_MEM_UNDEFINED(*memory, bytes);
  ++machine().calls.allocations;
  machine().allocations[*memory] = bytes;
  machine().allocated_bytes += bytes;
  machine().peak_bytes = std::max(machine().peak_bytes, machine().allocated_bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  if (const cudaError_t error = outside_captures(); error != cudaSuccess) return error;
  const auto found = machine().allocations.find(memory);
  if (found == machine().allocations.end()) {
    throw hourglass::sim::Fault("cudaFree: memory that is not allocated");
  }
  machine().allocated_bytes -= found->second;
#if HOURGLASS_SIM_ASAN
  __asan_unpoison_memory_region(memory, found->second);
#endif
  machine().allocations.erase(found);
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t) {
  return cudaMalloc(memory, bytes);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t) {
  return cudaFree(memory);
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = std::malloc(bytes);
  return *memory != nullptr ? cudaSuccess : refuse(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  if (const cudaError_t error = ordered("cudaMemcpyAsync"); error != cudaSuccess) return error;
  if (kind != cudaMemcpyDeviceToHost) {
    hourglass::sim::require_device_memory("cudaMemcpyAsync to", to, bytes);
  }
  if (kind != cudaMemcpyHostToDevice) {
    hourglass::sim::require_device_memory("cudaMemcpyAsync from", from, bytes);
  }
  if (kind == cudaMemcpyHostToDevice) ++machine().calls.uploads;
  if (kind == cudaMemcpyDeviceToHost) ++machine().calls.downloads;
  enqueue([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  hourglass::sim::require_device_memory("cudaMemsetAsync", memory, bytes);
  enqueue([=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st{machine().order};
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream != nullptr && stream == recording.stream) return outside_captures();
  ++machine().calls.synchronisations;
  return ordered("cudaStreamSynchronize");
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream == nullptr || stream != recording.stream ? cudaStreamCaptureStatusNone
            : recording.invalid                             ? cudaStreamCaptureStatusInvalidated
                                                            : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (const cudaError_t error = ordered("cudaStreamBeginCapture"); error != cudaSuccess) {
    return error;
  }
  if (stream == nullptr || recording.stream != nullptr) {
    return refuse(cudaErrorStreamCaptureUnsupported);
  }
  recording = {.stream = stream, .invalid = false, .nodes = {}};
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream == nullptr || stream != recording.stream) return refuse(cudaErrorInvalidValue);
  const auto ended = std::exchange(recording, {});
  if (ended.invalid) return refuse(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st{ended.nodes};
  ++machine().graphs;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  if (const cudaError_t error = ordered("cudaGraphInstantiate"); error != cudaSuccess) return error;
  *executable = new CUgraphExec_st{graph->nodes};
  ++machine().calls.graphs_made;
  ++machine().graphs;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  if (const cudaError_t error = ordered("cudaGraphLaunch"); error != cudaSuccess) return error;
  if (const cudaError_t error = outside_captures(); error != cudaSuccess) return error;
  ++machine().calls.graph_launches;
  for (const auto& node : executable->nodes)
    node();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  --machine().graphs;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  --machine().graphs;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, 0);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{.timed = flags != cudaEventDisableTiming, .time = {}};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->recorded = true;
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return outside_captures();
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  if (!start->recorded || !stop->recorded || !start->timed || !stop->timed) {
    return refuse(cudaErrorInvalidValue);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(stop->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  if (const cudaError_t error = ordered("cudaFuncGetAttributes"); error != cudaSuccess) {
    return error;
  }
  attributes->binaryVersion = 90;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (const cudaError_t error = ordered("cudaFuncSetAttribute"); error != cudaSuccess) return error;
  if (value < 0 || static_cast<std::size_t>(value) > hourglass::sim::dynamic_shared_limit) {
    return refuse(cudaErrorInvalidValue);
  }
  hourglass::sim::dynamic_shared_limits[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
