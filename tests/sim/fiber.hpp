// A stack with a thread of control of its own, to which another can hand over and be handed back.
//
// Boost.Context does the switch. AddressSanitizer and ThreadSanitizer are told of every one: the
// former follows the stacks, the latter takes each fiber for a thread and a switch for no
// synchronisation, so that it finds races between fibers although they never run at the same time.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define HOURGLASS_SIM_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define HOURGLASS_SIM_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOURGLASS_SIM_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define HOURGLASS_SIM_TSAN 1
#endif
#endif
#if !defined(HOURGLASS_SIM_ASAN)
#define HOURGLASS_SIM_ASAN 0
#endif
#if !defined(HOURGLASS_SIM_TSAN)
#define HOURGLASS_SIM_TSAN 0
#endif

namespace hourglass::sim {

class Fiber {
 public:
  /// The caller's own stack: what the first switch leaves and the last comes back to.
  Fiber();
  /// A new stack with a page below it that may not be touched. The first switch to it calls
  /// `entry`, which must not return. Throws std::bad_alloc.
  Fiber(std::size_t stack_bytes, void (*entry)());
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  /// A fiber that was ever switched to must have left inside one Unobserved.
  ~Fiber();

  /// Hands over from this fiber, which is the one that runs, to `next`. Returns when another fiber
  /// hands back.
  void switch_to(Fiber& next);

 private:
  struct Arrival;
  static void arrive(const Arrival& arrival);
  static void start(void* context, void* data);
  friend struct FiberStart;

  void* context_ = nullptr;
  void (*entry_)() = nullptr;
  bool started_ = false;
  std::byte* stack_ = nullptr;  ///< lowest address; null: not ours
  std::size_t stack_bytes_ = 0;
  unsigned valgrind_id_ = 0;
  void* sanitizer_fiber_ = nullptr;  ///< ThreadSanitizer's
  void* fake_stack_ = nullptr;       ///< AddressSanitizer's
  const void* shown_stack_ = nullptr;
  std::size_t shown_bytes_ = 0;
};

/// While one lives, ThreadSanitizer does not look: the model's own bookkeeping is not the kernel's.
class Unobserved {
 public:
  Unobserved();
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;
  ~Unobserved();
};

/// Happens-before edges for ThreadSanitizer: what came before a release of an address is seen by
/// what comes after a later acquire of it. Nothing in other builds.
void release_order(void* address);
void acquire_order(void* address);

}  // namespace hourglass::sim
