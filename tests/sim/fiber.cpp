#include "tests/sim/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <new>

#if HOURGLASS_SIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if HOURGLASS_SIM_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define HOURGLASS_SIM_VALGRIND 1
#else
#define HOURGLASS_SIM_VALGRIND 0
#endif

namespace hourglass::sim {

namespace context = boost::context::detail;

/// What the leaving fiber tells the one that it hands over to.
struct Fiber::Arrival {
  Fiber* from;
  Fiber* to;
  void* from_context;
};

void Fiber::arrive(const Arrival& arrival) {
  arrival.from->context_ = arrival.from_context;
#if HOURGLASS_SIM_ASAN
  __sanitizer_finish_switch_fiber(arrival.to->fake_stack_, &arrival.from->shown_stack_,
                                  &arrival.from->shown_bytes_);
#endif
}

struct FiberStart {
  static void call(context::transfer_t transfer) { Fiber::start(transfer.fctx, transfer.data); }
};

void Fiber::start(void* context, void* data) {
  void (*entry)() = nullptr;
  {
    const Unobserved
        unobserved;  // what the leaving fiber has written is handed over, not raced for
    Arrival arrival = *static_cast<Arrival*>(data);
    arrival.from_context = context;
    arrive(arrival);
    arrival.to->started_ = true;
    entry = arrival.to->entry_;
  }
  entry();
}

Fiber::Fiber() {
#if HOURGLASS_SIM_TSAN
  sanitizer_fiber_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(std::size_t stack_bytes, void (*entry)()) : entry_(entry), stack_bytes_(stack_bytes) {
  void* memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  stack_ = static_cast<std::byte*>(memory);
  shown_stack_ = stack_;
  shown_bytes_ = stack_bytes;
  mprotect(memory, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE);
  context_ = context::make_fcontext(stack_ + stack_bytes, stack_bytes, &FiberStart::call);
#if HOURGLASS_SIM_VALGRIND
  valgrind_id_ = static_cast<unsigned>(VALGRIND_STACK_REGISTER(stack_, stack_ + stack_bytes));
#endif
#if HOURGLASS_SIM_TSAN
  sanitizer_fiber_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (stack_ == nullptr) return;
#if HOURGLASS_SIM_ASAN
  __asan_unpoison_memory_region(stack_, stack_bytes_);
#endif
#if HOURGLASS_SIM_VALGRIND
  VALGRIND_STACK_DEREGISTER(valgrind_id_);
#endif
#if HOURGLASS_SIM_TSAN
  if (started_) {  // it rests inside one Unobserved, which must not outlive it
    void* const self = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(sanitizer_fiber_, __tsan_switch_to_fiber_no_sync);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    __tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync);
  }
  __tsan_destroy_fiber(sanitizer_fiber_);
#endif
  munmap(stack_, stack_bytes_);
}

void Fiber::switch_to(Fiber& next) {
  Arrival arrival{this, &next, nullptr};
#if HOURGLASS_SIM_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, next.shown_stack_, next.shown_bytes_);
#endif
#if HOURGLASS_SIM_TSAN
  __tsan_switch_to_fiber(next.sanitizer_fiber_, __tsan_switch_to_fiber_no_sync);
#endif
  const context::transfer_t transfer = context::jump_fcontext(next.context_, &arrival);
  Arrival back = *static_cast<Arrival*>(transfer.data);
  back.from_context = transfer.fctx;
  arrive(back);
}

#if HOURGLASS_SIM_TSAN
Unobserved::Unobserved() {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
Unobserved::~Unobserved() {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
void release_order(void* address) {
  __tsan_release(address);
}
void acquire_order(void* address) {
  __tsan_acquire(address);
}
#else
Unobserved::Unobserved() = default;
Unobserved::~Unobserved() {}  // not trivial: an object of it is no unused variable
void release_order(void*) {}
void acquire_order(void*) {}
#endif

}  // namespace hourglass::sim
