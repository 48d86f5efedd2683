#include "host/data/value_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hourglass/error.hpp"

namespace hourglass {

void check_values(const std::string& name, std::span<const float> values, std::int64_t first_row,
                  std::int64_t columns, ValueCheck check) {
  if (check == ValueCheck::none) return;
  const bool unit = check == ValueCheck::unit;
  const float low = unit ? 0.0f : std::numeric_limits<float>::lowest();
  const float high = unit ? 1.0f : std::numeric_limits<float>::max();
  const auto is_bad = [&](float value) { return !(value >= low) || !(value <= high); };
  // Whole blocks without a branch an element, so that the compiler vectorises; a bad one is then
  // searched.
  constexpr std::size_t block = 4096;
  for (std::size_t begin = 0; begin < values.size(); begin += block) {
    const auto part = values.subspan(begin, std::min(block, values.size() - begin));
    unsigned bad = 0;
    for (const float value : part) {
      bad |= static_cast<unsigned>(!(value >= low)) | static_cast<unsigned>(!(value <= high));
    }
    if (bad == 0) continue;
    const auto first = std::find_if(part.begin(), part.end(), is_bad);
    const auto at = static_cast<std::int64_t>(begin) + (first - part.begin());
    throw InputError(fmt::format(
        "{}: row {}, column {} (counted from 0) is {}, {}", name, first_row + at / columns,
        at % columns, *first,
        std::isfinite(*first) ? "scaling 'unit' expects floats in [0, 1]: use 'standard' or 'none'"
                              : "expected finite numbers"));
  }
}

}  // namespace hourglass
