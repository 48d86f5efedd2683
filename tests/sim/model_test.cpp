// The model of CUDA put to small kernels: those that are right work, and each that is broken in one
// way is found, in every order of threads, with the place.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/reduce.cuh"
#include "tests/sim/fiber.hpp"
#include "tests/sim/include/cooperative_groups.h"
#include "tests/sim/machine.hpp"

// Shared variables are looked for in this namespace.
namespace hourglass::cuda {
namespace {

using sim::Order;

class Model : public testing::TestWithParam<Order> {
 protected:
  Model() {
    sim::machine().order = GetParam();
    stream_ = std::make_unique<Stream>();
    sim::machine().order = Order::forward;
    heap_ = std::make_unique<Heap>(0, stream_->get());
  }
  ~Model() override {
    for (void* memory : memory_)
      heap_->release(memory);
  }

  /// Device memory, uninitialised.
  template <class T>
  T* allocate(std::size_t count) {
    memory_.push_back(heap_->allocate(count * sizeof(T)));
    return static_cast<T*>(memory_.back());
  }

  template <class... Parameters>
  void run(void (*kernel)(Parameters...), const LaunchShape& shape,
           std::type_identity_t<Parameters>... arguments) {
    launch("tested", kernel, shape, stream_->get(), arguments...);
  }

  /// What the launch is told to be wrong.
  template <class... Parameters>
  std::string fault(void (*kernel)(Parameters...), const LaunchShape& shape,
                    std::type_identity_t<Parameters>... arguments) {
    try {
      launch("broken", kernel, shape, stream_->get(), arguments...);
    } catch (const sim::Fault& error) {
      return error.what();
    }
    return "no fault";
  }

  static void expect_found(const std::string& message, const std::vector<std::string>& parts) {
    for (const std::string& part : parts)
      EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' in: " << message;
  }

 private:
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Heap> heap_;
  std::vector<void*> memory_;
};

std::string order_name(const testing::TestParamInfo<Order>& info) {
  return info.param == Order::forward   ? "forward"
         : info.param == Order::reverse ? "reverse"
                                        : "shuffled";
}

INSTANTIATE_TEST_SUITE_P(In, Model,
                         testing::Values(Order::forward, Order::reverse, Order::shuffled),
                         order_name);

// ---- what is right ----

__global__ void indices_kernel(unsigned* out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

TEST_P(Model, EveryThreadOfEveryBlockRunsOnce) {
  const unsigned blocks = 2 * 3 * 4;
  const unsigned threads = 5 * 3 * 7;
  unsigned* out = allocate<unsigned>(blocks * threads);
  run(indices_kernel, {.grid = dim3(2, 3, 4), .block = dim3(5, 3, 7)}, out);
  for (unsigned i = 0; i < blocks * threads; ++i)
    EXPECT_EQ(out[i], i / threads * 1000 + i % threads);
}

__global__ void reverse_kernel(int* values) {
  __shared__ int tile[257];
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = values[i];
  __syncthreads();
  values[i] = tile[256 - i];
}

TEST_P(Model, BarriersOrderSharedMemory) {
  int* values = allocate<int>(257);
  for (int i = 0; i < 257; ++i)
    values[i] = i;
  run(reverse_kernel, {.block = 257}, values);
  for (int i = 0; i < 257; ++i)
    EXPECT_EQ(values[i], 256 - i);
}

__global__ void predicate_kernel(int* out) {
  const int i = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(i % 3 == 0);
  const int any = __syncthreads_or(i == 40);
  const int none = __syncthreads_or(0);
  const int all = __syncthreads_and(i < 1000);
  const int not_all = __syncthreads_and(i != 7);
  if (i == 5) {
    out[0] = count;
    out[1] = any;
    out[2] = none;
    out[3] = all;
    out[4] = not_all;
  }
}

TEST_P(Model, BarriersCountPredicates) {
  int* out = allocate<int>(5);
  run(predicate_kernel, {.block = 96}, out);
  EXPECT_EQ(std::vector<int>(out, out + 5), (std::vector<int>{32, 1, 0, 1, 0}));
}

__global__ void shuffle_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int* row = out + lane * 6;
  row[0] = __shfl_sync(full_mask, lane, 3);
  row[1] = __shfl_up_sync(full_mask, lane, 4u);
  row[2] = __shfl_down_sync(full_mask, lane, 4u);
  row[3] = __shfl_xor_sync(full_mask, lane, 5);
  row[4] = __shfl_down_sync(full_mask, lane, 1u, 8);
  row[5] = static_cast<int>(__ballot_sync(full_mask, lane % 2));
}

TEST_P(Model, LanesExchangeValues) {
  int* out = allocate<int>(32 * 6);
  run(shuffle_kernel, {.block = 32}, out);
  for (int lane = 0; lane < 32; ++lane) {
    const int* row = out + lane * 6;
    EXPECT_EQ(row[0], 3);
    EXPECT_EQ(row[1], lane < 4 ? lane : lane - 4);
    EXPECT_EQ(row[2], lane > 27 ? lane : lane + 4);
    EXPECT_EQ(row[3], lane ^ 5);
    EXPECT_EQ(row[4], lane % 8 == 7 ? lane : lane + 1);
    EXPECT_EQ(row[5], static_cast<int>(0xaaaaaaaau));
  }
}

__global__ void half_warp_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 16) {
    out[lane] = __any_sync(0x0000ffffu, lane == 3);
  } else {
    out[lane] = __all_sync(0xffff0000u, lane != 20);
  }
  __syncwarp();
}

