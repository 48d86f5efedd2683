#include "tests/sim/model.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <bit>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/sim/fiber.hpp"
#include "tests/sim/include/cuda_runtime.h"
#include "tests/sim/watch.hpp"

namespace hourglass::sim {
namespace {

constexpr unsigned most_threads = 1024;
constexpr unsigned warp_lanes = 32;
constexpr std::size_t canary_bytes = 16;
constexpr unsigned char canary_value = 0xc5;
constexpr unsigned char poison_value = 0xff;  // in four or eight bytes: NaN
constexpr std::size_t stack_bytes = (HOURGLASS_SIM_ASAN || HOURGLASS_SIM_TSAN ? 256 : 64) * 1024;
constexpr unsigned most_cooperative_blocks = 64;  // each is a thread of the operating system

std::string describe(const Place& place) {
  return std::string(place.call) + " at " + place.file + ":" + std::to_string(place.line);
}

std::string describe(const Extent& at) {
  return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) +
         ")";
}

/// The i-th point of an extent.
Extent point(const Extent& extent, std::uint64_t i) {
  return {static_cast<unsigned>(i % extent.x), static_cast<unsigned>(i / extent.x % extent.y),
          static_cast<unsigned>(i / extent.x / extent.y)};
}

/// Marsaglia's xorshift: the same shuffles on every machine.
class Shuffle {
 public:
  explicit Shuffle(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  std::uint64_t below(std::uint64_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % bound;
  }

 private:
  std::uint64_t state_;
};

template <class T>
std::vector<T> in_order(Order order, std::size_t count, Shuffle& shuffle) {
  std::vector<T> items(count);
  for (std::size_t i = 0; i < count; ++i)
    items[i] = static_cast<T>(order == Order::reverse ? count - 1 - i : i);
  if (order == Order::shuffled) {
    for (std::size_t i = count; i > 1; --i)
      std::swap(items[i - 1], items[shuffle.below(i)]);
  }
  return items;
}

/// What the blocks of a cooperative grid share.
struct Cooperation {
  explicit Cooperation(unsigned blocks) : barrier(blocks) {}
  std::barrier<> barrier;
  std::atomic<bool> failed = false;
  char order = 0;  ///< the address of ThreadSanitizer's edges
};

char fence_order = 0;

/// The fibers of a thread of the operating system, kept from launch to launch: to map a stack takes
/// longer than to run most threads.
struct Fibers {
  std::vector<std::unique_ptr<Fiber>> all;
  std::vector<Fiber*> idle;
};
thread_local Fibers fibers;

/// Runs blocks, one at a time, on one thread of the operating system.
class BlockRunner {
 public:
  BlockRunner(const Launch& launch, const std::function<void()>& thread, Cooperation* cooperation);
  ~BlockRunner();

  void run(const Extent& block);

  int barrier(bool predicate, Place place);
  void grid_barrier(Place place);
  std::uint64_t collective(unsigned mask, std::uint64_t value, int operand, Combine combine,
                           Place place);
  void* warp_address() { return &warps_[current_ / warp_lanes]; }
  void* dynamic_shared() { return dynamic_.get(); }

 private:
  enum class State { not_started, ready, running, at_barrier, in_warp, at_grid_barrier, ended };
  struct Thread {
    Fiber* fiber = nullptr;
    Extent index;
    State state = State::not_started;
    Place place{};
    unsigned mask = 0;  ///< of the collective that it waits for
    Combine combine = nullptr;
  };
  struct Warp {
    unsigned live = 0;
    unsigned arrived = 0;
    std::array<Lane, warp_lanes> lanes;
  };

  static void fiber_main();
  void enter(unsigned thread);
  void leave(Fiber& from, unsigned to);
  void wait_as(State state);
  [[noreturn]] void fail(std::string what);
  int next_ready();
  void make_ready(unsigned thread);
  void release(State state);
  void thread_ended();
  void open_barrier();
  bool complete_collective(unsigned warp, unsigned mask);
  void prepare_memory();
  void check_memory();
  [[nodiscard]] std::string deadlock() const;
  [[nodiscard]] std::string where() const;
  [[nodiscard]] std::string missing_at_barrier() const;

