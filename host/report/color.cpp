#include "host/report/color.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hourglass::report {
namespace {

// Ottosson's Oklab (2020): perceptual lightness and two opponent axes.
struct Oklab {
  double lightness;
  double a;
  double b;
};

double to_linear(std::uint8_t channel) {
  const double c = channel / 255.0;
  return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

std::uint8_t from_linear(double c) {
  c = std::clamp(c, 0.0, 1.0);
  const double encoded = c <= 0.0031308 ? 12.92 * c : 1.055 * std::pow(c, 1 / 2.4) - 0.055;
  return static_cast<std::uint8_t>(std::lround(255 * std::clamp(encoded, 0.0, 1.0)));
}

Oklab to_oklab(Color color) {
  const double r = to_linear(color.red), g = to_linear(color.green), b = to_linear(color.blue);
  const double l = std::cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const double m = std::cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const double s = std::cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return {0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
          1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
          0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

Color from_oklab(const Oklab& lab) {
  auto cube = [](double x) { return x * x * x; };
  const double l = cube(lab.lightness + 0.3963377774 * lab.a + 0.2158037573 * lab.b);
  const double m = cube(lab.lightness - 0.1055613458 * lab.a - 0.0638541728 * lab.b);
  const double s = cube(lab.lightness - 0.0894841775 * lab.a - 1.2914855480 * lab.b);
  return {from_linear(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          from_linear(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          from_linear(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

constexpr std::array<Color, 7> okabe_ito = {color_from_hex(0x0072b2), color_from_hex(0xd55e00),
                                            color_from_hex(0x009e73), color_from_hex(0xcc79a7),
                                            color_from_hex(0xe69f00), color_from_hex(0x56b4e9),
                                            color_from_hex(0x3c3c3c)};

constexpr std::array<Color, 5> diverging_anchors = {
    color_from_hex(0x0b3c7d), color_from_hex(0x4a90c8), color_from_hex(0xf7f7f7),
    color_from_hex(0xd9664a), color_from_hex(0x7a0c1e)};

}  // namespace

const std::array<Color, class_palette_size> class_palette = {
    color_from_hex(0x3344aa), color_from_hex(0xffaa22), color_from_hex(0x7777ff),
    color_from_hex(0x55dd99), color_from_hex(0x118866), color_from_hex(0xbb6699),
    color_from_hex(0x778800), color_from_hex(0x772255), color_from_hex(0x990000),
    color_from_hex(0xddaaff)};

std::string to_hex(Color color) {
  static constexpr char digits[] = "0123456789abcdef";
  const std::array<std::uint8_t, 3> channels = {color.red, color.green, color.blue};
  const bool is_short =
      std::ranges::all_of(channels, [](std::uint8_t c) { return (c >> 4) == (c & 15); });
  std::string text = "#";
  for (const std::uint8_t c : channels) {
    text += digits[c >> 4];
    if (!is_short) text += digits[c & 15];
  }
  return text;
}

Color class_color(std::size_t index, std::size_t count) {
  if (count <= class_palette_size) return class_palette[index % class_palette_size];
  const double hue = 2 * std::numbers::pi * static_cast<double>(index) / static_cast<double>(count);
  static constexpr std::array<double, 3> lightness = {0.45, 0.62, 0.76};
  static constexpr double chroma = 0.13;
  return from_oklab({lightness[index % 3], chroma * std::cos(hue), chroma * std::sin(hue)});
}

Color series_color(std::size_t index) {
  return okabe_ito[index % okabe_ito.size()];
}

Color diverging_color(double value) {
  if (std::isnan(value)) return no_value_color;
  static constexpr auto segments = diverging_anchors.size() - 1;
  const double position = (std::clamp(value, -1.0, 1.0) + 1) / 2 * static_cast<double>(segments);
  const auto segment = std::min(static_cast<std::size_t>(position), segments - 1);
  const double t = position - static_cast<double>(segment);
  const Oklab from = to_oklab(diverging_anchors[segment]);
  const Oklab to = to_oklab(diverging_anchors[segment + 1]);
  return from_oklab({from.lightness + t * (to.lightness - from.lightness),
                     from.a + t * (to.a - from.a), from.b + t * (to.b - from.b)});
}

}  // namespace hourglass::report