TEST_P(Model, PartsOfAWarpMeetByThemselves) {
  int* out = allocate<int>(32);
  run(half_warp_kernel, {.block = 32}, out);
  for (int lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[lane], lane < 16 ? 1 : 0);
}

__global__ void atomics_kernel(int* sum, int* most, int* least, unsigned* bits) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(sum, i);
  atomicMax(most, i);
  atomicMin(least, i);
  unsigned old = *bits;
  while (true) {
    const unsigned seen = atomicCAS(bits, old, old ^ (1u << (i % 32)));
    if (seen == old) break;
    old = seen;
  }
}

TEST_P(Model, AtomicsLoseNothing) {
  int* values = allocate<int>(3);
  unsigned* bits = allocate<unsigned>(1);
  values[0] = 0;
  values[1] = -1;
  values[2] = 1000;
  bits[0] = 0;
  run(atomics_kernel, {.grid = 3, .block = 33}, values, values + 1, values + 2, bits);
  EXPECT_EQ(values[0], 98 * 99 / 2);
  EXPECT_EQ(values[1], 98);
  EXPECT_EQ(values[2], 0);
  EXPECT_EQ(bits[0], 0xfffffff8u);  // 99 = 3 x 32 + 3: the lowest three a fourth time
}

__global__ void dynamic_kernel(double* out) {
  HOURGLASS_DYNAMIC_SHARED(double, values);
  values[threadIdx.x] = threadIdx.x;
  __syncthreads();
  if (threadIdx.x == 0) {
    double sum = 0.0;
    for (unsigned i = 0; i < blockDim.x; ++i)
      sum += values[i];
    *out = sum;
  }
}

TEST_P(Model, DynamicSharedMemoryIsAsLongAsAskedFor) {
  double* out = allocate<double>(1);
  run(dynamic_kernel, {.block = 100, .shared_bytes = 100 * sizeof(double)}, out);
  EXPECT_EQ(*out, 4950.0);
}

__global__ void grid_kernel(int* counts, int* out) {
  const auto grid = cooperative_groups::this_grid();
  for (int round = 0; round < 3; ++round) {
    atomicAdd(&counts[round], 1);
    grid.sync();
    if (threadIdx.x == 0) out[blockIdx.x * 3 + static_cast<unsigned>(round)] = counts[round];
    grid.sync();
  }
}

TEST_P(Model, BlocksOfACooperativeGridMeet) {
  int* counts = allocate<int>(3);
  int* out = allocate<int>(12);
  std::fill(counts, counts + 3, 0);
  run(grid_kernel, {.grid = 4, .block = 40, .cooperative = true}, counts, out);
  for (int i = 0; i < 12; ++i)
    EXPECT_EQ(out[i], 160);
}

// ---- what is broken ----

__global__ void uninitialised_shared_kernel(float* out) {
  __shared__ float values[4];
  if (threadIdx.x < 3) values[threadIdx.x] = 1.0f;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x] + 1.0f;
}

