// The CUDA runtime of the model: everything happens at once, in the order of the calls. Device
// memory is host memory, exactly as long as was asked for (so that AddressSanitizer knows its end)
// and full of NaN bits.
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

namespace hourglass::sim {
namespace {

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

void name_next_launch(const char* kernel) {
  next_kernel = kernel;
}

void renew_workspace(void* memory, std::size_t bytes) {
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
}

void guard_gap([[maybe_unused]] void* begin, [[maybe_unused]] void* end) {
  [[maybe_unused]] const auto bytes =
      static_cast<std::size_t>(static_cast<std::byte*>(end) - static_cast<std::byte*>(begin));
#if HOURGLASS_SIM_ASAN
  __asan_poison_memory_region(begin, bytes);
#endif
  VALGRIND_MAKE_MEM_NOACCESS(begin, bytes);
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
  run_grid(launch, thread);
  return cudaSuccess;
}

}  // namespace hourglass::sim

using hourglass::sim::machine;
using hourglass::sim::ordered;
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
  if (bytes > machine().memory_bytes - machine().allocated_bytes ||
      posix_memalign(memory, 256, bytes) != 0) {
    return refuse(cudaErrorMemoryAllocation);
  }
  std::memset(*memory, 0xff, bytes);
  VALGRIND_MAKE_MEM_UNDEFINED(*memory, bytes);
  machine().allocations[*memory] = bytes;
  machine().allocated_bytes += bytes;
  machine().peak_bytes = std::max(machine().peak_bytes, machine().allocated_bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
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
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  hourglass::sim::require_device_memory("cudaMemsetAsync", memory, bytes);
  std::memset(memory, value, bytes);
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

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return ordered("cudaStreamSynchronize");
}

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = machine().capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
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
  return cudaSuccess;
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