  const Launch& launch_;
  const std::function<void()>& thread_body_;
  Cooperation* cooperation_;
  unsigned thread_count_;
  Shuffle shuffle_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> order_;
  std::vector<unsigned> ready_;  ///< a queue that begins at ready_begin_
  std::size_t ready_begin_ = 0;
  unsigned started_ = 0;
  unsigned live_ = 0;
  unsigned waiting_ = 0;  ///< at the block's barrier
  unsigned waiting_for_grid_ = 0;
  int predicates_ = 0;
  int barrier_result_ = 0;
  Place barrier_place_{};
  unsigned current_ = 0;  ///< thread that runs
  std::string fault_;
  std::unique_ptr<unsigned char[]> dynamic_;

  Fiber host_;  ///< run()
  Fiber* running_ = nullptr;
  // Addresses of ThreadSanitizer's edges. Two for barriers: a thread may leave one and come to the
  // next before others have left the first.
  char start_order_ = 0;
  char end_order_ = 0;
  std::array<char, 2> barrier_order_{};
  unsigned barriers_passed_ = 0;
};

constinit thread_local BlockRunner* runner = nullptr;

BlockRunner::BlockRunner(const Launch& launch, const std::function<void()>& thread,
                         Cooperation* cooperation)
    : launch_(launch),
      thread_body_(thread),
      cooperation_(cooperation),
      thread_count_(static_cast<unsigned>(launch.block.count())),
      shuffle_(1),
      threads_(thread_count_),
      warps_((thread_count_ + warp_lanes - 1) / warp_lanes),
      dynamic_(new unsigned char[launch.shared_bytes + canary_bytes]) {
  for (unsigned i = 0; i < thread_count_; ++i)
    threads_[i].index = point(launch.block, i);
  runner = this;
  blockDim = dim3(launch.block.x, launch.block.y, launch.block.z);
  gridDim = dim3(launch.grid.x, launch.grid.y, launch.grid.z);
  // To ThreadSanitizer every CUDA thread is one fiber, which inherits what its maker has seen: all
  // are made here, before the first runs. Otherwise fibers are made when threads wait, since one
  // that has run to its end serves for the next thread.
  if (HOURGLASS_SIM_TSAN) {
    while (fibers.all.size() < thread_count_)
      fibers.all.push_back(std::make_unique<Fiber>(stack_bytes, &BlockRunner::fiber_main));
  }
}

BlockRunner::~BlockRunner() {
  runner = nullptr;
}

void BlockRunner::run(const Extent& block) {
  blockIdx = {block.x, block.y, block.z};
  order_ = in_order<unsigned>(launch_.order, thread_count_, shuffle_);
  for (Thread& thread : threads_)
    thread.state = State::not_started;
  for (unsigned w = 0; w < warps_.size(); ++w) {
    const unsigned lanes = std::min(thread_count_ - w * warp_lanes, warp_lanes);
    warps_[w].live = lanes == warp_lanes ? ~0u : (1u << lanes) - 1;
    warps_[w].arrived = 0;
  }
  ready_.clear();
  ready_begin_ = 0;
  started_ = waiting_ = waiting_for_grid_ = 0;
  live_ = thread_count_;
  predicates_ = 0;
  prepare_memory();

  release_order(&start_order_);
  running_ = &host_;
  leave(host_, static_cast<unsigned>(next_ready()));
  acquire_order(&end_order_);

  if (fault_.empty() && live_ > 0) fault_ = deadlock();
  check_memory();
  if (!fault_.empty()) {
    // The threads that wait will never go on, nor will their stacks be of use.
    fibers.idle.clear();
    fibers.all.clear();
    throw Fault(fault_);
  }
}

void BlockRunner::prepare_memory() {
  unsigned char* memory = dynamic_.get();
  const std::size_t bytes = launch_.shared_bytes;
  std::memset(memory, poison_value, bytes);
  std::memset(memory + bytes, canary_value, canary_bytes);
#if HOURGLASS_SIM_ASAN
  __asan_poison_memory_region(memory + (bytes + 7) / 8 * 8, 8);
#endif
  VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes);
  VALGRIND_MAKE_MEM_NOACCESS(memory + bytes, canary_bytes);
  poison_shared_variables();
}

void BlockRunner::check_memory() {
  const unsigned char* canary = dynamic_.get() + launch_.shared_bytes;
#if HOURGLASS_SIM_ASAN
  __asan_unpoison_memory_region(dynamic_.get(), launch_.shared_bytes + canary_bytes);
#endif
  VALGRIND_MAKE_MEM_DEFINED(canary, canary_bytes);
  const bool intact = std::all_of(canary, canary + canary_bytes,
                                  [](unsigned char byte) { return byte == canary_value; });
  if (fault_.empty() && !intact) {
    fault_ = where() + ": a write past the end of the " + std::to_string(launch_.shared_bytes) +
             " bytes of dynamic shared memory";
  }
}

std::string BlockRunner::where() const {
  return "kernel " + launch_.kernel + ", block " +
         describe(Extent{blockIdx.x, blockIdx.y, blockIdx.z});
}

std::string BlockRunner::deadlock() const {
  std::string text = where() + ": deadlock, " + std::to_string(live_) + " of " +
                     std::to_string(thread_count_) + " threads wait:";
  std::vector<std::string> places;
  for (unsigned i = 0; i < thread_count_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == State::ended) continue;
    const std::string place = describe(thread.place);
    if (std::find(places.begin(), places.end(), place) != places.end()) continue;
    text += (places.empty() ? " thread " : "; thread ") + std::to_string(i) + " in " + place;
    places.push_back(place);
  }
  return text;
}

