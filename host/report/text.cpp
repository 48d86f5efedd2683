#include "host/report/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

namespace hourglass::report {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view minus = "\xE2\x88\x92";        // U+2212

// The code point that starts at `text[at]` and the number of its bytes; {-1, 1} where it is not
// valid UTF-8 (overlong forms, surrogates and values beyond U+10FFFF included).
std::pair<std::int32_t, std::size_t> decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(at);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + length > text.size()) return {-1, 1};
  std::int32_t code = first & (0xFF >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {-1, 1};
    code = code << 6 | (byte(at + i) & 0x3F);
  }
  static constexpr std::array<std::int32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < smallest[length] || code > 0x10FFFF || is_surrogate) return {-1, 1};
  return {code, length};
}

bool is_allowed(std::int32_t code) {
  if (code < 0x20) return code == '\n' || code == '\t';
  return (code < 0x7F || code > 0x9F) && code != 0xFFFE && code != 0xFFFF;
}

std::size_t width_of(std::int32_t code) {
  const auto within = [code](std::int32_t low, std::int32_t high) {
    return code >= low && code <= high;
  };
  if (within(0x300, 0x36F) || within(0x200B, 0x200F) || within(0x20D0, 0x20F0) ||
      within(0xFE00, 0xFE0F))
    return 0;
  if (within(0x1100, 0x115F) || within(0x2E80, 0x303E) || within(0x3041, 0xA4CF) ||
      within(0xAC00, 0xD7A3) || within(0xF900, 0xFAFF) || within(0xFE30, 0xFE6F) ||
      within(0xFF00, 0xFF60) || within(0xFFE0, 0xFFE6) || within(0x1F300, 0x1F64F) ||
      within(0x1F900, 0x1F9FF) || within(0x20000, 0x3FFFD))
    return 2;
  return 1;
}

}  // namespace

std::string clean_utf8(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = decode(text, at);
    if (code < 0 || !is_allowed(code)) {
      clean += replacement;
    } else {
      clean += text.substr(at, length);
    }
    at += length;
  }
  return clean;
}

std::string escape_markup(std::string_view text) {
  std::string escaped;
  for (const char c : clean_utf8(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = decode(text, at);
    width += code < 0 ? 1 : width_of(code);
    at += length;
  }
  return width;
}

std::string format_fixed(double value, int decimals) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "∞" : std::string(minus) + "∞";
  decimals = std::clamp(decimals, 0, 17);
  std::string digits = fmt::format("{:.{}f}", std::abs(value), decimals);
  const auto point = std::min(digits.find('.'), digits.size());
  for (std::size_t at = point; at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  const bool is_zero = digits.find_first_of("123456789") == std::string::npos;
  return value < 0 && !is_zero ? std::string(minus) + digits : digits;
}

std::string format_number(double value, int significant) {
  if (!std::isfinite(value)) return format_fixed(value, 0);
  if (value == 0) return "0";
  significant = std::clamp(significant, 1, 17);
  const std::string scientific = fmt::format("{:.{}e}", std::abs(value), significant - 1);
  const auto e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  std::string text;
  if (exponent < -4 || exponent >= 7) {
    text = scientific.substr(0, e);
    if (text.find('.') != std::string::npos) {
      text.erase(text.find_last_not_of('0') + 1);
      if (text.back() == '.') text.pop_back();
    }
    text += exponent < 0 ? fmt::format("e{}{}", minus, -exponent) : fmt::format("e{}", exponent);
  } else {
    text = format_fixed(std::abs(value), std::max(0, significant - 1 - exponent));
    if (text.find('.') != std::string::npos) {
      text.erase(text.find_last_not_of('0') + 1);
      if (text.back() == '.') text.pop_back();
    }
  }
  return value < 0 ? std::string(minus) + text : text;
}

}  // namespace hourglass::report
