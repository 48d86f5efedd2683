// What tells AddressSanitizer and valgrind which memory may be touched, and which was never
// written; nothing where neither is there.
#pragma once

#include "tests/sim/fiber.hpp"

#if HOURGLASS_SIM_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(address, bytes)
#define VALGRIND_MAKE_MEM_NOACCESS(address, bytes)
#define VALGRIND_MAKE_MEM_DEFINED(address, bytes)
#endif
