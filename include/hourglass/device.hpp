// Where the work is done. A Device is opened once and passed to everything that computes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hourglass {

class Backend;  // kernels/backend.hpp, internal

struct DeviceInfo {
  std::string id;                  ///< what --device takes: "cpu", "cuda:0"
  std::string backend;             ///< "cpu" or "cuda"
  std::string name;                ///< the processor's or GPU's name
  int threads = 1;                 ///< host threads that compute
  std::uint64_t memory_bytes = 0;  ///< in all
  std::uint64_t free_bytes = 0;    ///< of these, when the device was asked; 0 where it is not known
  bool host_memory = false;        ///< its memory is the host's
  bool tree = false;               ///< it has TsneMethod::tree
};

/// What `hourglass devices` shows.
struct DeviceList {
  std::vector<DeviceInfo> devices;  ///< the CPU, then every usable GPU
  std::string no_cuda_reason;       ///< why a GPU is not among them; empty where all are
};

class Device {
 public:
  /// `id`: "cpu"; "cuda:N", that GPU; "cuda", the GPU with the most free memory, of equals the one
  /// with the lower number; "auto", the same, else the CPU. A GPU that cannot be described or
  /// opened is passed over, unless it was named. `threads` 0: every processor that this process may
  /// run on. Throws UsageError for another id, DeviceError where the device is not there (the
  /// message says why).
  static Device open(const std::string& id = "auto", int threads = 0);

  /// A device of a backend that the caller has made.
  static Device over(std::unique_ptr<Backend> backend, const std::string& id);

  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;
  ~Device();

  /// Devices that together use what this one has, for pieces of work that do not depend on one
  /// another: of a CPU of N threads up to `most` devices of one thread each, every one of which
  /// computes what a device of one thread does, bit for bit. Empty where the device does not divide
  /// (a GPU, a single thread) and where `most` is below 2: it is then to do the work by itself.
  /// While lanes work this device should not.
  [[nodiscard]] std::vector<Device> lanes(int most) const;

  [[nodiscard]] const DeviceInfo& info() const { return info_; }
  /// Why this device: "cpu: no CUDA device (...)", "cuda:1: the GPU with the most free memory, 70.1
  /// of 80.0 GiB". For people; one line.
  [[nodiscard]] const std::string& choice() const { return choice_; }
  [[nodiscard]] Backend& backend() { return *backend_; }

 private:
  /// Makes a backend of so many threads.
  using MakeBackend = std::unique_ptr<Backend> (*)(int threads);

  Device() = default;
  /// Of a backend that is made of threads.
  static Device of_threads(MakeBackend make, int threads, const std::string& id);

  DeviceInfo info_;
  std::string choice_;
  std::unique_ptr<Backend> backend_;
  MakeBackend make_lane_ = nullptr;  ///< null where the device does not divide
};

DeviceList list_devices();

}  // namespace hourglass
