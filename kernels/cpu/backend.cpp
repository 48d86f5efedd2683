#include "kernels/cpu/backend.hpp"

#include <fmt/core.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>

#include "hourglass/error.hpp"
#include "kernels/checks.hpp"

extern "C" void openblas_set_num_threads(int threads);

namespace hourglass::cpu {
namespace {

// One thread does not saturate the memory, and a copy below this size is done before another has
// begun.
constexpr std::int64_t bytes_for_threads = std::int64_t{1} << 18;
constexpr std::int64_t page_bytes = 4096;

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return 1;
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) {
      const auto colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "CPU";
}

/// What the control group counts as used and gives back when asked: cached files.
std::uint64_t reclaimable_memory() {
  std::uint64_t sum = 0;
  std::ifstream stat("/sys/fs/cgroup/memory.stat");
  std::string name;
  for (std::uint64_t bytes = 0; stat >> name >> bytes;) {
    if (name == "active_file" || name == "inactive_file" || name == "slab_reclaimable") {
      sum += bytes;
    }
  }
  return sum;
}

/// What the kernel takes for available without swapping, bounded by the limit of the control group;
/// 0 where neither is known.
std::uint64_t available_memory() {
  std::uint64_t available = 0;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    unsigned long long kilobytes = 0;
    if (std::sscanf(line.c_str(), "MemAvailable: %llu kB", &kilobytes) == 1) {
      available = std::uint64_t{kilobytes} * 1024;
    }
  }
  std::uint64_t limit = 0;  // "max", which is no number, where there is none
  std::uint64_t used = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    used -= std::min(used, reclaimable_memory());
    available = std::min(available, limit > used ? limit - used : 1);  // 0 would be "not known"
  }
  return available;
}

/// The caches of the last level that the available processors have, in all; 0 where the system does
/// not say. Not by sysconf(), which on some processors counts a shared cache once a thread.
std::uint64_t last_level_cache() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  int last_level = 0;
  std::map<std::string, std::uint64_t> caches;  // by the processors that share one
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &set)) continue;
    for (int index = 0;; ++index) {
      const std::string folder =
          fmt::format("/sys/devices/system/cpu/cpu{}/cache/index{}/", processor, index);
      int level = 0;
      std::uint64_t kilobytes = 0;
      std::string shared_by;
      if (!(std::ifstream(folder + "level") >> level)) break;
      if (level < last_level || !(std::ifstream(folder + "size") >> kilobytes) ||
          !(std::ifstream(folder + "shared_cpu_list") >> shared_by)) {
        continue;
      }
      if (level > last_level) caches.clear();
      last_level = level;
      caches[shared_by] = kilobytes * 1024;  // "32768K"
    }
  }
  std::uint64_t bytes = 0;
  for (const auto& [shared_by, size] : caches)
    bytes += size;
  return bytes;
}

class WallStopwatch final : public Stopwatch {
 public:
  void start() override { start_ = std::chrono::steady_clock::now(); }
  void stop() override { stop_ = std::chrono::steady_clock::now(); }
  [[nodiscard]] double seconds() override {
    return std::chrono::duration<double>(stop_ - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point stop_;
};

/// Operations are done when they return: to record them is to keep the function.
class CallSequence final : public Sequence {
 public:
  explicit CallSequence(std::function<void()> operations) : operations_(std::move(operations)) {}
  void run(int times) override {
    for (int i = 0; i < times; ++i)
      operations_();
  }

 private:
  std::function<void()> operations_;
};

std::size_t round_up(std::size_t bytes, std::size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

}  // namespace

void Scratch::Release::operator()(void* memory) const noexcept {
  std::free(memory);
}

void* Scratch::reserve_bytes(std::size_t bytes) {
  if (bytes > bytes_) {
    memory_.reset();
    bytes_ = 0;
    memory_.reset(std::aligned_alloc(64, round_up(bytes, 64)));
    if (!memory_) throw DeviceError(fmt::format("cpu: no memory for {} bytes of workspace", bytes));
    bytes_ = bytes;
  }
  return memory_.get();
}

CpuBackend::CpuBackend(int threads) : pool_(threads > 0 ? threads : available_processors()) {
  // Products are split over our own threads (gemm.cpp): each calls OpenBLAS for its part.
  openblas_set_num_threads(1);
}

CpuBackend::~CpuBackend() = default;

BackendInfo CpuBackend::info() const {
  BackendInfo info;
  info.backend = "cpu";
  info.name = processor_name();
  info.threads = pool_.threads();
  info.memory_bytes = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  info.free_bytes = available_memory();
  static const std::uint64_t cache_bytes = last_level_cache();  // hundreds of files to read
  info.cache_bytes = cache_bytes;
  info.host_memory = true;
  info.tree = true;
  return info;
}

void* CpuBackend::allocate(std::size_t bytes) {
  void* memory = std::aligned_alloc(256, round_up(bytes > 0 ? bytes : 1, 256));
  if (memory == nullptr) throw DeviceError(fmt::format("cpu: no memory for {} bytes", bytes));
  return memory;
}

void CpuBackend::release(void* memory) noexcept {
  std::free(memory);
}

void CpuBackend::upload(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void CpuBackend::download(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void CpuBackend::copy(void* to, const void* from, std::size_t bytes) {
  pool_.for_ranges(static_cast<std::int64_t>(bytes), page_bytes, bytes_for_threads,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     std::memcpy(static_cast<std::byte*>(to) + begin,
                                 static_cast<const std::byte*>(from) + begin,
                                 static_cast<std::size_t>(end - begin));
                   });
}

void CpuBackend::fill(void* device, unsigned char value, std::size_t bytes) {
  pool_.for_ranges(static_cast<std::int64_t>(bytes), page_bytes, bytes_for_threads,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     std::memset(static_cast<std::byte*>(device) + begin, value,
                                 static_cast<std::size_t>(end - begin));
                   });
}

std::unique_ptr<Sequence> CpuBackend::record(std::function<void()> operations) {
  return std::make_unique<CallSequence>(std::move(operations));
}

void CpuBackend::set_gemm_precision(Precision precision) {
  require(precision == Precision::float32, "set_gemm_precision", "float32");
}

std::unique_ptr<Stopwatch> CpuBackend::make_stopwatch() {
  return std::make_unique<WallStopwatch>();
}

}  // namespace hourglass::cpu
