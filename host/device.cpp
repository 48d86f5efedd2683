#include "hourglass/device.hpp"

#include <dlfcn.h>
#include <fmt/core.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "host/device_internal.hpp"
#include "hourglass/error.hpp"
#include "kernels/cpu/backend.hpp"

namespace hourglass {
namespace {

constexpr const char* library_name = "libhourglass_cuda.so";
constexpr int most_threads = 1024;

/// "auto", "cpu", "cuda" (number 0, any) or "cuda:N".
struct DeviceId {
  enum class Kind { automatic, cpu, cuda } kind = Kind::automatic;
  int number = 0;
};

DeviceId parse_device(const std::string& id) {
  if (id == "auto") return {DeviceId::Kind::automatic, 0};
  if (id == "cpu") return {DeviceId::Kind::cpu, 0};
  if (id == "cuda") return {DeviceId::Kind::cuda, 0};
  constexpr std::string_view prefix = "cuda:";
  if (id.starts_with(prefix)) {
    DeviceId device{DeviceId::Kind::cuda, 0};
    const char* first = id.data() + prefix.size();
    const char* last = id.data() + id.size();
    const auto [end, error] = std::from_chars(first, last, device.number);
    if (error == std::errc{} && end == last && device.number >= 0) return device;
  }
  throw UsageError(fmt::format("device '{}': expected auto, cpu, cuda or cuda:N", id));
}

DeviceInfo to_info(const BackendInfo& info, std::string id) {
  return {std::move(id), info.backend, info.name, info.threads, info.memory_bytes};
}

/// One line, whatever a library answers.
std::string one_line(const char* text, std::string_view otherwise) {
  std::string line = text != nullptr && *text != '\0' ? text : std::string(otherwise);
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return line;
}

template <class Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

std::vector<std::string> cuda_library_paths() {
  if (const char* given = std::getenv("HOURGLASS_CUDA_BACKEND"); given != nullptr && *given != 0) {
    return {given};
  }
  std::vector<std::string> paths;
  std::error_code error;
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const auto folder = executable.parent_path();
    paths.push_back((folder / library_name).string());
    paths.push_back((folder.parent_path() / "lib" / "hourglass" / library_name).string());
  }
#ifdef HOURGLASS_LIBRARY_DIRECTORY
  const std::string installed = std::string(HOURGLASS_LIBRARY_DIRECTORY) + "/" + library_name;
  if (paths.empty() || paths.back() != installed) paths.push_back(installed);
#endif
  return paths;
}

LibrarySearch open_library(const std::string& path) {
  LibrarySearch search;
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    search.reason =
        fmt::format("the CUDA backend does not load: {}", one_line(dlerror(), "unknown reason"));
    return search;
  }
  BackendLibrary library;
  library.path = path;
  library.open = symbol<OpenBackend>(handle, open_backend_symbol);
  library.count_devices = symbol<CountDevices>(handle, count_devices_symbol);
  library.describe_device = symbol<DescribeDevice>(handle, describe_device_symbol);
  if (library.open == nullptr || library.count_devices == nullptr ||
      library.describe_device == nullptr) {
    search.reason = fmt::format("{} is no Hourglass backend: it lacks {}", path,
                                library.open == nullptr            ? open_backend_symbol
                                : library.count_devices == nullptr ? count_devices_symbol
                                                                   : describe_device_symbol);
    return search;
  }
  try {
    const char* reason = nullptr;
    search.devices = library.count_devices(backend_version, &reason);
    if (search.devices <= 0) {
      search.devices = 0;
      search.reason = fmt::format("no CUDA device: {}", one_line(reason, "none found"));
      return search;
    }
  } catch (const std::exception& error) {
    search.devices = 0;
    search.reason = fmt::format("no CUDA device: {}", one_line(error.what(), "none found"));
    return search;
  }
  search.library = std::move(library);
  return search;
}

LibrarySearch find_cuda_library() {
  const auto paths = cuda_library_paths();
  for (const auto& path : paths) {
    std::error_code error;
    if (std::filesystem::exists(path, error)) return open_library(path);
  }
  LibrarySearch search;
  search.reason =
      fmt::format("the CUDA backend is not built or not installed: no {}", fmt::join(paths, ", "));
  return search;
}

namespace {

std::unique_ptr<Backend> open_cuda(const LibrarySearch& search, int number) {
  if (number >= search.devices) {
    throw DeviceError(fmt::format("device cuda:{}: this machine has {} CUDA device{} ({})", number,
                                  search.devices, search.devices == 1 ? "" : "s",
                                  search.devices == 1
                                      ? std::string("cuda:0")
                                      : fmt::format("cuda:0 to cuda:{}", search.devices - 1)));
  }
  std::unique_ptr<Backend> backend(search.library->open(backend_version, number));
  if (!backend) throw DeviceError(fmt::format("device cuda:{}: it could not be opened", number));
  return backend;
}

}  // namespace

Device Device::open(const std::string& id, int threads) {
  const DeviceId wanted = parse_device(id);
  if (threads < 0 || threads > most_threads) {
    throw UsageError(fmt::format("threads {}: expected 1 to {}, or 0 for every processor", threads,
                                 most_threads));
  }
  Device device;
  if (wanted.kind == DeviceId::Kind::cpu) {
    device.backend_ = std::make_unique<cpu::CpuBackend>(threads);
    device.info_ = to_info(device.backend_->info(), "cpu");
    device.choice_ = "cpu: as asked for";
    return device;
  }

  const LibrarySearch search = find_cuda_library();
  if (wanted.kind == DeviceId::Kind::cuda) {
    if (!search.library) throw DeviceError(fmt::format("device {}: {}", id, search.reason));
    device.backend_ = open_cuda(search, wanted.number);
    device.info_ = to_info(device.backend_->info(), fmt::format("cuda:{}", wanted.number));
    device.choice_ = fmt::format("{}: as asked for", device.info_.id);
    return device;
  }

  std::string reason = search.reason;
  if (search.library) {
    try {
      device.backend_ = open_cuda(search, 0);
      device.info_ = to_info(device.backend_->info(), "cuda:0");
      device.choice_ = search.devices == 1
                           ? std::string("cuda:0: the CUDA device of this machine")
                           : fmt::format("cuda:0: the first of {} CUDA devices", search.devices);
      return device;
    } catch (const DeviceError& error) {
      reason = error.what();
    }
  }
  device.backend_ = std::make_unique<cpu::CpuBackend>(threads);
  device.info_ = to_info(device.backend_->info(), "cpu");
  device.choice_ = fmt::format("cpu: {}", reason);
  return device;
}

Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;
Device::~Device() = default;

DeviceList list_devices() {
  DeviceList list;
  list.devices.push_back(to_info(cpu::CpuBackend(0).info(), "cpu"));
  const LibrarySearch search = find_cuda_library();
  list.no_cuda_reason = search.reason;
  for (int number = 0; number < search.devices; ++number) {
    try {
      list.devices.push_back(to_info(search.library->describe_device(backend_version, number),
                                     fmt::format("cuda:{}", number)));
    } catch (const DeviceError& error) {
      list.no_cuda_reason = error.what();
    }
  }
  return list;
}

}  // namespace hourglass
