// What kernels/cuda uses of CUDA, served by the model of tests/sim: found instead of the toolkit's
// header of this name when the sources are compiled for the CPU. No toolkit is needed.
//
// A name that is missing here is one that no kernel has used yet: add it with the behaviour that
// the CUDA C++ Programming Guide gives it. Functions of the runtime are defined in runtime.cpp.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/sim/model.hpp"

// ---- the language ----

#define __global__
#define __device__
#define __host__
#define __constant__
// Thread-local, since one thread of the operating system runs one block; found by
// shared_variables.cpp.
#define __shared__ thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#define HOURGLASS_SIM 1
#define HOURGLASS_DYNAMIC_SHARED(T, name) \
  T* const name = reinterpret_cast<T*>(::hourglass::sim::dynamic_shared())

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim{};
inline constinit thread_local dim3 gridDim{};
inline constexpr int warpSize = 32;

// ---- barriers, warps, atomics ----

// Default arguments are evaluated where the call stands.
#define HOURGLASS_SIM_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(HOURGLASS_SIM_HERE) {
  hourglass::sim::block_barrier(false, {"__syncthreads", file, line});
}
inline int __syncthreads_count(int predicate, HOURGLASS_SIM_HERE) {
  return hourglass::sim::block_barrier(predicate != 0, {"__syncthreads_count", file, line});
}
inline int __syncthreads_or(int predicate, HOURGLASS_SIM_HERE) {
  return hourglass::sim::block_barrier(predicate != 0, {"__syncthreads_or", file, line}) != 0;
}
inline int __syncthreads_and(int predicate, HOURGLASS_SIM_HERE) {
  return hourglass::sim::block_barrier(predicate == 0, {"__syncthreads_and", file, line}) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, HOURGLASS_SIM_HERE) {
  hourglass::sim::warp_barrier(mask, {"__syncwarp", file, line});
}
inline void __threadfence() {
  hourglass::sim::memory_fence();
}

namespace hourglass::sim {

enum class ShuffleFrom { lane, above, below, crossed };

/// Each lane takes the value of another; `operand` is the width (in bits 8 to 15) and the lane or
/// the distance. What is read from a lane that is not there is undefined in CUDA, and told here.
template <ShuffleFrom from>
std::string shuffle(Lane* lanes, unsigned mask, unsigned live) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(rest));
    const auto width = static_cast<unsigned>(lanes[lane].operand) >> 8;
    const auto operand = static_cast<unsigned>(lanes[lane].operand) & 0xffu;
    const unsigned base = lane & ~(width - 1);
    unsigned source = lane;
    switch (from) {
      case ShuffleFrom::lane:
        source = base + (operand & (width - 1));
        break;
      case ShuffleFrom::above:
        if (lane + operand < base + width) source = lane + operand;
        break;
      case ShuffleFrom::below:
        if (lane >= base + operand) source = lane - operand;
        break;
      case ShuffleFrom::crossed:
        if ((lane ^ operand) < base + width) source = lane ^ operand;
        break;
    }
    if ((mask >> source & 1) == 0) {
      return "lane " + std::to_string(lane) + " reads lane " + std::to_string(source) +
             ((live >> source & 1) != 0 ? ", which is not in the mask" : ", which has returned");
    }
    lanes[lane].result = lanes[source].value;
  }
  return "";
}

inline std::string ballot(Lane* lanes, unsigned mask, unsigned) {
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0 && lanes[lane].value != 0) votes |= 1u << lane;
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0) lanes[lane].result = votes;
  }
  return "";
}

template <ShuffleFrom from, class T>
T shuffled(unsigned mask, T value, unsigned operand, int width, Place place) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const int packed = width << 8 | static_cast<int>(operand & 0xffu);
  bits = warp_collective(mask, bits, packed, &shuffle<from>, place);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T, class Operation>
