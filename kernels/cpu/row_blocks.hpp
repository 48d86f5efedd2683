// How the fused passes over a batch are split: into blocks of a fixed number of rows, each with
// partial sums of its own, added up in the blocks' order. A result is therefore the same with any
// number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/thread_pool.hpp"

namespace hourglass::cpu {

inline constexpr std::int64_t rows_per_block = 32;

inline std::int64_t row_blocks(std::int64_t rows) {
  return (rows + rows_per_block - 1) / rows_per_block;
}

/// Calls body(block, first row, end row) for every block. `elements_for_threads`: batches of fewer
/// elements than this stay on the calling thread, since waking the others would cost more.
template <class Body>
void for_row_blocks(ThreadPool& pool, std::int64_t rows, std::int64_t columns,
                    std::int64_t elements_for_threads, Body&& body) {
  const std::int64_t serial_below =
      elements_for_threads / (rows_per_block * std::max<std::int64_t>(columns, 1)) + 1;
  pool.for_ranges(row_blocks(rows), 1, serial_below,
                  [&](std::int64_t begin, std::int64_t end, int) {
                    for (std::int64_t block = begin; block < end; ++block) {
                      const std::int64_t first = block * rows_per_block;
                      body(block, first, std::min(first + rows_per_block, rows));
                    }
                  });
}

/// out[d] = sum over the blocks of partial[block * columns + d], added in float64.
inline void sum_blocks(const float* partial, std::int64_t blocks, std::int64_t columns,
                       float* out) {
  constexpr std::int64_t tile = 64;
  for (std::int64_t begin = 0; begin < columns; begin += tile) {
    const std::int64_t size = std::min(tile, columns - begin);
    double sum[tile] = {};
    for (std::int64_t block = 0; block < blocks; ++block) {
      const float* row = partial + block * columns + begin;
      for (std::int64_t d = 0; d < size; ++d)
        sum[d] += static_cast<double>(row[d]);
    }
    for (std::int64_t d = 0; d < size; ++d)
      out[begin + d] = static_cast<float>(sum[d]);
  }
}

}  // namespace hourglass::cpu
