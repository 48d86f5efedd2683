// What the shared library exports: the three symbols at the end of kernels/backend.hpp. Everything
// else is hidden.
#include <string>
#include <type_traits>

#include "kernels/cuda/backend.hpp"

#define HOURGLASS_EXPORT extern "C" __attribute__((visibility("default")))

// BackendInfo is C++; both sides are built from one header, which the version guards.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wreturn-type-c-linkage"
#endif

namespace {

std::string version_mismatch(int version) {
  return "the CUDA library has version " + std::to_string(hourglass::backend_version) +
         " and the program asks for " + std::to_string(version) + ": install both from one build";
}

}  // namespace

HOURGLASS_EXPORT int hourglass_count_devices(int version, const char** reason) {
  static thread_local std::string text;  // must outlive the call
  hourglass::cuda::DeviceCount count;
  if (version == hourglass::backend_version) {
    count = hourglass::cuda::device_count();
  } else {
    count.reason = version_mismatch(version);
  }
  text = count.reason;
  if (reason != nullptr) *reason = text.c_str();
  return count.devices;
}

HOURGLASS_EXPORT hourglass::BackendInfo hourglass_describe_device(int version, int device) {
  if (version != hourglass::backend_version) {
    throw hourglass::DeviceError("cuda: " + version_mismatch(version));
  }
  return hourglass::cuda::describe_device(device);
}

HOURGLASS_EXPORT hourglass::Backend* hourglass_open_backend(int version, int device) {
  if (version != hourglass::backend_version) {
    throw hourglass::DeviceError("cuda: " + version_mismatch(version));
  }
  return new hourglass::cuda::CudaBackend(device);
}

static_assert(std::is_same_v<decltype(&hourglass_open_backend), hourglass::OpenBackend>);
static_assert(std::is_same_v<decltype(&hourglass_count_devices), hourglass::CountDevices>);
static_assert(std::is_same_v<decltype(&hourglass_describe_device), hourglass::DescribeDevice>);
