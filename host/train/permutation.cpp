#include "host/train/permutation.hpp"

namespace hourglass {

Shuffle::Shuffle(std::int64_t rows)
    : entries_(static_cast<std::size_t>(rows)),
      spare_(static_cast<std::size_t>(rows)),
      order_(static_cast<std::size_t>(rows)) {}

void Shuffle::permute(std::uint64_t seed, std::uint32_t epoch) {
  shuffle(seed, epoch, entries_, spare_, order_);
}

}  // namespace hourglass
