// Whether values are what the work on them expects.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hourglass {

enum class ValueCheck {
  none,
  finite,
  unit  ///< finite and in [0, 1]
};

/// Throws InputError that names the data, and the row and the column of the first value that is not
/// as it should be. values[0] begins row `first_row`.
void check_values(const std::string& name, std::span<const float> values, std::int64_t first_row,
                  std::int64_t columns, ValueCheck check);

}  // namespace hourglass