std::string BlockRunner::missing_at_barrier() const {
  return where() + ": " + describe(barrier_place_) + " is not reached by " +
         std::to_string(thread_count_ - live_) + " of " + std::to_string(thread_count_) +
         " threads, which have returned";
}

// ---- who runs ----

/// Every fiber runs this: one CUDA thread after the other.
void BlockRunner::fiber_main() {
  for (;;) {
    BlockRunner& block = *runner;
    acquire_order(&block.start_order_);
    block.thread_body_();
    release_order(&block.end_order_);
    const Unobserved unobserved;
    block.thread_ended();
    const int next = block.fault_.empty() ? block.next_ready() : -1;
    if (!HOURGLASS_SIM_TSAN && next >= 0 &&
        block.threads_[static_cast<unsigned>(next)].state == State::not_started) {
      block.threads_[static_cast<unsigned>(next)].fiber = block.running_;
      block.enter(static_cast<unsigned>(next));
      continue;
    }
    Fiber& self = *block.running_;
    fibers.idle.push_back(&self);
    if (next < 0) {
      block.running_ = &block.host_;
      self.switch_to(block.host_);
    } else {
      block.leave(self, static_cast<unsigned>(next));
    }
  }
}

void BlockRunner::enter(unsigned thread) {
  current_ = thread;
  threads_[thread].state = State::running;
  const Extent& index = threads_[thread].index;
  threadIdx = {index.x, index.y, index.z};
}

/// Hands over to a thread that can run; returns when `from` is handed back to.
void BlockRunner::leave(Fiber& from, unsigned to) {
  Thread& thread = threads_[to];
  if (thread.state == State::not_started) {
    if (HOURGLASS_SIM_TSAN) {
      thread.fiber = fibers.all[to].get();
    } else if (fibers.idle.empty()) {
      fibers.all.push_back(std::make_unique<Fiber>(stack_bytes, &BlockRunner::fiber_main));
      thread.fiber = fibers.all.back().get();
    } else {
      thread.fiber = fibers.idle.back();
      fibers.idle.pop_back();
    }
  }
  enter(to);
  running_ = thread.fiber;
  from.switch_to(*thread.fiber);
}

/// The running thread waits until another makes it ready.
void BlockRunner::wait_as(State state) {
  Fiber& self = *running_;
  threads_[current_].state = state;
  const int next = next_ready();
  if (next >= 0) return leave(self, static_cast<unsigned>(next));
  running_ = &host_;
  self.switch_to(host_);
}

/// Ends the block; the stacks of its threads are given up as they are.
void BlockRunner::fail(std::string what) {
  if (fault_.empty()) fault_ = std::move(what);
  Fiber& self = *running_;
  running_ = &host_;
  for (;;)
    self.switch_to(host_);
}

