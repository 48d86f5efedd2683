// Threads that stay alive between operations. A training step of a small autoencoder takes less
// than a millisecond and has a dozen parallel regions, so workers spin for a moment before they
// sleep.
//
// Work is split statically into as many parts as there are threads, so that what a part computes
// depends on the sizes and the number of threads alone, which keeps results equal from run to run.
// Which thread takes a part is left open: the caller goes on with the parts that nobody has taken,
// so that a worker that sleeps, or that has lost its processor to another program, holds up
// nothing.
//
// Not OpenMP: its runtime is opaque to ThreadSanitizer, and its spinning is set by the environment,
// not by the caller.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace hourglass::cpu {

struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
};

/// The part of [0, count) that `part` of `parts` gets, in whole multiples of `grain` but for the
/// last.
Range split(std::int64_t count, int part, int parts, std::int64_t grain = 1);

class ThreadPool {
 public:
  /// `threads` in all, the calling thread included; at least 1. Throws std::system_error where the
  /// system has not so many.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  [[nodiscard]] int threads() const { return threads_; }

  /// Calls body(part) once for every part = 0 .. threads() - 1, on any of the threads; returns when
  /// all are done. If parts throw, the exception of the lowest of them is thrown again here. A body
  /// must not call run itself (std::logic_error).
  template <class Body>
  void run(Body&& body) {
    if (threads_ == 1) {
      body(0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    dispatch([](void* context, int part) { (*static_cast<Plain*>(context))(part); },
             const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Splits [0, count) over the threads in multiples of `grain` and calls body(begin, end, part)
  /// for every part that is not empty. Work below `serial_below` elements stays on the calling
  /// thread, in one part.
  template <class Body>
  void for_ranges(std::int64_t count, std::int64_t grain, std::int64_t serial_below, Body&& body) {
    if (count <= 0) return;
    if (threads_ == 1 || count < serial_below) {
      body(std::int64_t{0}, count, 0);
      return;
    }
    run([&](int part) {
      const Range range = split(count, part, threads_, grain);
      if (range.size() > 0) body(range.begin, range.end, part);
    });
  }

  /// Hands out chunks of [0, count) to whichever thread is free: for work whose cost varies. The
  /// results must not depend on which thread takes a chunk.
  template <class Body>
  void for_chunks(std::int64_t count, std::int64_t chunk, Body&& body) {
    if (count <= 0) return;
    std::atomic<std::int64_t> next{0};
    run([&](int part) {
      for (;;) {
        const std::int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
        if (begin >= count) break;
        body(begin, begin + chunk < count ? begin + chunk : count, part);
      }
    });
  }

 private:
  using Task = void (*)(void* context, int part);
  void dispatch(Task task, void* context);
  void take_parts();
  void work();
  void stop() noexcept;

  int threads_;
  Task task_ = nullptr;
  void* context_ = nullptr;
  // Each on its own cache line: workers poll `round_`, the caller polls `unfinished_`.
  alignas(64) std::atomic<std::uint32_t> round_{0};
  /// The round in the upper half, the next part that nobody has taken in the lower.
  alignas(64) std::atomic<std::uint64_t> next_part_{0};
  alignas(64) std::atomic<std::int32_t> unfinished_{0};
  alignas(64) std::atomic<bool> stop_{false};
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
  int failed_part_ = 0;
  std::vector<std::thread> workers_;
};

}  // namespace hourglass::cpu
