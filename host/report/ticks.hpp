// Where an axis begins and ends, and the round numbers on it.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace hourglass::report {

struct Tick {
  double value = 0;
  std::string label;  ///< empty for a minor tick
};

/// low < high, both finite.
struct Range {
  double low = 0;
  double high = 1;

  [[nodiscard]] double length() const { return high - low; }
};

/// The finite values whose magnitude an axis can show; what is beyond 1e300 is treated as infinite,
/// so that the length of a range never overflows.
bool is_drawable(double value);

/// Grows from the drawable values given to it; everything else is passed over.
class RangeFinder {
 public:
  void add(double value);
  void add(std::span<const double> values);
  [[nodiscard]] bool is_empty() const { return low_ > high_; }

  /// The range, wider by `padding` of its length at both ends. Without values 0 to 1; where all
  /// values are equal, a range around them of half their magnitude (0.5 for zero) on either side.
  [[nodiscard]] Range padded(double padding) const;

 private:
  double low_ = 1;
  double high_ = 0;
};

/// Multiples of 1, 2, 2.5 or 5 times a power of ten inside [low, high], about `target` of them and
/// never more than `target` + 2; labels share one number of decimals. `whole_numbers` keeps the
/// step at least 1 (epochs, counts).
std::vector<Tick> linear_ticks(Range range, int target, bool whole_numbers = false);

/// The range grown to multiples of the tick step.
Range grow_to_ticks(Range range, int target);

/// Powers of ten inside [low, high] (every second, third, ... where there would be more than
/// `target`), with 2 and 5 between them where fewer than two powers fall inside. low and high must
/// be positive.
std::vector<Tick> log_ticks(Range range, int target);

}  // namespace hourglass::report