/// A thread that can run, or -1.
int BlockRunner::next_ready() {
  if (ready_begin_ < ready_.size()) {
    if (launch_.order == Order::shuffled) {
      const std::size_t other = ready_begin_ + shuffle_.below(ready_.size() - ready_begin_);
      std::swap(ready_[ready_begin_], ready_[other]);
    }
    return static_cast<int>(ready_[ready_begin_++]);
  }
  ready_.clear();
  ready_begin_ = 0;
  return started_ < thread_count_ ? static_cast<int>(order_[started_++]) : -1;
}

void BlockRunner::make_ready(unsigned thread) {
  threads_[thread].state = State::ready;
  ready_.push_back(thread);
}

void BlockRunner::release(State state) {
  for (const unsigned thread : order_) {
    if (threads_[thread].state == state) make_ready(thread);
  }
}

void BlockRunner::thread_ended() {
  threads_[current_].state = State::ended;
  --live_;
  Warp& warp = warps_[current_ / warp_lanes];
  warp.live &= ~(1u << (current_ % warp_lanes));
  if (warp.arrived != 0) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(warp.arrived));
    complete_collective(current_ / warp_lanes,
                        threads_[current_ / warp_lanes * warp_lanes + lane].mask);
  }
  if (waiting_ > 0 && fault_.empty()) fault_ = missing_at_barrier();
}

// ---- barriers ----

int BlockRunner::barrier(bool predicate, Place place) {
  char* order = &barrier_order_[barriers_passed_ % 2];
  if (waiting_ == 0) {
    barrier_place_ = place;
  } else if (place.line != barrier_place_.line ||
             (place.file != barrier_place_.file &&
              std::strcmp(place.file, barrier_place_.file) != 0)) {
    fail(where() + ": threads wait at different barriers, " + describe(barrier_place_) + " and " +
         describe(place));
  }
  if (live_ != thread_count_) fail(missing_at_barrier());
  threads_[current_].place = place;
  predicates_ += predicate ? 1 : 0;
  release_order(order);
  if (++waiting_ == live_) {
    open_barrier();
  } else {
    wait_as(State::at_barrier);
  }
  acquire_order(order);
  return barrier_result_;
}

void BlockRunner::open_barrier() {
  ++barriers_passed_;
  barrier_result_ = std::exchange(predicates_, 0);
  waiting_ = 0;
  release(State::at_barrier);
}

void BlockRunner::grid_barrier(Place place) {
  if (cooperation_ == nullptr) {
    fail(where() + ": " + describe(place) + " in a launch that is not cooperative");
  }
  if (live_ != thread_count_) {
    fail(where() + ": " + describe(place) + " after some threads have returned");
  }
  threads_[current_].place = place;
  release_order(&cooperation_->order);
  if (++waiting_for_grid_ < thread_count_) {
    wait_as(State::at_grid_barrier);
  } else {
    waiting_for_grid_ = 0;
    cooperation_->barrier.arrive_and_wait();
    if (cooperation_->failed) fail("another block failed");
    release(State::at_grid_barrier);
  }
  acquire_order(&cooperation_->order);
}

// ---- warps ----

std::uint64_t BlockRunner::collective(unsigned mask, std::uint64_t value, int operand,
                                      Combine combine, Place place) {
  const unsigned me = current_;
  const unsigned lane = me % warp_lanes;
  Warp& warp = warps_[me / warp_lanes];
  Thread& thread = threads_[me];
  if ((mask >> lane & 1) == 0) {
    fail(where() + ": " + describe(place) + ": lane " + std::to_string(lane) +
         " is not in its own mask");
  }
  thread.mask = mask;
  thread.place = place;
  thread.combine = combine;
  warp.lanes[lane].value = value;
  warp.lanes[lane].operand = operand;
  warp.arrived |= 1u << lane;
  if (!complete_collective(me / warp_lanes, mask)) {
    if (!fault_.empty()) fail("");
    wait_as(State::in_warp);
  }
  return warp.lanes[lane].result;
}

