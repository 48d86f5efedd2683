// The order in which an epoch visits the rows, where the host reads them in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/shuffle.hpp"

namespace hourglass {

/// What Backend::shuffle_rows() gives, in the host's memory. The object keeps its workspace from
/// epoch to epoch.
class Shuffle {
 public:
  explicit Shuffle(std::int64_t rows);
  void permute(std::uint64_t seed, std::uint32_t epoch);
  [[nodiscard]] std::span<const std::int32_t> order() const { return order_; }

 private:
  std::vector<ShuffleEntry> entries_;
  std::vector<ShuffleEntry> spare_;
  std::vector<std::int32_t> order_;
};

}  // namespace hourglass