TEST_P(Model, UninitialisedSharedMemoryIsNaN) {
  float* out = allocate<float>(8);
  run(uninitialised_shared_kernel, {.grid = 1, .block = 4}, out);
  EXPECT_EQ(out[2], 2.0f);
  EXPECT_TRUE(std::isnan(out[3]));
  // Every block begins anew.
  run(uninitialised_shared_kernel, {.grid = 2, .block = 4}, out + 4);
  EXPECT_TRUE(std::isnan(out[7]));
}

__global__ void uninitialised_branch_kernel(const float* in, int* out) {
  if (in[threadIdx.x] > 0.0f) out[0] = 1;
}

TEST_P(Model, UninitialisedDeviceMemoryIsNaN) {
  const float* fresh = allocate<float>(2);
  EXPECT_TRUE(std::isnan(fresh[0]));
  EXPECT_TRUE(std::isnan(fresh[1]));
}

// Run under valgrind by ctest, which must find it; NaN is not greater than 0.
TEST_P(Model, UninitialisedBranch) {
  const float* in = allocate<float>(1);
  int* out = allocate<int>(1);
  out[0] = 0;
  run(uninitialised_branch_kernel, {.block = 1}, in, out);
  EXPECT_EQ(out[0], 0);
}

__global__ void missing_barrier_kernel(int* out) {
  __shared__ int values[64];
  const unsigned i = threadIdx.x;
  values[i] = static_cast<int>(i);
  out[i] = values[63 - i];  // no barrier between
}

TEST_P(Model, AMissingBarrierGivesAWrongResult) {
  int* out = allocate<int>(64);
  run(missing_barrier_kernel, {.block = 64}, out);
  int wrong = 0;
  for (int i = 0; i < 64; ++i)
    wrong += out[i] != 63 - i ? 1 : 0;
  EXPECT_GT(wrong, 0);
}

__global__ void return_before_barrier_kernel() {
  if (threadIdx.x == 7) return;
  __syncthreads();
}

TEST_P(Model, AReturnBeforeABarrierIsFound) {
  expect_found(fault(return_before_barrier_kernel, {.block = 64}),
               {"kernel broken, block (0, 0, 0)", "__syncthreads",
                "model_test.cpp:", "of 64 threads, which have returned"});
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST_P(Model, DivergentBarriersAreFound) {
  expect_found(fault(two_barriers_kernel, {.block = 64}),
               {"different barriers", "model_test.cpp:"});
}

__global__ void divergent_collectives_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane] = lane < 10 ? __shfl_sync(full_mask, lane, 0) : __any_sync(full_mask, lane);
}

TEST_P(Model, DivergentCollectivesAreFound) {
  expect_found(fault(divergent_collectives_kernel, {.block = 32}, allocate<int>(32)),
               {"different collectives", "__shfl_sync at", "__ballot_sync at"});
}

__global__ void foreign_lane_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane] = lane < 16 ? __shfl_xor_sync(0x0000ffffu, lane, 16) : 0;
  __syncthreads();
}

TEST_P(Model, ReadingALaneOutsideOfTheMaskIsFound) {
  expect_found(fault(foreign_lane_kernel, {.block = 32}, allocate<int>(32)),
               {"__shfl_xor_sync at", "reads lane 1", "not in the mask"});
}

__global__ void short_warp_kernel(int* out) {
  out[threadIdx.x] = __shfl_down_sync(full_mask, static_cast<int>(threadIdx.x), 16u);
}

TEST_P(Model, ReadingALaneThatTheBlockDoesNotHaveIsFound) {
  expect_found(fault(short_warp_kernel, {.block = 20}, allocate<int>(20)),
               {"__shfl_down_sync at", "which has returned"});
}

__global__ void not_in_own_mask_kernel() {
  __syncwarp(threadIdx.x < 31 ? 0x7fffffffu : 0x7fffffffu);
}

TEST_P(Model, ALaneOutsideOfItsOwnMaskIsFound) {
  expect_found(fault(not_in_own_mask_kernel, {.block = 32}),
               {"lane 31 is not in its own mask", "__syncwarp at"});
}

