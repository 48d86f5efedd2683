#include "host/train/permutation.hpp"

#include <array>
#include <utility>

#include "kernels/philox.hpp"

namespace hourglass {

Shuffle::Shuffle(std::int64_t rows)
    : entries_(static_cast<std::size_t>(rows)),
      sorted_(static_cast<std::size_t>(rows)),
      order_(static_cast<std::size_t>(rows)) {}

void Shuffle::permute(std::uint64_t seed, std::uint32_t epoch) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Philox4 words =
        philox4x32(seed, i, static_cast<std::uint32_t>(RandomStream::shuffle), epoch);
    entries_[i] = {std::uint64_t{words.v[0]} | std::uint64_t{words.v[1]} << 32,
                   static_cast<std::int32_t>(i)};
  }
  // Radix sort by the highest 33 bits; the keys are random, so hardly any pair is left in disorder,
  // and an insertion sort by the whole key settles it.
  constexpr int digit_bits = 11;
  constexpr std::size_t buckets = std::size_t{1} << digit_bits;
  for (int shift = 64 - 3 * digit_bits; shift < 64; shift += digit_bits) {
    std::array<std::size_t, buckets> first{};
    const auto digit = [&](const Entry& entry) { return (entry.key >> shift) & (buckets - 1); };
    for (const Entry& entry : entries_)
      ++first[digit(entry)];
    std::size_t sum = 0;
    for (std::size_t& count : first)
      sum += std::exchange(count, sum);
    for (const Entry& entry : entries_)
      sorted_[first[digit(entry)]++] = entry;
    entries_.swap(sorted_);
  }
  for (std::size_t i = 1; i < entries_.size(); ++i) {
    const Entry entry = entries_[i];
    std::size_t at = i;
    for (; at > 0 && entries_[at - 1].key > entry.key; --at)
      entries_[at] = entries_[at - 1];
    entries_[at] = entry;
  }
  for (std::size_t i = 0; i < entries_.size(); ++i)
    order_[i] = entries_[i].row;
}

}  // namespace hourglass
