// The CUDA backend's dealings with the machine: which devices there are, what is said where one
// cannot be used, memory that runs out.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"
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

/// A backend and operations on 300 rows of 40 features, which need workspace.
struct Statistics {
  CudaBackend backend{0};
  Buffer<float> x{backend, std::vector<float>(300 * 40, 1.0f)};
  Buffer<double> results{backend, 2 * 40};

  void operator()() {
    backend.column_statistics({x.data(), false, 300, 40}, results.span(0, 40),
                              results.span(40, 40));
  }
};

TEST_F(Machine, WorkspaceDoesNotGrowInASequence) {
  Statistics statistics;
  const auto record = [&] { return statistics.backend.record([&] { statistics(); }); };
  expect_error([&] { (void)record(); }, {"workspace must grow", "run them once by themselves"});
  EXPECT_EQ(machine().graphs, 0);
  statistics();  // the backend is as usable as it was
  EXPECT_EQ(statistics.results.download(1).front(), 1.0);
  statistics.results.zero();
  const auto sequence = record();
  EXPECT_EQ(statistics.results.download(1).front(), 0.0) << "recorded, not run";
  sequence->run(1);
  EXPECT_EQ(statistics.results.download(1).front(), 1.0);
}

TEST_F(Machine, ASequenceNeitherAllocatesNorWaits) {
  Statistics statistics;
  CudaBackend& backend = statistics.backend;
  float value = 0.0f;
  const auto refused = [&](const std::function<void()>& operation, const std::string& call) {
    expect_error([&] { (void)backend.record(operation); },
                 {call + " within operations that are recorded", "neither allocate nor wait"});
    EXPECT_EQ(machine().graphs, 0) << call;
    backend.synchronize();  // no longer in capture
  };
  refused([&] { (void)backend.allocate(100); }, "allocate");
  refused([&] { backend.upload(statistics.x.data(), &value, sizeof value); }, "upload");
  refused([&] { backend.download(&value, statistics.x.data(), sizeof value); }, "download");
  refused([&] { backend.synchronize(); }, "synchronize");
  refused([&] { (void)backend.record([] {}); }, "record");
  // What the runtime itself finds.
  expect_error([&] { (void)backend.record([&] { cudaStreamSynchronize(backend.stream()); }); },
               {"kernels/cuda/sequence.cpp", "cudaStreamEndCapture",
                "cudaErrorStreamCaptureInvalidated", "allocated or waited while it was recorded"});
  EXPECT_THROW((void)backend.record([] { throw UsageError("of the operations' own"); }),
               UsageError);
  statistics();
  EXPECT_EQ(statistics.results.download(1).front(), 1.0);
  EXPECT_EQ(machine().graphs, 0);
}

TEST_F(Machine, SequencesNameTheCallThatFailed) {
  Statistics statistics;
  statistics();
  for (const char* call : {"cudaStreamBeginCapture", "cudaGraphInstantiate"}) {
    machine().fail_next[call] = cudaErrorIllegalAddress;
    expect_error([&] { (void)statistics.backend.record([&] { statistics(); }); },
                 {"kernels/cuda/sequence.cpp", call});
    EXPECT_EQ(machine().graphs, 0);
  }
  const auto sequence = statistics.backend.record([&] { statistics(); });
  EXPECT_EQ(machine().graphs, 1) << "the executable alone";
  machine().fail_next["cudaGraphLaunch"] = cudaErrorIllegalAddress;
  expect_error([&] { sequence->run(1); }, {"kernels/cuda/sequence.cpp", "cudaGraphLaunch"});
}

TEST_F(Machine, ASequenceIsGivenBack) {
  Statistics statistics;
  statistics();
  auto sequence = statistics.backend.record([&] { statistics(); });
  sequence.reset();
  EXPECT_EQ(machine().graphs, 0);
}

TEST_F(Machine, AGridTooLargeForTheMemoryIsToldAndGone) {
  CudaBackend backend(0);
  const auto repulsion = backend.make_repulsion(RepulsionMethod::fft, 2, 2);
  Buffer<float> y(backend, std::vector<float>{0.0f, 0.0f, 1.0f, 0.0f}), force(backend, 4);
  Buffer<double> partition(backend, 1);
  const auto has_no_grid = [&] {
    repulsion->evaluate(y.matrix(2, 2), force.matrix(2, 2), partition.data());
    return std::isnan(partition.download().front());
  };
  EXPECT_TRUE(has_no_grid()) << "before it is prepared";
  machine().memory_bytes = machine().allocated_bytes + (1 << 20);
  const MapBounds wide{{0.0f, 0.0f, 0.0f}, {500.0f, 1.0f, 0.0f}};
  expect_error([&] { repulsion->prepare(wide); }, {"no memory for"});
  EXPECT_TRUE(has_no_grid());
  repulsion->prepare({{0.0f, 0.0f, 0.0f}, {1e9f, 1.0f, 0.0f}});
  EXPECT_TRUE(has_no_grid()) << "too wide for any";
  repulsion->prepare({{0.0f, 0.0f, 0.0f}, {1.0f, 0.0f, 0.0f}});
  repulsion->evaluate(y.matrix(2, 2), force.matrix(2, 2), partition.data());
  EXPECT_NEAR(partition.download().front(), 1.0, 0.02);
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
