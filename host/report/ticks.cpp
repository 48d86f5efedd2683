#include "host/report/ticks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "host/report/text.hpp"

namespace hourglass::report {
namespace {

struct Step {
  double size;
  int decimals;  // that a multiple of it needs; negative for powers of ten above 1
};

Step nice_step(double length, int target, bool whole_numbers) {
  struct Candidate {
    double factor;
    int extra_decimals;
  };
  static constexpr std::array<Candidate, 5> candidates = {
      {{1, 0}, {2, 0}, {2.5, 1}, {5, 0}, {10, -1}}};
  const double raw = length / std::max(1, target);
  const int exponent = static_cast<int>(std::floor(std::log10(raw)));
  const double power = std::pow(10.0, exponent);
  for (const Candidate& candidate : candidates) {
    const double size = candidate.factor * power;
    if (size < raw * (1 - 1e-9)) continue;
    if (whole_numbers && (size < 1 || size != std::floor(size))) continue;
    return {size, -exponent + candidate.extra_decimals};
  }
  return {1, 0};  // whole numbers over a range shorter than the target
}

std::string superscript(int value) {
  static constexpr std::array<std::string_view, 10> digits = {"⁰", "¹", "²", "³", "⁴",
                                                              "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text = value < 0 ? "⁻" : "";
  for (const char c : std::to_string(std::abs(value)))
    text += digits[static_cast<std::size_t>(c - '0')];
  return text;
}

std::string tick_label(double value, double largest, int decimals) {
  if (value == 0) return "0";
  if (largest >= 1e6 || decimals > 6) return format_number(value, 5);
  return format_fixed(value, std::max(0, decimals));
}

std::string log_label(int factor, int exponent) {
  if (exponent >= -3 && exponent <= 4)
    return format_fixed(factor * std::pow(10.0, exponent), std::max(0, -exponent));
  const std::string power = "10" + superscript(exponent);
  return factor == 1 ? power : fmt::format("{}×{}", factor, power);
}

}  // namespace

bool is_drawable(double value) {
  return std::abs(value) <= 1e300;
}

void RangeFinder::add(double value) {
  if (!is_drawable(value)) return;
  if (is_empty()) {
    low_ = high_ = value;
  } else {
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }
}

void RangeFinder::add(std::span<const double> values) {
  for (const double value : values)
    add(value);
}

Range RangeFinder::padded(double padding) const {
  if (is_empty()) return {0, 1};
  const double magnitude = std::max(std::abs(low_), std::abs(high_));
  // Closer than the axis can resolve counts as equal; so do subnormal ranges, whose tick step would
  // be 0.
  if (high_ - low_ <= std::max(1e-12 * magnitude, 1e-290)) {
    const double half = magnitude > 1e-280 ? 0.5 * magnitude : 0.5;
    return {low_ - half, high_ + half};
  }
  const double margin = padding * (high_ - low_);
  return {low_ - margin, high_ + margin};
}

std::vector<Tick> linear_ticks(Range range, int target, bool whole_numbers) {
  std::vector<Tick> ticks;
  if (!(range.length() > 0)) return ticks;
  const Step step = nice_step(range.length(), target, whole_numbers);
  const double slack = 1e-9 * step.size;
  const double first = std::ceil((range.low - slack) / step.size);
  const double last = std::floor((range.high + slack) / step.size);
  const double largest = std::max(std::abs(range.low), std::abs(range.high));
  for (double i = first; i <= last; ++i) {
    const double value = i == 0 ? 0.0 : i * step.size;
    ticks.push_back({value, tick_label(value, largest, step.decimals)});
  }
  return ticks;
}

Range grow_to_ticks(Range range, int target) {
  const Step step = nice_step(range.length(), target, false);
  return {std::floor(range.low / step.size + 1e-9) * step.size,
          std::ceil(range.high / step.size - 1e-9) * step.size};
}

std::vector<Tick> log_ticks(Range range, int target) {
  std::vector<Tick> ticks;
  if (!(range.low > 0) || !(range.length() > 0)) return ticks;
  const int first = static_cast<int>(std::floor(std::log10(range.low)));
  const int last = static_cast<int>(std::ceil(std::log10(range.high)));
  const auto inside = [&](double value) {
    return value >= range.low * (1 - 1e-9) && value <= range.high * (1 + 1e-9);
  };
  const auto powers_inside =
      std::floor(std::log10(range.high) + 1e-9) - std::ceil(std::log10(range.low) - 1e-9) + 1;
  if (powers_inside < 2) {
    for (int exponent = first; exponent <= last; ++exponent)
      for (const int factor : {1, 2, 5})
        if (const double value = factor * std::pow(10.0, exponent); inside(value))
          ticks.push_back({value, log_label(factor, exponent)});
    // Less than about a factor of two: round numbers serve better than powers.
    if (ticks.size() < 2) return linear_ticks(range, target);
    return ticks;
  }
  const int stride = std::max(1, static_cast<int>(std::ceil(powers_inside / std::max(1, target))));
  for (int exponent = first; exponent <= last; ++exponent) {
    const double value = std::pow(10.0, exponent);
    if (exponent % stride == 0 && inside(value)) ticks.push_back({value, log_label(1, exponent)});
  }
  return ticks;
}

}  // namespace hourglass::report
