// Which device is opened, and what is said where there is none.
#include "hourglass/device.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "host/device_internal.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

/// Sets HOURGLASS_CUDA_BACKEND for one test.
class ChosenLibrary {
 public:
  explicit ChosenLibrary(const char* path) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, path, 1);
  }
  ~ChosenLibrary() {
    if (before_) {
      setenv(name, before_->c_str(), 1);
    } else {
      unsetenv(name);
    }
  }

 private:
  static constexpr const char* name = "HOURGLASS_CUDA_BACKEND";
  std::optional<std::string> before_;
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

TEST(Device, ALibraryThatIsNoBackendIsAReason) {
  const LibrarySearch search = open_library("libz.so.1");
  EXPECT_FALSE(search.library);
  EXPECT_EQ(search.devices, 0);
  EXPECT_NE(search.reason.find("hourglass_open_backend"), std::string::npos) << search.reason;
}

TEST(Device, CpuNeverLooksForTheLibrary) {
  const ChosenLibrary text("/etc/passwd");
  EXPECT_EQ(Device::open("cpu", 1).choice().find("passwd"), std::string::npos);
}

}  // namespace
}  // namespace hourglass
