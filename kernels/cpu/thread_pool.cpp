#include "kernels/cpu/thread_pool.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hourglass::cpu {
namespace {

// Longer than the gaps between the operations of a step, far shorter than a scheduler's slice. By
// the clock, since the length of a pause differs tenfold between processors.
constexpr std::chrono::microseconds spinning_time{50};
constexpr int pauses_per_look_at_the_clock = 32;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

/// Returns the value once it differs from `old`: spins, then sleeps in the kernel.
template <class T>
T wait_while(const std::atomic<T>& value, T old) {
  const auto sleep_at = std::chrono::steady_clock::now() + spinning_time;
  do {
    for (int i = 0; i < pauses_per_look_at_the_clock; ++i) {
      if (const T now = value.load(std::memory_order_acquire); now != old) return now;
      pause();
    }
  } while (std::chrono::steady_clock::now() < sleep_at);
  for (;;) {
    if (const T now = value.load(std::memory_order_acquire); now != old) return now;
    value.wait(old, std::memory_order_acquire);
  }
}

}  // namespace

Range split(std::int64_t count, int part, int parts, std::int64_t grain) {
  const std::int64_t grains = (count + grain - 1) / grain;
  const std::int64_t begin = grains * part / parts * grain;
  const std::int64_t end = grains * (part + 1) / parts * grain;
  return {std::min(begin, count), std::min(end, count)};
}

ThreadPool::ThreadPool(int threads) : threads_(std::max(1, threads)) {
  next_part_.store(static_cast<std::uint32_t>(threads_));  // none to take
  workers_.reserve(static_cast<std::size_t>(threads_ - 1));
  try {
    for (int i = 1; i < threads_; ++i)
      workers_.emplace_back([this] { work(); });
  } catch (...) {  // the system has no more threads to give; those that run must be joined
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_)
    worker.join();
}

void ThreadPool::dispatch(Task task, void* context) {
  if (unfinished_.load(std::memory_order_relaxed) != 0) {
    throw std::logic_error("ThreadPool::run called from within run");
  }
  task_ = task;
  context_ = context;
  unfinished_.store(threads_, std::memory_order_relaxed);
  const std::uint32_t round = round_.load(std::memory_order_relaxed) + 1;
  next_part_.store(std::uint64_t{round} << 32, std::memory_order_release);
  round_.store(round, std::memory_order_release);
  round_.notify_all();
  take_parts();
  for (std::int32_t left = unfinished_.load(std::memory_order_acquire); left != 0;)
    left = wait_while(unfinished_, left);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::take_parts() {
  // A successful exchange means that the round is still on and cannot end before this part is done:
  // task_ and context_ are those of the round. A thread that comes late, with the value of a round
  // that is over, fails, since the round is in the value.
  std::uint64_t next = next_part_.load(std::memory_order_acquire);
  for (;;) {
    const auto part = static_cast<int>(next & 0xFFFFFFFFu);
    if (part >= threads_) return;
    if (!next_part_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire)) {
      continue;
    }
    try {
      task_(context_, part);
    } catch (...) {
      const std::lock_guard lock(failure_mutex_);
      if (!failure_ || part < failed_part_) {
        failure_ = std::current_exception();
        failed_part_ = part;
      }
    }
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    next = next_part_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work() {
  std::uint32_t round = 0;
  for (;;) {
    round = wait_while(round_, round);
    if (stop_.load(std::memory_order_relaxed)) return;
    take_parts();
  }
}

}  // namespace hourglass::cpu
