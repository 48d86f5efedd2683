// Of cooperative groups: the barrier of a whole grid.
#pragma once

#include <cuda_runtime.h>

namespace cooperative_groups {

struct grid_group {
  void sync(HOURGLASS_SIM_HERE) const { hourglass::sim::grid_barrier({"grid.sync", file, line}); }
};
inline grid_group this_grid() {
  return {};
}

}  // namespace cooperative_groups
