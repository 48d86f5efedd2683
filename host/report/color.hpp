// Colours of the figures: chosen so that they stay apart on white paper for readers with and
// without colour vision deficiency.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace hourglass::report {

/// An opaque sRGB colour.
struct Color {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;

  friend bool operator==(const Color&, const Color&) = default;
};

/// 0xRRGGBB.
constexpr Color color_from_hex(std::uint32_t hex) {
  return {static_cast<std::uint8_t>(hex >> 16), static_cast<std::uint8_t>(hex >> 8),
          static_cast<std::uint8_t>(hex)};
}

/// "#rrggbb", or "#rgb" where that says the same.
std::string to_hex(Color color);

inline constexpr Color white = color_from_hex(0xffffff);
inline constexpr Color ink = color_from_hex(0x1c2430);       // titles, legends
inline constexpr Color soft_ink = color_from_hex(0x55606e);  // axis labels, notes
inline constexpr Color grid_color = color_from_hex(0xe7eaee);
inline constexpr Color axis_color = color_from_hex(0x9aa4b0);
inline constexpr Color no_value_color = color_from_hex(0xff8c1a);  // a pixel that is NaN

/// Ten classes. Found by search over sRGB for the largest smallest CIEDE2000 difference of any
/// pair, seen with normal vision (21.9) and through Machado, Oliveira and Fernandes' (2009)
/// matrices for full protanopia, deuteranopia and tritanopia (15.1); published sets of ten
/// reach 17.4 and 11.9 (Petroff), 15.0 and 11.5 (Tol's muted, with black). The order keeps digits
/// that are often mistaken for each other (4 and 9, 3 and 8, ...) furthest apart.
inline constexpr std::size_t class_palette_size = 10;
extern const std::array<Color, class_palette_size> class_palette;

/// The colour of class `index` of `count`: the palette above up to ten classes, evenly spread hues
/// of three lightnesses beyond.
Color class_color(std::size_t index, std::size_t count);

/// Series of lines and bars: Okabe and Ito's set (2008), in an order that keeps neighbours apart;
/// repeats after seven.
Color series_color(std::size_t index);

/// Blue - white - red around zero; `value` in [-1, 1], clipped. Interpolated in Oklab so that equal
/// steps look equal.
Color diverging_color(double value);

}  // namespace hourglass::report
