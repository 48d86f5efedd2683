// shuffle_rows: the order of an epoch, row by row.
#include <limits>

#include "kernels/philox.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class ShuffleRows : public BackendTest {
 protected:
  void compare(std::int64_t rows, std::uint64_t seed, std::uint32_t epoch) {
    Trial trial = this->trial(seed, std::to_string(rows) + " rows, epoch " + std::to_string(epoch));
    trial.set_skew(any_skew(seed, 2));
    auto order = trial.output<std::int32_t>(rows);
    trial.run([&](Backend& backend) { backend.shuffle_rows(seed, epoch, order.span()); });
    EXPECT_EQ(order.values(), oracle::shuffle_rows(seed, epoch, rows)) << trial.context();
  }
};
HOURGLASS_FOR_EVERY_BACKEND(ShuffleRows);

TEST_P(ShuffleRows, SortsByTheKey) {
  std::uint64_t seed = 0;
  std::vector<std::int64_t> sizes = edge_sizes(emulated());
  // Of a million rows some hundred pairs agree in the upper half of their keys; the model of CUDA
  // sorts by fewer bits.
  sizes.push_back(emulated() ? 1500 : 1'000'003);
  for (const std::int64_t rows : sizes) {
    compare(rows, ++seed, 0);
    compare(rows, ~seed, 7);
  }
  compare(33, 5, std::numeric_limits<std::uint32_t>::max());
}

TEST_P(ShuffleRows, SettlesWhatTheUpperHalfOfAKeyLeavesOpen) {
  // By this seed two rows have the upper 32 bits of their keys in common, and the lower ones put
  // the later row first.
  constexpr std::uint64_t seed = 6244;
  const std::uint64_t first = shuffle_key(seed, 337, 0), second = shuffle_key(seed, 358, 0);
  ASSERT_EQ(first >> 32, second >> 32);
  ASSERT_GT(first, second);
  compare(1500, seed, 0);
}

}  // namespace
}  // namespace hourglass::parity
