// What a device can do at most, measured through the same table of operations that is benchmarked.
#pragma once

#include "kernels/backend.hpp"

namespace hourglass::bench {

/// Bytes a second count what is read and what is written.
struct Ceilings {
  double copy_bytes = 0.0;    ///< bytes/s of a copy beyond every cache
  double memory_bytes = 0.0;  ///< the same, or of a pass over one buffer in place if that is faster
  double cached_bytes = 0.0;  ///< of the fastest copy or pass within the last-level cache
  double fma_flops = 0.0;     ///< flop/s of fma_chain: float32, two a multiply-add
  double gemm_flops = 0.0;    ///< flop/s of the fastest of some large square products, float32
};

/// The best of repeated runs, one to two seconds in all. `large` says that the device is a GPU, for
/// which the work is made large enough to fill it.
Ceilings measure_ceilings(Backend& backend, bool large);

}  // namespace hourglass::bench