T atomic_update(T* address, Operation operation) {
  const std::atomic_ref<T> atomic(*address);
  T old = atomic.load(std::memory_order_relaxed);
  while (!atomic.compare_exchange_weak(old, operation(old), std::memory_order_relaxed)) {
  }
  return old;
}

}  // namespace hourglass::sim

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, HOURGLASS_SIM_HERE) {
  return hourglass::sim::shuffled<hourglass::sim::ShuffleFrom::lane>(
      mask, value, static_cast<unsigned>(lane), width, {"__shfl_sync", file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, HOURGLASS_SIM_HERE) {
  return hourglass::sim::shuffled<hourglass::sim::ShuffleFrom::above>(
      mask, value, distance, width, {"__shfl_down_sync", file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, HOURGLASS_SIM_HERE) {
  return hourglass::sim::shuffled<hourglass::sim::ShuffleFrom::below>(
      mask, value, distance, width, {"__shfl_up_sync", file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, HOURGLASS_SIM_HERE) {
  return hourglass::sim::shuffled<hourglass::sim::ShuffleFrom::crossed>(
      mask, value, static_cast<unsigned>(lanes), width, {"__shfl_xor_sync", file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, HOURGLASS_SIM_HERE) {
  return static_cast<unsigned>(hourglass::sim::warp_collective(
      mask, predicate != 0 ? 1 : 0, 0, &hourglass::sim::ballot, {"__ballot_sync", file, line}));
}
inline int __any_sync(unsigned mask, int predicate, HOURGLASS_SIM_HERE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, HOURGLASS_SIM_HERE) {
  return __ballot_sync(mask, predicate == 0 ? 1 : 0, file, line) == 0;
}

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return hourglass::sim::atomic_update(address, [&](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return hourglass::sim::atomic_update(address, [&](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return hourglass::sim::atomic_update(address, [&](T old) { return value < old ? value : old; });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return hourglass::sim::atomic_update(address, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return hourglass::sim::atomic_update(address,
                                       [&](T old) { return old == expected ? value : old; });
}

// ---- arithmetic: the approximate functions are exact here ----

inline float __expf(float x) {
  return std::exp(x);
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __frcp_rn(float x) {
  return 1.0f / x;
}
inline float rsqrtf(float x) {
  return 1.0f / std::sqrt(x);
}
inline unsigned __float2uint_rn(float x) {
  return static_cast<unsigned>(std::llrint(x));
}
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
template <class T>
T __ldg(const T* address) {
  return *address;
}

// ---- the runtime ----

#define CUDART_VERSION 13000

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorECCUncorrectable = 214,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorIllegalAddress = 700,
  cudaErrorIllegalInstruction = 715,
  cudaErrorMisalignedAddress = 716,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureImplicit = 906
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaDeviceAttr {
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMemoryPoolsSupported
};
enum cudaMemPoolAttr {
  cudaMemPoolAttrReleaseThreshold,
  cudaMemPoolAttrReservedMemCurrent,
  cudaMemPoolAttrUsedMemCurrent
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative };
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaMemPool_t = struct CUmemPool_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int l2CacheSize;
};
struct cudaFuncAttributes {
  int binaryVersion;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int cooperative;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device);
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream);
cudaError_t cudaMallocHost(void** memory, std::size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);

namespace hourglass::sim {

/// Names the next launch of this thread (kernels/cuda/launch.cuh calls it).
void name_next_launch(const char* kernel);

/// kernels/cuda's workspace, one allocation that its operations share: as good as new, full of NaN
/// bits or zeros, and with gaps between its parts that sanitizers guard.
void renew_workspace(void* memory, std::size_t bytes);
void guard_gap(void* begin, void* end);

/// Does what is asked of a stream: now, or, while one is captured, at each launch of its graph.
void enqueue(std::function<void()> work);
/// The same for a kernel, or a product that a library makes by one: counted (Machine::calls).
void enqueue_kernel(std::function<void()> work);

/// What a GPU's runtime checks of a launch before it starts, then the launch.
cudaError_t launch_kernel(const cudaLaunchConfig_t& config, const void* kernel,
                          const std::function<void()>& thread);

}  // namespace hourglass::sim

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  // Arguments are copied at the launch.
  return hourglass::sim::launch_kernel(
      *config, reinterpret_cast<const void*>(kernel),
      [kernel, copies = std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)] {
        std::apply(kernel, copies);
      });
}
