// How the blocks of a launch agree on the last of them to finish, which then does what would be
// another launch.
#pragma once

namespace hourglass::cuda {

/// Counters in device memory, 0 between launches. Each block takes a ticket when it has written its
/// part (last_to_finish in reduce.cuh).
struct Tickets {
  /// Strips of columns (column_sums.cuh) that have a counter each; of wider matrices a second
  /// launch adds the columns up. The model of CUDA has few, so that both ways are gone.
#if defined(HOURGLASS_SIM)
  static constexpr int strips = 5;
#else
  static constexpr int strips = 1024;
#endif
  unsigned* all = nullptr;    ///< of all blocks
  unsigned* strip = nullptr;  ///< of the blocks of each strip
};

}  // namespace hourglass::cuda
