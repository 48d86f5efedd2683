#include "kernels/cpu/thread_pool.hpp"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hourglass::cpu {
namespace {

// About 20 microseconds: longer than the gaps between the operations of a step, far shorter than a
// scheduler's slice.
constexpr int spins_before_sleep = 4000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

/// Returns once *value differs from `old`: spins, then sleeps in the kernel.
template <class T>
T wait_while(const std::atomic<T>& value, T old) {
  for (int i = 0; i < spins_before_sleep; ++i) {
    if (const T now = value.load(std::memory_order_acquire); now != old) return now;
    pause();
  }
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
  workers_.reserve(static_cast<std::size_t>(threads_ - 1));
  for (int part = 1; part < threads_; ++part) {
    workers_.emplace_back([this, part] { work(part); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_)
    worker.join();
}

void ThreadPool::dispatch(Task task, void* context) {
  task_ = task;
  context_ = context;
  running_.store(threads_ - 1, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  std::exception_ptr own_failure;
  try {
    task(context, 0);
  } catch (...) {
    own_failure = std::current_exception();
  }
  for (std::int32_t left = running_.load(std::memory_order_acquire); left != 0;) {
    left = wait_while(running_, left);
  }
  std::exception_ptr failure = own_failure ? own_failure : failure_;
  failure_ = nullptr;
  if (failure) std::rethrow_exception(failure);
}

void ThreadPool::work(int part) {
  std::uint32_t round = 0;
  for (;;) {
    round = wait_while(round_, round);
    if (stop_.load(std::memory_order_relaxed)) return;
    try {
      task_(context_, part);
    } catch (...) {
      const std::lock_guard lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace hourglass::cpu
