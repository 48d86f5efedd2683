// The order in which an epoch visits the rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hourglass {

/// Fills `order` with a permutation of 0 .. order.size() - 1: the rows sorted by key(i) = the first
/// two words of philox4x32(seed, i, shuffle, epoch), ties by i. The same on every device. The
/// object keeps its workspace from epoch to epoch.
class Shuffle {
 public:
  explicit Shuffle(std::int64_t rows);
  void permute(std::uint64_t seed, std::uint32_t epoch);
  [[nodiscard]] std::span<const std::int32_t> order() const { return order_; }

 private:
  struct Entry {
    std::uint64_t key;
    std::int32_t row;
  };
  std::vector<Entry> entries_;
  std::vector<Entry> sorted_;
  std::vector<std::int32_t> order_;
};

}  // namespace hourglass