__global__ void deadlock_kernel() {
  if (threadIdx.x < 32) {
    if (threadIdx.x != 5) __syncwarp();
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void waits_for_lane_kernel() {
  if (threadIdx.x == 5) {
    __syncthreads();
  } else {
    __syncwarp();
    __syncthreads();
  }
}

TEST_P(Model, DeadlocksAreFound) {
  expect_found(fault(waits_for_lane_kernel, {.block = 32}),
               {"deadlock", "of 32 threads wait", "__syncwarp at", "__syncthreads at"});
  expect_found(fault(deadlock_kernel, {.block = 64}), {"kernel broken"});
}

__global__ void overrun_kernel(int offset) {
  HOURGLASS_DYNAMIC_SHARED(unsigned char, bytes);
  if (static_cast<int>(threadIdx.x) == 0) {
    volatile unsigned char* past = bytes + offset;
    *past = 1;
  }
}

TEST_P(Model, AWritePastDynamicSharedMemoryIsFound) {
  if (HOURGLASS_SIM_ASAN) {
    EXPECT_DEATH(fault(overrun_kernel, {.block = 32, .shared_bytes = 64}, 64), "overrun_kernel");
  } else {
    expect_found(fault(overrun_kernel, {.block = 32, .shared_bytes = 64}, 64),
                 {"a write past the end of the 64 bytes"});
  }
  EXPECT_EQ(fault(overrun_kernel, {.block = 32, .shared_bytes = 64}, 63), "no fault");
}

__global__ void lonely_grid_kernel() {
  cooperative_groups::this_grid().sync();
}

__global__ void half_grid_kernel() {
  if (blockIdx.x == 1) __syncthreads();
  if (blockIdx.x == 1 && threadIdx.x == 0) return;
  cooperative_groups::this_grid().sync();
}

TEST_P(Model, GridBarriersThatCannotBeReachedAreFound) {
  expect_found(fault(lonely_grid_kernel, {.grid = 2, .block = 32}), {"not cooperative"});
  expect_found(fault(half_grid_kernel, {.grid = 3, .block = 32, .cooperative = true}),
               {"kernel broken"});
}

TEST_P(Model, LaunchesThatAGpuRefusesAreRefused) {
  const auto refused = [&](const LaunchShape& shape) {
    EXPECT_THROW(fault(lonely_grid_kernel, shape), DeviceError);
  };
  refused({.grid = 1, .block = 1025});
  refused({.grid = 0, .block = 32});
  refused({.grid = dim3(1, 65536), .block = 32});
  refused({.grid = 1, .block = dim3(1, 1, 65)});
  refused({.grid = 1, .block = 32, .shared_bytes = 228 * 1024});
}

TEST_P(Model, CopiesBeyondAnAllocationAreFound) {
  float* memory = allocate<float>(4);
  float host[8] = {};
  EXPECT_THROW(cudaMemcpyAsync(memory, host, 20, cudaMemcpyHostToDevice, nullptr), sim::Fault);
  EXPECT_THROW(cudaMemcpyAsync(host, memory + 1, 16, cudaMemcpyDeviceToHost, nullptr), sim::Fault);
  EXPECT_THROW(cudaMemsetAsync(host, 0, 4, nullptr), sim::Fault);
  EXPECT_THROW(cudaFree(host), sim::Fault);
}

#if HOURGLASS_SIM_ASAN
// ---- with AddressSanitizer and UBSan ----

__global__ void past_the_end_kernel(float* values, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i <= count) values[i] = 1.0f;
}

__global__ void misaligned_kernel(const float* values, float* out) {
  struct alignas(16) Quad {
    float v[4];
  };
  *out = reinterpret_cast<const Quad*>(values + 1)->v[0];
}

TEST_P(Model, AddressSanitizerFindsAccessesPastTheEnd) {
  float* values = allocate<float>(10);
  EXPECT_DEATH(run(past_the_end_kernel, {.block = 32}, values, 10), "past_the_end_kernel");
  run(past_the_end_kernel, {.block = 32}, values, 9);
  EXPECT_DEATH(run(misaligned_kernel, {.block = 1}, values, values + 9), "misaligned");
}

#endif

}  // namespace
}  // namespace hourglass::cuda
