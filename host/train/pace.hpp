// How many steps to ask of a device before the host looks at the clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hourglass {

/// A device may do its work long after it was asked for. Who is to tell of progress, or may be
/// interrupted, asks for no more than takes a few hundredths of a second, and then waits.
class Pace {
 public:
  [[nodiscard]] std::int64_t steps() const { return steps_; }

  /// `steps` took so long, the wait for them included. What was learned of few steps is not trusted
  /// for many.
  void took(std::int64_t steps, double seconds) {
    constexpr double wanted_seconds = 0.02;
    constexpr double growth = 4.0;
    const double fitting = wanted_seconds * static_cast<double>(steps) / std::max(seconds, 1e-9);
    const double most = growth * static_cast<double>(steps_);
    steps_ = static_cast<std::int64_t>(std::max(std::min(fitting, most), 1.0));
  }

 private:
  std::int64_t steps_ = 1;
};

}  // namespace hourglass