/// Whether all lanes of the mask that have not returned are there: their results are then computed
/// and they can go on.
bool BlockRunner::complete_collective(unsigned warp_index, unsigned mask) {
  Warp& warp = warps_[warp_index];
  const unsigned expected = mask & warp.live;
  if (expected == 0 || (warp.arrived & expected) != expected) return false;
  const unsigned base = warp_index * warp_lanes;
  const Thread& first = threads_[base + static_cast<unsigned>(std::countr_zero(expected))];
  for (unsigned rest = expected; rest != 0; rest &= rest - 1) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(rest));
    const Thread& other = threads_[base + lane];
    if (other.mask != first.mask || other.combine != first.combine) {
      fault_ = where() + ": the lanes of a warp are in different collectives, lane " +
               std::to_string(std::countr_zero(expected)) + " in " + describe(first.place) +
               " and lane " + std::to_string(lane) + " in " + describe(other.place);
      return false;
    }
  }
  const std::string problem = first.combine(warp.lanes.data(), expected, warp.live);
  if (!problem.empty()) {
    fault_ = where() + ": " + describe(first.place) + ": " + problem;
    return false;
  }
  warp.arrived &= ~expected;
  for (unsigned rest = expected; rest != 0; rest &= rest - 1) {
    const unsigned thread = base + static_cast<unsigned>(std::countr_zero(rest));
    if (thread != current_) make_ready(thread);
  }
  return true;
}

std::set<std::string>& names_of_kernels_run() {
  static std::set<std::string> names;
  return names;
}

void run_blocks_in_turn(const Launch& launch, const std::function<void()>& thread) {
  BlockRunner block(launch, thread, nullptr);
  Shuffle shuffle(2);
  const auto count = static_cast<std::size_t>(launch.grid.count());
  for (const std::uint64_t i : in_order<std::uint64_t>(launch.order, count, shuffle))
    block.run(point(launch.grid, i));
}

void run_blocks_together(const Launch& launch, const std::function<void()>& thread) {
  const auto blocks = static_cast<unsigned>(launch.grid.count());
  if (blocks > most_cooperative_blocks) {
    throw Fault("kernel " + launch.kernel + ": " + std::to_string(blocks) +
                " blocks of a cooperative grid; the model runs at most " +
                std::to_string(most_cooperative_blocks));
  }
  Cooperation cooperation(blocks);
  std::mutex mutex;
  std::string fault;
  std::vector<std::thread> runners;
  for (unsigned i = 0; i < blocks; ++i) {
    runners.emplace_back([&, i] {
      const Unobserved unobserved;
      BlockRunner block(launch, thread, &cooperation);
      try {
        block.run(point(launch.grid, i));
      } catch (const Fault& error) {
        const std::lock_guard lock(mutex);
        if (fault.empty()) fault = error.what();
        cooperation.failed = true;
      }
      cooperation.barrier.arrive_and_drop();
    });
  }
  for (std::thread& one : runners)
    one.join();
  if (!fault.empty()) throw Fault(fault);
}

}  // namespace

const std::set<std::string>& kernels_run() {
  return names_of_kernels_run();
}

void run_grid(const Launch& launch, const std::function<void()>& thread) {
  const Unobserved unobserved;
  if (launch.block.count() > most_threads || launch.block.count() == 0) {
    throw Fault("kernel " + launch.kernel + ": blocks of " + std::to_string(launch.block.count()) +
                " threads");
  }
  names_of_kernels_run().insert(launch.kernel);
  if (launch.cooperative) {
    run_blocks_together(launch, thread);
  } else {
    run_blocks_in_turn(launch, thread);
  }
}

int block_barrier(bool predicate, Place place) {
  const Unobserved unobserved;
  return runner->barrier(predicate, place);
}

void grid_barrier(Place place) {
  const Unobserved unobserved;
  runner->grid_barrier(place);
}

std::uint64_t warp_collective(unsigned mask, std::uint64_t value, int operand, Combine combine,
                              Place place) {
  const Unobserved unobserved;
  return runner->collective(mask, value, operand, combine, place);
}

void warp_barrier(unsigned mask, Place place) {
  const Unobserved unobserved;
  void* const order = runner->warp_address();
  release_order(order);
  runner->collective(
      mask, 0, 0, [](Lane*, unsigned, unsigned) { return std::string(); }, place);
  acquire_order(order);
}

void memory_fence() {
  release_order(&fence_order);
  acquire_order(&fence_order);
}

void* dynamic_shared() {
  return runner->dynamic_shared();
}

}  // namespace hourglass::sim
