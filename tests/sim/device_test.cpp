// The CUDA backend's dealings with the machine: which devices there are, what is said where one
// cannot be used, memory that runs out.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "kernels/backend.hpp"
#include "kernels/cuda/backend.hpp"
#include "tests/sim/machine.hpp"

extern "C" int hourglass_count_devices(int version, const char** reason);
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wreturn-type-c-linkage"
#endif
extern "C" hourglass::BackendInfo hourglass_describe_device(int version, int device);
extern "C" hourglass::Backend* hourglass_open_backend(int version, int device);

namespace hourglass::cuda {
namespace {

using sim::machine;

/// The machine is as it was after each test.
class Machine : public testing::Test {
 protected:
  ~Machine() override {
    sim::Machine& now = machine();
    now.devices = before_.devices;
    now.driver_version = before_.driver_version;
    now.memory_bytes = before_.memory_bytes;
    now.memory_pools = before_.memory_pools;
    now.idle_in_pool = 0;
    now.capturing = false;
    now.fail_next.clear();
    cudaSetDevice(0);
  }

  static void expect_error(const std::function<void()>& call,
                           const std::vector<std::string>& parts) {
    try {
      call();
      FAIL() << "no DeviceError";
    } catch (const DeviceError& error) {
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
            << "'" << part << "' in: " << error.what();
      }
    }
  }

