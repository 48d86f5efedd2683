// A CPU backend that remembers its ranges and can be told how much memory is free, and a Device
// over it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hourglass/device.hpp"
#include "kernels/cpu/backend.hpp"
#include "tests/oracle/forwarding_backend.hpp"

namespace hourglass::testing_support {

/// What a RecordingBackend has seen. Outlives it.
struct Record {
  std::vector<std::string> open;            ///< ranges that have begun and not ended
  std::map<std::string, int> ranges;        ///< how often: "train/epoch/step", by nesting
  int unmatched_ends = 0;                   ///< ends without a beginning
  int allocations = 0;                      ///< calls of allocate()
  std::optional<std::uint64_t> free_bytes;  ///< what info() is to say; the CPU's own where unset
  std::optional<std::string> backend_name;  ///< likewise: "cuda" makes plans those of a GPU
};

class RecordingBackend final : public ForwardingBackend {
 public:
  RecordingBackend(std::shared_ptr<Record> record, int threads)
      : ForwardingBackend(std::make_unique<cpu::CpuBackend>(threads)), record_(std::move(record)) {}

  [[nodiscard]] BackendInfo info() const override {
    BackendInfo info = inner().info();
    if (record_->free_bytes) info.free_bytes = *record_->free_bytes;
    if (record_->backend_name) {
      info.backend = *record_->backend_name;
      info.host_memory = info.tree = info.backend == "cpu";
    }
    return info;
  }
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    ++record_->allocations;
    return inner().allocate(bytes);
  }
  void begin_range(const char* name) noexcept override {
    record_->open.emplace_back(name);
    std::string path;
    for (const std::string& range : record_->open)
      path += (path.empty() ? "" : "/") + range;
    ++record_->ranges[path];
  }
  void end_range() noexcept override {
    if (record_->open.empty()) {
      ++record_->unmatched_ends;
    } else {
      record_->open.pop_back();
    }
  }

 private:
  std::shared_ptr<Record> record_;
};

inline Device recording_device(const std::shared_ptr<Record>& record, int threads = 1,
                               const std::string& id = "cpu") {
  return Device::over(std::make_unique<RecordingBackend>(record, threads), id);
}

}  // namespace hourglass::testing_support
