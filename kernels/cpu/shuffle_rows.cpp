// shuffle_rows: the order in which an epoch visits the rows. Ten rounds of the generator a row, and
// three passes of a radix sort that read and write 16 bytes a row: about a hundredth of what an
// epoch of a small autoencoder takes, so that one thread is enough.
#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/shuffle.hpp"

namespace hourglass::cpu {

void CpuBackend::shuffle_rows(std::uint64_t seed, std::uint32_t epoch,
                              std::span<std::int32_t> order) {
  require(order.size() <= std::size_t{1} << 31, "shuffle_rows", "at most 2^31 rows");
  ShuffleEntry* entries =
      scratch_.reserve<ShuffleEntry>(2 * static_cast<std::int64_t>(order.size()));
  shuffle(seed, epoch, {entries, order.size()}, {entries + order.size(), order.size()}, order);
}

}  // namespace hourglass::cpu
