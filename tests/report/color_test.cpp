#include "host/report/color.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace hourglass::report {
namespace {

using Vector = std::array<double, 3>;
using Matrix3 = std::array<Vector, 3>;

double linear(std::uint8_t channel) {
  const double c = channel / 255.0;
  return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

// How a colour is seen, in CIELAB (D65).
Vector seen(Color color, const Matrix3& vision) {
  const Vector rgb = {linear(color.red), linear(color.green), linear(color.blue)};
  Vector v{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j)
      v[i] += vision[i][j] * rgb[j];
    v[i] = std::clamp(v[i], 0.0, 1.0);
  }
  const auto f = [](double t) {
    return t > 216.0 / 24389 ? std::cbrt(t) : (24389.0 / 27 * t + 16) / 116;
  };
  const double x = f((0.4124 * v[0] + 0.3576 * v[1] + 0.1805 * v[2]) / 0.95047);
  const double y = f(0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]);
  const double z = f((0.0193 * v[0] + 0.1192 * v[1] + 0.9505 * v[2]) / 1.08883);
  return {116 * y - 16, 500 * (x - y), 200 * (y - z)};
}

// CIEDE2000 (Sharma, Wu and Dalal 2005).
double difference(const Vector& p, const Vector& q) {
  constexpr double degree = std::numbers::pi / 180;
  const auto seventh = [](double c) {
    return std::sqrt(std::pow(c, 7) / (std::pow(c, 7) + std::pow(25, 7)));
  };
  const double mean_c = (std::hypot(p[1], p[2]) + std::hypot(q[1], q[2])) / 2;
  const double g = 0.5 * (1 - seventh(mean_c));
  const double a1 = (1 + g) * p[1], a2 = (1 + g) * q[1];
  const double c1 = std::hypot(a1, p[2]), c2 = std::hypot(a2, q[2]);
  const auto hue = [&](double b, double a) {
    const double h = std::atan2(b, a) / degree;
    return h < 0 ? h + 360 : h;
  };
  const double h1 = hue(p[2], a1), h2 = hue(q[2], a2);
  double dh = h2 - h1, mean_h = (h1 + h2) / 2;
  if (std::abs(h1 - h2) > 180) {
    dh += dh > 0 ? -360 : 360;
    mean_h += h1 + h2 < 360 ? 180 : -180;
  }
  const double dl = q[0] - p[0], dc = c2 - c1;
  const double big_h = 2 * std::sqrt(c1 * c2) * std::sin(dh / 2 * degree);
  const double l = (p[0] + q[0]) / 2, c = (c1 + c2) / 2;
  const double t =
      1 - 0.17 * std::cos((mean_h - 30) * degree) + 0.24 * std::cos(2 * mean_h * degree) +
      0.32 * std::cos((3 * mean_h + 6) * degree) - 0.20 * std::cos((4 * mean_h - 63) * degree);
  const double turn = 30 * std::exp(-std::pow((mean_h - 275) / 25, 2));
  const double sl = 1 + 0.015 * std::pow(l - 50, 2) / std::sqrt(20 + std::pow(l - 50, 2));
  const double sc = 1 + 0.045 * c, sh = 1 + 0.015 * c * t;
  const double rt = -std::sin(2 * turn * degree) * 2 * seventh(c);
  return std::sqrt(std::pow(dl / sl, 2) + std::pow(dc / sc, 2) + std::pow(big_h / sh, 2) +
                   rt * dc / sc * big_h / sh);
}

double smallest_difference(const Matrix3& vision) {
  double smallest = 1e9;
  for (std::size_t i = 0; i < class_palette.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      smallest = std::min(
          smallest, difference(seen(class_palette[i], vision), seen(class_palette[j], vision)));
  return smallest;
}

TEST(Color, difference_agrees_with_published_pairs) {
  EXPECT_NEAR(difference({50, 2.6772, -79.7751}, {50, 0, -82.7485}), 2.0425, 1e-4);
  EXPECT_NEAR(difference({50, 2.5, 0}, {73, 25, -18}), 27.1492, 1e-4);
  EXPECT_NEAR(difference({2.0776, 0.0795, -1.1350}, {0.9033, -0.0636, -0.5514}), 0.9082, 1e-4);
}

TEST(Color, classes_stay_apart_for_every_vision) {
  const Matrix3 normal = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  EXPECT_GE(smallest_difference(normal), 21.85);
  // Machado, Oliveira and Fernandes 2009, severity 1: protanopia, deuteranopia, tritanopia.
  const Matrix3 protan = {{{0.152286, 1.052583, -0.204868},
                           {0.114503, 0.786281, 0.099216},
                           {-0.003882, -0.048116, 1.051998}}};
  const Matrix3 deutan = {{{0.367322, 0.860646, -0.227968},
                           {0.280085, 0.672501, 0.047413},
                           {-0.011820, 0.042940, 0.968881}}};
  const Matrix3 tritan = {{{1.255528, -0.076749, -0.178779},
                           {-0.078411, 0.930809, 0.147602},
                           {0.004733, 0.691367, 0.303900}}};
  for (const Matrix3& vision : {protan, deutan, tritan})
    EXPECT_GE(smallest_difference(vision), 15.05);
}

TEST(Color, every_class_is_seen_on_white) {
  const Matrix3 normal = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  for (const Color color : class_palette)
    EXPECT_LT(seen(color, normal)[0], 81) << to_hex(color);
}

TEST(Color, hex_is_short_where_it_can_be) {
  EXPECT_EQ(to_hex(color_from_hex(0x3344aa)), "#34a");
  EXPECT_EQ(to_hex(color_from_hex(0x3344ab)), "#3344ab");
}

TEST(Color, many_classes_get_different_colours) {
  for (std::size_t i = 0; i < 47; ++i)
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_FALSE(class_color(i, 47) == class_color(j, 47)) << i << ' ' << j;
}

TEST(Color, diverging_map_is_neutral_at_zero_and_clipped) {
  const Color zero = diverging_color(0);
  EXPECT_NEAR(zero.red, zero.blue, 2);
  EXPECT_NEAR(zero.red, zero.green, 2);
  EXPECT_GT(zero.red, 240);
  EXPECT_GT(diverging_color(0.5).red, diverging_color(0.5).blue);
  EXPECT_LT(diverging_color(-0.5).red, diverging_color(-0.5).blue);
  EXPECT_EQ(diverging_color(1), diverging_color(1e30));
  EXPECT_EQ(diverging_color(-1), diverging_color(-INFINITY));
  EXPECT_EQ(diverging_color(std::nan("")), no_value_color);
}

}  // namespace
}  // namespace hourglass::report