 private:
  sim::Machine before_ = machine();
};

TEST_F(Machine, CountsItsDevices) {
  machine().devices = 3;
  EXPECT_EQ(device_count().devices, 3);
  EXPECT_EQ(device_count().reason, "");
  machine().devices = 0;
  EXPECT_EQ(device_count().devices, 0);
  EXPECT_EQ(device_count().reason, "no NVIDIA GPU was found");
}

TEST_F(Machine, SaysWhyThereIsNoDevice) {
  const auto reason = [](cudaError_t error) {
    machine().fail_next["cudaGetDeviceCount"] = error;
    const DeviceCount count = device_count();
    EXPECT_EQ(count.devices, 0);
    return count.reason;
  };
  EXPECT_NE(reason(cudaErrorNoDevice).find("shows no GPU"), std::string::npos);
  EXPECT_NE(reason(cudaErrorIllegalAddress).find("cudaErrorIllegalAddress"), std::string::npos);
  machine().driver_version = 12040;
  EXPECT_NE(reason(cudaErrorInsufficientDriver).find("CUDA 12.4 and this library needs 13.0"),
            std::string::npos);
  machine().driver_version = 0;
  EXPECT_EQ(reason(cudaErrorInsufficientDriver), "no NVIDIA driver was found");
  machine().devices = 0;
  expect_error([] { CudaBackend backend(0); }, {"no NVIDIA GPU was found"});
}

TEST_F(Machine, DescribesEachDeviceAndLeavesTheCurrentOne) {
  machine().devices = 2;
  const BackendInfo info = describe_device(1);
  EXPECT_EQ(info.backend, "cuda");
  EXPECT_EQ(info.name, "model of a GPU, number 1");
  EXPECT_EQ(info.memory_bytes, machine().memory_bytes);
  EXPECT_EQ(info.free_bytes, machine().memory_bytes - machine().allocated_bytes);
  EXPECT_GT(info.cache_bytes, 0u);
  int current = -1;
  cudaGetDevice(&current);
  EXPECT_EQ(current, 0);
  expect_error([] { (void)describe_device(2); }, {"no GPU 2", "has 2"});
  expect_error([] { CudaBackend backend(-1); }, {"no GPU -1"});
}

TEST_F(Machine, WhatItsPoolHoldsIsFree) {
  const std::uint64_t free = describe_device(0).free_bytes;
  machine().idle_in_pool = 1 << 20;
  EXPECT_EQ(describe_device(0).free_bytes, free);
  machine().memory_pools = false;  // then it is another's
  EXPECT_EQ(describe_device(0).free_bytes, free - (1 << 20));
}

TEST_F(Machine, RefusesADeviceThatTheLibraryHasNoCodeFor) {
  for (const cudaError_t error :
       {cudaErrorNoKernelImageForDevice, cudaErrorUnsupportedPtxVersion}) {
    machine().fail_next["cudaFuncGetAttributes"] = error;
    expect_error([] { CudaBackend backend(0); },
                 {"compute capability 9.0", "HOURGLASS_CUDA_ARCHITECTURES=90"});
  }
  machine().fail_next["cudaFuncGetAttributes"] = cudaErrorDevicesUnavailable;
  expect_error([] { CudaBackend backend(0); }, {"another process holds the GPU"});
}

TEST_F(Machine, AdvisesOnEveryKindOfError) {
  const auto fails_with = [](cudaError_t error, const std::string& advice) {
    machine().fail_next["cudaFuncGetAttributes"] = error;
    expect_error([] { CudaBackend backend(0); }, {advice});
  };
  fails_with(cudaErrorMemoryAllocation, "free memory of the GPU");
  fails_with(cudaErrorInsufficientDriver, "update the NVIDIA driver");
  fails_with(cudaErrorInvalidDevice, "hourglass devices");
  fails_with(cudaErrorIllegalAddress, "compute-sanitizer");
  fails_with(cudaErrorECCUncorrectable, "memory is faulty");
  fails_with(cudaErrorInvalidValue, "CUDA_LAUNCH_BLOCKING=1");
}

TEST_F(Machine, NamesTheLaunchThatFailed) {
  CudaBackend backend(0);
  void* values = backend.allocate(400);
  machine().fail_next["cudaLaunchKernelEx"] = cudaErrorIllegalAddress;
  expect_error(
      [&] {
        backend.fma_chain(1.0f, 0.0f, 1, {static_cast<float*>(values), 100});
      },
      {"launch of fma_chain_kernel with 1 x 1 x 1 blocks of 256 threads", "kernels/cuda/launch.cuh",
       "cudaErrorIllegalAddress"});
  machine().fail_next["cudaStreamSynchronize"] = cudaErrorIllegalAddress;
  expect_error([&] { backend.synchronize(); },
               {"kernels/cuda/backend.cpp", "cudaStreamSynchronize"});
  backend.release(values);
}

TEST_F(Machine, MemoryThatRunsOutIsToldWithFigures) {
  for (const bool pools : {true, false}) {
    machine().memory_pools = pools;
    CudaBackend backend(0);
    machine().memory_bytes = machine().allocated_bytes + 1000;
    expect_error([&] { (void)backend.allocate(1001); },
                 {"no memory for 1001 bytes", "1000 of " + std::to_string(machine().memory_bytes)});
    backend.release(backend.allocate(1000));
    backend.release(nullptr);
  }
}

TEST_F(Machine, GivesBackAllThatItTook) {
  const std::size_t before = machine().allocated_bytes;
  {
    CudaBackend backend(0);
    void* x = backend.allocate(std::size_t{4} * 300 * 40);
    void* mean = backend.allocate(2 * 8 * 40);
    backend.fill(x, 0, std::size_t{4} * 300 * 40);
    auto* columns = static_cast<double*>(mean);
    backend.column_statistics({x, false, 300, 40}, {columns, 40}, {columns + 40, 40});
    backend.release(x);
    backend.release(mean);
    EXPECT_GT(machine().allocated_bytes, before);  // the workspace
  }
  EXPECT_EQ(machine().allocated_bytes, before);
}

TEST_F(Machine, WorkspaceDoesNotGrowInACapture) {
  CudaBackend backend(0);
  void* x = backend.allocate(std::size_t{4} * 300 * 40);
  void* mean = backend.allocate(2 * 8 * 40);
  backend.fill(x, 0, std::size_t{4} * 300 * 40);
  auto* columns = static_cast<double*>(mean);
  const auto statistics = [&] {
    backend.column_statistics({x, false, 300, 40}, {columns, 40}, {columns + 40, 40});
  };
  machine().capturing = true;
  expect_error(statistics, {"run the sequence once before it is captured"});
  machine().capturing = false;
  statistics();
  machine().capturing = true;
  statistics();
  backend.release(x);
  backend.release(mean);
}

TEST_F(Machine, ThePluginRefusesAnotherVersion) {
  const char* reason = nullptr;
  EXPECT_EQ(hourglass_count_devices(backend_version, &reason), 1);
  EXPECT_STREQ(reason, "");
  EXPECT_EQ(hourglass_count_devices(backend_version + 1, &reason), 0);
  EXPECT_NE(std::string(reason).find("install both from one build"), std::string::npos);
  EXPECT_EQ(hourglass_count_devices(backend_version + 1, nullptr), 0);
  EXPECT_EQ(hourglass_describe_device(backend_version, 0).backend, "cuda");
  expect_error([] { (void)hourglass_describe_device(backend_version + 1, 0); }, {"version"});
  expect_error([] { (void)hourglass_open_backend(backend_version - 1, 0); }, {"version"});
  delete hourglass_open_backend(backend_version, 0);
}

}  // namespace
}  // namespace hourglass::cuda
