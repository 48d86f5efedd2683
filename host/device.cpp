#include "hourglass/device.hpp"

#include <dlfcn.h>
#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
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

/// "auto", "cpu", "cuda" or "cuda:N".
struct DeviceId {
  enum class Kind { automatic, cpu, any_cuda, cuda } kind = Kind::automatic;
  int number = 0;  ///< N
};

DeviceId parse_device(const std::string& id) {
  if (id == "auto") return {DeviceId::Kind::automatic, 0};
  if (id == "cpu") return {DeviceId::Kind::cpu, 0};
  if (id == "cuda") return {DeviceId::Kind::any_cuda, 0};
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
  return {std::move(id),     info.backend,    info.name,        info.threads,
          info.memory_bytes, info.free_bytes, info.host_memory, info.tree};
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

namespace {

/// The file that HOURGLASS_CUDA_BACKEND names; null where it names none.
const char* named_cuda_library() {
  const char* given = std::getenv("HOURGLASS_CUDA_BACKEND");
  return given != nullptr && *given != 0 ? given : nullptr;
}

}  // namespace

std::vector<std::string> cuda_library_paths() {
  if (const char* given = named_cuda_library()) return {given};
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

bool has_cuda_driver() {
  // Never closed, as the backend's library is not.
  return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr;
}

LibrarySearch find_cuda_library() {
  const auto paths = cuda_library_paths();
  return open_first_library(paths,
                            [] { return named_cuda_library() != nullptr || has_cuda_driver(); });
}

LibrarySearch open_first_library(const std::vector<std::string>& paths,
                                 const std::function<bool()>& has_driver) {
  LibrarySearch search;
  for (const auto& path : paths) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) continue;
    if (has_driver()) return open_library(path);
    search.reason = "no CUDA device: no NVIDIA driver was found";
    return search;
  }
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

/// The GPU that was opened and why that one; without a backend why none could be.
struct OpenedGpu {
  std::unique_ptr<Backend> backend;
  int number = 0;
  std::string reason;
};

double gibibytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / static_cast<double>(std::uint64_t{1} << 30);
}

/// Of several GPUs the one with the most free memory that opens. A single one is opened without a
/// look at its memory, since asking takes as long as opening.
OpenedGpu open_any_cuda(const LibrarySearch& search) {
  struct Candidate {
    int number = 0;
    std::uint64_t free_bytes = 0;
    std::uint64_t memory_bytes = 0;
  };
  std::vector<Candidate> candidates;
  std::vector<std::string> failures;
  const auto fail = [&](int number, const char* reason) {
    failures.push_back(fmt::format("cuda:{}: {}", number, one_line(reason, "it failed")));
  };
  if (search.devices == 1) candidates.push_back({});
  for (int number = 0; search.devices > 1 && number < search.devices; ++number) {
    try {
      const BackendInfo info = search.library->describe_device(backend_version, number);
      candidates.push_back({number, info.free_bytes, info.memory_bytes});
    } catch (const std::exception& error) {
      fail(number, error.what());
    }
  }
  // Stable: of equals the lower number stays first.
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const Candidate& a, const Candidate& b) { return a.free_bytes > b.free_bytes; });
  for (const Candidate& candidate : candidates) {
    try {
      std::unique_ptr<Backend> backend(search.library->open(backend_version, candidate.number));
      if (!backend) {
        fail(candidate.number, "it could not be opened");
        continue;
      }
      std::string reason = "the CUDA device of this machine";
      if (search.devices > 1 && candidate.free_bytes > 0) {
        reason = fmt::format("the GPU with the most free memory{}, {:.1f} of {:.1f} GiB",
                             failures.empty() ? "" : " of those that work",
                             gibibytes(candidate.free_bytes), gibibytes(candidate.memory_bytes));
      } else if (search.devices > 1) {
        reason = fmt::format("the first that works of {} CUDA devices", search.devices);
      }
      return {std::move(backend), candidate.number, std::move(reason)};
    } catch (const std::exception& error) {
      fail(candidate.number, error.what());
    }
  }
  return {nullptr, 0,
          search.devices == 1 ? failures.front()
                              : fmt::format("none of the {} CUDA devices works: {}", search.devices,
                                            fmt::join(failures, "; "))};
}

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  return std::make_unique<cpu::CpuBackend>(threads);
}

}  // namespace

Device Device::over(std::unique_ptr<Backend> backend, const std::string& id) {
  Device device;
  device.info_ = to_info(backend->info(), id);
  device.choice_ = fmt::format("{}: as asked for", id);
  device.backend_ = std::move(backend);
  return device;
}

Device Device::of_threads(MakeBackend make, int threads, const std::string& id) {
  Device device = over(make(threads), id);
  device.make_lane_ = make;
  return device;
}

std::vector<Device> Device::lanes(int most) const {
  std::vector<Device> lanes;
  const int count = std::min(info_.threads, most);
  if (make_lane_ == nullptr || count < 2) return lanes;
  for (int i = 0; i < count; ++i)
    lanes.push_back(of_threads(make_lane_, 1, info_.id));
  return lanes;
}

Device Device::open(const std::string& id, int threads) {
  const DeviceId wanted = parse_device(id);
  if (threads < 0 || threads > most_threads) {
    throw UsageError(fmt::format("threads {}: expected 1 to {}, or 0 for every processor", threads,
                                 most_threads));
  }
  if (wanted.kind == DeviceId::Kind::cpu) {
    return of_threads(make_cpu_backend, threads, "cpu");
  }

  const LibrarySearch search = find_cuda_library();
  std::string reason = search.reason;
  if (search.library) {
    if (wanted.kind == DeviceId::Kind::cuda) {
      return over(open_cuda(search, wanted.number), fmt::format("cuda:{}", wanted.number));
    }
    OpenedGpu gpu = open_any_cuda(search);
    if (gpu.backend) {
      Device device = over(std::move(gpu.backend), fmt::format("cuda:{}", gpu.number));
      device.choice_ = fmt::format("{}: {}", device.info_.id, gpu.reason);
      return device;
    }
    reason = std::move(gpu.reason);
  }
  if (wanted.kind != DeviceId::Kind::automatic) {
    throw DeviceError(fmt::format("device {}: {}", id, reason));
  }
  Device device = of_threads(make_cpu_backend, threads, "cpu");
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
  std::vector<std::string> failures;
  for (int number = 0; number < search.devices; ++number) {
    const std::string id = fmt::format("cuda:{}", number);
    try {
      list.devices.push_back(to_info(search.library->describe_device(backend_version, number), id));
    } catch (const std::exception& error) {
      failures.push_back(fmt::format("{}: {}", id, one_line(error.what(), "it failed")));
    }
  }
  if (!failures.empty()) list.no_cuda_reason = fmt::format("{}", fmt::join(failures, "; "));
  return list;
}

}  // namespace hourglass
