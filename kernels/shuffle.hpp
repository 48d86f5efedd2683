// The order in which an epoch visits the rows, on a CPU: for its backend (cpu/shuffle_rows.cpp),
// and for the host, where the rows are read in that order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "kernels/philox.hpp"

namespace hourglass {

struct ShuffleEntry {
  std::uint64_t key;
  std::int32_t row;
};

/// order = the rows by shuffle_key(seed, row, epoch), equal keys by row. `entries` and `spare` are
/// workspace, of as many elements.
inline void shuffle(std::uint64_t seed, std::uint32_t epoch, std::span<ShuffleEntry> entries,
                    std::span<ShuffleEntry> spare, std::span<std::int32_t> order) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto row = static_cast<std::int32_t>(i);
    entries[i] = {shuffle_key(seed, row, epoch), row};
  }
  // Radix sort by the highest 33 bits; the keys are random, so hardly any pair is left in disorder,
  // and an insertion sort by the whole key settles it.
  constexpr int digit_bits = 11;
  constexpr std::size_t buckets = std::size_t{1} << digit_bits;
  for (int shift = 64 - 3 * digit_bits; shift < 64; shift += digit_bits) {
    std::array<std::size_t, buckets> first{};
    const auto digit = [&](const ShuffleEntry& entry) {
      return (entry.key >> shift) & (buckets - 1);
    };
    for (const ShuffleEntry& entry : entries)
      ++first[digit(entry)];
    std::size_t sum = 0;
    for (std::size_t& count : first)
      sum += std::exchange(count, sum);
    for (const ShuffleEntry& entry : entries)
      spare[first[digit(entry)]++] = entry;
    std::swap(entries, spare);
  }
  for (std::size_t i = 1; i < entries.size(); ++i) {
    const ShuffleEntry entry = entries[i];
    std::size_t at = i;
    for (; at > 0 && entries[at - 1].key > entry.key; --at)
      entries[at] = entries[at - 1];
    entries[at] = entry;
  }
  for (std::size_t i = 0; i < entries.size(); ++i)
    order[i] = entries[i].row;
}

}  // namespace hourglass
