// How a MemoryPlan is made: the allocations of a piece of work, told in their order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/workspace.hpp"
#include "hourglass/memory.hpp"

namespace hourglass {

/// What is held of the device's memory at one moment of the work, and the largest sum so far. A
/// Held lives as long as the buffer that it stands for, so that a plan has the scopes of the code
/// that it is made for:
///   MemoryTimeline memory(device);
///   const auto rows = memory.hold("data", bytes_of<float>({n, d}));
///   memory.run(memory.operations().covariance(n, d));
///   return memory.plan("PCA of ...", "use fewer columns");
class MemoryTimeline {
 public:
  explicit MemoryTimeline(const DeviceInfo& device)
      : on_host_(device.host_memory),
        threads_(device.threads),
        operations_(on_host_, device.threads) {}
  MemoryTimeline(const MemoryTimeline&) = delete;
  MemoryTimeline& operator=(const MemoryTimeline&) = delete;

  class [[nodiscard]] Held {
   public:
    Held() = default;
    Held(MemoryTimeline& timeline, std::size_t part, std::uint64_t bytes)
        : timeline_(&timeline), part_(part), bytes_(bytes) {}
    Held(Held&& other) noexcept { swap(other); }
    Held& operator=(Held&& other) noexcept {
      Held taken(std::move(other));
      swap(taken);
      return *this;
    }
    ~Held() { release(); }
    void release() {
      if (timeline_ != nullptr) timeline_->drop(part_, bytes_);
      timeline_ = nullptr;
    }

   private:
    void swap(Held& other) noexcept {
      std::swap(timeline_, other.timeline_);
      std::swap(part_, other.part_);
      std::swap(bytes_, other.bytes_);
    }
    MemoryTimeline* timeline_ = nullptr;
    std::size_t part_ = 0;
    std::uint64_t bytes_ = 0;
  };

  /// A buffer of the device. Equal names make one part of the plan.
  Held hold(std::string_view name, std::uint64_t bytes);
  /// Memory of the host, which counts where the device's is the same.
  Held hold_on_host(std::string_view name, std::uint64_t bytes);
  /// An operation.
  void run(const Workspace& workspace);

  /// Whether the device's memory is the host's.
  [[nodiscard]] bool on_host() const { return on_host_; }
  /// Threads of the host that compute.
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] const WorkspaceModel& operations() const { return operations_; }
  /// The plan of all that was told so far.
  [[nodiscard]] MemoryPlan plan(std::string work, std::string advice) const;

 private:
  void add(std::size_t part, std::uint64_t bytes);
  void drop(std::size_t part, std::uint64_t bytes);
  std::size_t part(std::string_view name);

  bool on_host_;
  int threads_;
  WorkspaceModel operations_;
  std::vector<MemoryPart> now_;
  std::uint64_t total_ = 0;
  std::vector<MemoryPart> most_;
  std::uint64_t most_total_ = 0;
  std::uint64_t scratch_ = 0;  // what the backend keeps for its operations
};

/// The bytes of the values as they lie in a dataset.
[[nodiscard]] std::uint64_t bytes_of(const DataShape& shape);

/// "60,000 x 784".
[[nodiscard]] std::string size_text(const DataShape& shape);

}  // namespace hourglass
