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
#include <string>

#include "hourglass/error.hpp"

extern "C" void openblas_set_num_threads(int threads);

namespace hourglass::cpu {
namespace {

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
    available = std::min(available, limit > used ? limit - used : 0);
  }
  return available;
}

std::uint64_t last_level_cache() {
  for (const int level : {_SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE}) {
    if (const long bytes = sysconf(level); bytes > 0) return static_cast<std::uint64_t>(bytes);
  }
  return 0;
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
  info.cache_bytes = last_level_cache();
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
  if (bytes > 0) std::memmove(to, from, bytes);
}

void CpuBackend::fill(void* device, unsigned char value, std::size_t bytes) {
  if (bytes > 0) std::memset(device, value, bytes);
}

std::unique_ptr<Stopwatch> CpuBackend::make_stopwatch() {
  return std::make_unique<WallStopwatch>();
}

}  // namespace hourglass::cpu
