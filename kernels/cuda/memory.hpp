// Owners of streams, events and memory. Destructors ignore errors: the call that failed first has
// reported them.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cuda/error.hpp"

namespace hourglass::cuda {

/// A stream that does not wait for the legacy default stream.
class Stream {
 public:
  Stream() { HOURGLASS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }
  [[nodiscard]] cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Throws DeviceError, which says that `call` cannot be recorded and why, while `stream` is
/// captured (sequence.cpp).
void forbid_in_capture(cudaStream_t stream, const char* call, const char* reason);

/// An event that orders but does not time.
class Event {
 public:
  Event() { HOURGLASS_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  void record(cudaStream_t stream) { HOURGLASS_CUDA_CHECK(cudaEventRecord(event_, stream)); }
  void wait() { HOURGLASS_CUDA_CHECK(cudaEventSynchronize(event_)); }

 private:
  cudaEvent_t event_ = nullptr;
};

/// An event with a time stamp.
class TimedEvent {
 public:
  TimedEvent() { HOURGLASS_CUDA_CHECK(cudaEventCreate(&event_)); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
  ~TimedEvent() { cudaEventDestroy(event_); }
  void record(cudaStream_t stream) { HOURGLASS_CUDA_CHECK(cudaEventRecord(event_, stream)); }
  /// Since `start`, which was recorded before; waits for this one.
  [[nodiscard]] double seconds_since(const TimedEvent& start) const {
    HOURGLASS_CUDA_CHECK(cudaEventSynchronize(event_));
    float milliseconds = 0.0f;
    HOURGLASS_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.event_, event_));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Device memory in the order of one stream, from the device's memory pool where it has one: then
/// neither taking nor giving back waits for the GPU.
class Heap {
 public:
  Heap(int device, cudaStream_t stream);
  /// Aligned to 256 bytes. Throws DeviceError with what was asked for and what is free, or that the
  /// stream is captured: memory of a graph would be another at each run.
  [[nodiscard]] void* allocate(std::size_t bytes);
  void release(void* memory) noexcept;

 private:
  cudaStream_t stream_;
  bool pooled_ = false;
};

/// Bytes that `count` elements take in a Scratch reservation.
template <class T>
constexpr std::size_t padded(std::int64_t count) {
  std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
#if defined(HOURGLASS_SIM)
  bytes += 256;  // a gap behind every part, which nothing may touch
#endif
  return (bytes + 255) / 256 * 256;
}

/// Workspace of the operations of one stream, valid until the next reservation: operations run one
/// after the other, so all share it. It grows to the largest request and is kept, so that only the
/// first run of a sequence of operations allocates; blocks that were outgrown live as long as the
/// backend, because a captured graph may still write to them.
class Scratch {
 public:
  explicit Scratch(Heap& heap, cudaStream_t stream) : heap_(&heap), stream_(stream) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    for (void* block : blocks_)
      heap_->release(block);
  }

  /// One reservation, handed out in parts aligned to 256 bytes.
  class Region {
   public:
    Region(void* memory, std::size_t bytes) : next_(static_cast<char*>(memory)), left_(bytes) {}
    template <class T>
    [[nodiscard]] T* take(std::int64_t count) {
      const std::size_t bytes = padded<T>(count);
      require(bytes <= left_, "Scratch::Region::take", "no more taken than was reserved");
      left_ -= bytes;
#if defined(HOURGLASS_SIM)
      sim::guard_gap(next_ + static_cast<std::size_t>(count) * sizeof(T), next_ + bytes);
#endif
      return reinterpret_cast<T*>(std::exchange(next_, next_ + bytes));
    }

   private:
    char* next_;
    std::size_t left_;
  };

  /// At least `bytes` bytes (sum of padded()), contents undefined.
  [[nodiscard]] Region reserve(std::size_t bytes);

 private:
  Heap* heap_;
  cudaStream_t stream_;
  std::vector<void*> blocks_;  ///< the last one is in use
  std::size_t bytes_ = 0;      ///< of the last one
};

/// A ring of pinned host memory through which uploads go, so that the caller's memory is free on
/// return although the copy to the device has only been queued.
class UploadRing {
 public:
  UploadRing();
  UploadRing(const UploadRing&) = delete;
  UploadRing& operator=(const UploadRing&) = delete;
  ~UploadRing() { cudaFreeHost(memory_); }
  void upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream);

 private:
  static constexpr std::size_t slot_bytes =
      256 * 1024;  // long enough to hide the cost of a copy's start
  static constexpr std::size_t slots = 32;
  char* memory_ = nullptr;
  std::array<Event, slots> used_;
  std::size_t next_ = 0;
};

}  // namespace hourglass::cuda
