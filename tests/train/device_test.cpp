// Which device is opened, and what is said where there is none.
#include "hourglass/device.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/device_internal.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

/// Sets a variable of the environment for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() {
    if (before_) {
      setenv(name_, before_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

class ChosenLibrary : Variable {
 public:
  explicit ChosenLibrary(const std::string& path) : Variable("HOURGLASS_CUDA_BACKEND", path) {}
};

/// A machine with the GPUs that `devices` lists in the words of tests/fake/devices.cpp.
class FakeDevices {
 public:
  explicit FakeDevices(const std::string& devices)
      : library_((std::filesystem::read_symlink("/proc/self/exe").parent_path() /
                  "libhourglass_fake_devices.so")
                     .string()),
        devices_("HOURGLASS_FAKE_DEVICES", devices) {}

 private:
  ChosenLibrary library_;
  Variable devices_;
};

std::string device_error(const std::string& id) {
  try {
    (void)Device::open(id);
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(Device, CpuIsAlwaysThere) {
  Device device = Device::open("cpu", 2);
  EXPECT_EQ(device.info().id, "cpu");
  EXPECT_EQ(device.info().backend, "cpu");
  EXPECT_EQ(device.info().threads, 2);
  EXPECT_FALSE(device.info().name.empty());
  EXPECT_GT(device.info().memory_bytes, 0u);
  EXPECT_EQ(list_devices().devices.front().id, "cpu");
  EXPECT_GE(Device::open("cpu").info().threads, 1);
}

TEST(Device, OtherNamesAndThreadsAreWrongUsage) {
  for (const char* id : {"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:1x",
                         "cuda:99999999999999"}) {
    EXPECT_THROW((void)Device::open(id), UsageError) << id;
  }
  EXPECT_THROW((void)Device::open("cpu", -1), UsageError);
  EXPECT_THROW((void)Device::open("cpu", 1000000), UsageError);
}

TEST(Device, WithoutTheLibraryAutoFallsBackAndSaysWhy) {
  const ChosenLibrary none("/nonexistent/libhourglass_cuda.so");
  const Device device = Device::open("auto", 1);
  EXPECT_EQ(device.info().id, "cpu");
  EXPECT_NE(device.choice().find("/nonexistent/libhourglass_cuda.so"), std::string::npos)
      << device.choice();
  for (const char* id : {"cuda", "cuda:0", "cuda:3"}) {
    const std::string message = device_error(id);
    EXPECT_NE(message.find("not built or not installed"), std::string::npos) << message;
    EXPECT_NE(message.find(id), std::string::npos) << message;
  }
  const DeviceList list = list_devices();
  EXPECT_EQ(list.devices.size(), 1u);
  EXPECT_NE(list.no_cuda_reason.find("/nonexistent"), std::string::npos);
}

TEST(Device, AFileThatIsNoLibraryIsAReason) {
  const ChosenLibrary text("/etc/passwd");
  EXPECT_EQ(Device::open("auto", 1).info().backend, "cpu");
  const std::string message = device_error("cuda");
  EXPECT_NE(message.find("does not load"), std::string::npos) << message;
  EXPECT_NE(message.find("/etc/passwd"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(Device, WithoutADriverNoLibraryIsLoaded) {
  // Of a file that is no library the reason would be that it does not load.
  const std::vector<std::string> paths = {"/nonexistent/libhourglass_cuda.so", "/etc/passwd"};
  const LibrarySearch search = open_first_library(paths, [] { return false; });
  EXPECT_FALSE(search.library);
  EXPECT_EQ(search.devices, 0);
  EXPECT_EQ(search.reason, "no CUDA device: no NVIDIA driver was found");
  const LibrarySearch tried = open_first_library(paths, [] { return true; });
  EXPECT_NE(tried.reason.find("/etc/passwd"), std::string::npos) << tried.reason;
  // What is not there is not asked a driver for.
  const LibrarySearch none = open_first_library({paths.front()}, [] { return false; });
  EXPECT_NE(none.reason.find("not built or not installed"), std::string::npos) << none.reason;
}

TEST(Device, LanesOfACpuHaveOneThreadEach) {
  const Device device = Device::open("cpu", 3);
  const std::vector<Device> lanes = device.lanes(8);
  ASSERT_EQ(lanes.size(), 3u);
  for (const Device& lane : lanes) {
    EXPECT_EQ(lane.info().id, "cpu");
    EXPECT_EQ(lane.info().threads, 1);
    EXPECT_TRUE(lane.lanes(8).empty());
  }
  EXPECT_EQ(device.lanes(2).size(), 2u);
  EXPECT_TRUE(device.lanes(1).empty());
  EXPECT_TRUE(device.lanes(0).empty());
}

TEST(Device, AGpuHasNoLanes) {
  const FakeDevices machine("1024/2048");
  EXPECT_TRUE(Device::open("cuda").lanes(4).empty());
}

TEST(Device, ALibraryThatIsNoBackendIsAReason) {
  const LibrarySearch search = open_library("libz.so.1");
  EXPECT_FALSE(search.library);
  EXPECT_EQ(search.devices, 0);
  EXPECT_NE(search.reason.find("hourglass_open_backend"), std::string::npos) << search.reason;
}

TEST(Device, OfSeveralGpusTheOneWithTheMostFreeMemoryIsTaken) {
  const FakeDevices machine("1024/81920,71782/81920,2048/24576");
  for (const char* id : {"auto", "cuda"}) {
    const Device device = Device::open(id);
    EXPECT_EQ(device.info().id, "cuda:1");
    EXPECT_EQ(device.info().name, "GPU number 1");
    EXPECT_EQ(device.info().free_bytes, std::uint64_t{71782} << 20);
    EXPECT_EQ(device.info().memory_bytes, std::uint64_t{81920} << 20);
    EXPECT_EQ(device.choice(), "cuda:1: the GPU with the most free memory, 70.1 of 80.0 GiB");
  }
  const Device named = Device::open("cuda:2");
  EXPECT_EQ(named.info().name, "GPU number 2");
  EXPECT_EQ(named.choice(), "cuda:2: as asked for");
  const std::string beyond = device_error("cuda:3");
  EXPECT_NE(beyond.find("3 CUDA devices (cuda:0 to cuda:2)"), std::string::npos) << beyond;
}

TEST(Device, OfEqualGpusTheFirstIsTaken) {
  {
    const FakeDevices machine("512/1024,768/1024,768/1024,768/2048");
    EXPECT_EQ(Device::open("auto").info().id, "cuda:1");
  }
  const FakeDevices unknown("0/1024,0/1024");
  const Device device = Device::open("cuda");
  EXPECT_EQ(device.info().id, "cuda:0");
  EXPECT_EQ(device.choice(), "cuda:0: the first that works of 2 CUDA devices");
}

TEST(Device, GpusThatFailArePassedOver) {
  const FakeDevices machine("broken,4096/8192:shut,3072/8192:null,1024/8192,2048/8192");
  const Device device = Device::open("auto");
  EXPECT_EQ(device.choice(),
            "cuda:4: the GPU with the most free memory of those that work, 2.0 of 8.0 GiB");
  // One that is named is not replaced by another.
  EXPECT_EQ(device_error("cuda:1"), "GPU 1 is in use by another process");
  EXPECT_EQ(device_error("cuda:2"), "device cuda:2: it could not be opened");

  const DeviceList list = list_devices();
  ASSERT_EQ(list.devices.size(), 5u);
  EXPECT_EQ(list.devices[0].id, "cpu");
  EXPECT_EQ(list.devices[1].id, "cuda:1");
  EXPECT_EQ(list.devices[1].free_bytes, std::uint64_t{4096} << 20);
  EXPECT_EQ(list.no_cuda_reason, "cuda:0: GPU 0 has fallen off the bus");
}

TEST(Device, WhereNoGpuWorksEveryReasonIsTold) {
  const FakeDevices machine("broken,4096/8192:shut,5120/8192:null");
  const std::string reasons =
      "none of the 3 CUDA devices works: cuda:0: GPU 0 has fallen off the bus; cuda:2: it could "
      "not be opened; cuda:1: GPU 1 is in use by another process";
  EXPECT_EQ(device_error("cuda"), "device cuda: " + reasons);
  const Device fallback = Device::open("auto", 1);
  EXPECT_EQ(fallback.info().id, "cpu");
  EXPECT_EQ(fallback.choice(), "cpu: " + reasons);
}

TEST(Device, ASingleGpuIsOpenedWithoutAsking) {
  {
    const FakeDevices machine("1024/8192");
    const Device device = Device::open("auto");
    EXPECT_EQ(device.info().id, "cuda:0");
    EXPECT_EQ(device.choice(), "cuda:0: the CUDA device of this machine");
  }
  const FakeDevices machine("1024/8192:shut");
  EXPECT_EQ(device_error("cuda"), "device cuda: cuda:0: GPU 0 is in use by another process");
  const FakeDevices none("");
  const std::string message = device_error("cuda");
  EXPECT_NE(message.find("HOURGLASS_FAKE_DEVICES lists none"), std::string::npos) << message;
}

TEST(Device, KnowsWhatIsFreeOnTheCpu) {
  const Device device = Device::open("cpu", 1);
  EXPECT_LE(device.info().free_bytes, device.info().memory_bytes);
  EXPECT_EQ(list_devices().devices.front().free_bytes == 0, device.info().free_bytes == 0);
}

TEST(Device, CpuNeverLooksForTheLibrary) {
  const ChosenLibrary text("/etc/passwd");
  EXPECT_EQ(Device::open("cpu", 1).choice().find("passwd"), std::string::npos);
}

}  // namespace
}  // namespace hourglass
