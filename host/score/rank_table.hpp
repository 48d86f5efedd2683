// The order of all rows by distance from each row, kept, so that many maps of the same rows can be
// held against it.
#pragma once

#include <cstdint>
#include <vector>

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"

namespace hourglass {

class RankTable {
 public:
  /// The ranks take 2 bytes a pair.
  static constexpr std::int64_t most_rows = 65'535;

  /// Whether one table is worth the searches of several maps: where finding the ranks of a few
  /// neighbours anew costs the host's own time.
  static bool is_worthwhile(Device& device, std::int64_t rows) {
    return device.info().host_memory && rows <= most_rows;
  }

  /// 2 to most_rows rows. O(N^2 D) once.
  RankTable(Device& device, const Matrix& x);

  /// What trustworthiness(device, x, map, neighbours) gives, without a look at x.
  [[nodiscard]] double trustworthiness(Device& device, const Matrix& map, int neighbours) const;

 private:
  std::int64_t rows_ = 0;
  std::vector<std::uint16_t> rank_;  ///< N x N; 1 is the nearest
};

}  // namespace hourglass
