// Every pair of blocks of rows, for operations that write to the rows of both.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/thread_pool.hpp"

namespace hourglass::cpu {

/// Calls body(a, b), a <= b, for every pair of blocks and every block with itself. No block is in
/// two calls at a time, and each meets the others in an order of its own that does not depend on
/// the threads: rounds of a tournament, one after the other (Kirkman 1847).
template <class Body>
void for_block_pairs(ThreadPool& pool, std::int64_t blocks, Body&& body) {
  pool.for_chunks(blocks, 1, [&](std::int64_t begin, std::int64_t, int) { body(begin, begin); });
  const std::int64_t turning = (blocks + 1) / 2 * 2 - 1;  // those beside the one that stays
  for (std::int64_t round = 0; round < turning; ++round) {
    pool.for_chunks((turning + 1) / 2, 1, [&](std::int64_t pair, std::int64_t, int) {
      const std::int64_t a = (round + pair) % turning;
      const std::int64_t b = pair == 0 ? turning : (round + turning - pair) % turning;
      if (b < blocks && a < blocks) body(std::min(a, b), std::max(a, b));
    });
  }
}

}  // namespace hourglass::cpu
