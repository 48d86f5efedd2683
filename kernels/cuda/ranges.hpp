// Ranges of NVTX, by which Nsight names what it shows. They cost a few nanoseconds where no
// profiler listens.
#pragma once

#include <nvtx3/nvToolsExt.h>

namespace hourglass::cuda {

/// The scope of an operation: the first line of each.
class OperationRange {
 public:
  explicit OperationRange(const char* name) noexcept { nvtxRangePushA(name); }
  OperationRange(const OperationRange&) = delete;
  OperationRange& operator=(const OperationRange&) = delete;
  ~OperationRange() { nvtxRangePop(); }
};

}  // namespace hourglass::cuda
