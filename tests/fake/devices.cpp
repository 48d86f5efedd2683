// A stand-in for the shared library of the CUDA backend, for machines without GPUs: as many devices
// as HOURGLASS_FAKE_DEVICES lists, all of them the CPU under another name. The variable is read at
// every call. Its entries are separated by commas:
//   FREE/TOTAL        MiB of memory, free and in all
//   FREE/TOTAL:shut   describes itself and does not open
//   FREE/TOTAL:null   the same, without saying why
//   broken            does not even describe itself
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "kernels/cpu/backend.hpp"
#include "tests/oracle/forwarding_backend.hpp"

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wreturn-type-c-linkage"
#endif

#define HOURGLASS_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using namespace hourglass;

std::vector<std::string> entries() {
  const char* list = std::getenv("HOURGLASS_FAKE_DEVICES");
  std::istringstream text(list != nullptr ? list : "");
  std::vector<std::string> result;
  for (std::string entry; std::getline(text, entry, ',');)
    result.push_back(entry);
  return result;
}

BackendInfo describe(int device) {
  const std::string entry = entries().at(static_cast<std::size_t>(device));
  unsigned long long free = 0;
  unsigned long long total = 0;
  if (std::sscanf(entry.c_str(), "%llu/%llu", &free, &total) != 2) {
    throw DeviceError("GPU " + std::to_string(device) + " has fallen off the bus");
  }
  BackendInfo info;
  info.backend = "cuda";
  info.name = "GPU number " + std::to_string(device);
  info.memory_bytes = total << 20;
  info.free_bytes = free << 20;
  return info;
}

class FakeDevice final : public testing_support::ForwardingBackend {
 public:
  explicit FakeDevice(int device)
      : ForwardingBackend(std::make_unique<cpu::CpuBackend>(1)), device_(device) {}
  [[nodiscard]] BackendInfo info() const override { return describe(device_); }

 private:
  int device_;
};

}  // namespace

HOURGLASS_EXPORT int hourglass_count_devices(int /*version*/, const char** reason) {
  *reason = "HOURGLASS_FAKE_DEVICES lists none";
  return static_cast<int>(entries().size());
}

HOURGLASS_EXPORT BackendInfo hourglass_describe_device(int /*version*/, int device) {
  return describe(device);
}

HOURGLASS_EXPORT Backend* hourglass_open_backend(int /*version*/, int device) {
  const std::string entry = entries().at(static_cast<std::size_t>(device));
  if (entry.ends_with(":shut")) {
    throw DeviceError("GPU " + std::to_string(device) + " is in use by another process");
  }
  if (entry.ends_with(":null")) return nullptr;
  return new FakeDevice(device);
}
