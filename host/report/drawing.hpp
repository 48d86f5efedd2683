// A picture as a list of marks, in CSS pixels with y downwards, later marks over earlier ones. A
// figure is laid out into a Drawing once; to_png and to_svg then show the same marks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/report/color.hpp"
#include "host/report/pixels.hpp"

namespace hourglass::report {

struct Point {
  double x = 0;
  double y = 0;
};

struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;

  [[nodiscard]] double right() const { return x + width; }
  [[nodiscard]] double bottom() const { return y + height; }
};

enum class Anchor { start, middle, end };

struct TextStyle {
  double size = 11;
  Color color = ink;
  Anchor anchor = Anchor::start;
  bool bold = false;
  bool halo = false;  ///< a white outline, to be read over dots
};

/// One line of text; `at` is on the baseline.
struct Text {
  Point at;
  std::string text;
  TextStyle style;
};

struct Polyline {
  std::vector<Point> points;
  Color color;
  double width = 1;
  bool dashed = false;
};

struct Polygon {
  std::vector<Point> points;
  Color color;
  double opacity = 1;
};

struct Rectangle {
  Box box;
  Color color;
  double opacity = 1;
};

/// Discs of one colour and size.
struct Dots {
  std::vector<Point> centres;
  double radius = 2;
  Color color;
  double opacity = 1;
};

/// An image whose pixels are shown as sharp squares.
struct Tiles {
  Box box;
  Pixels pixels;
};

using Mark = std::variant<Rectangle, Polygon, Polyline, Dots, Tiles, Text>;

struct Drawing {
  double width = 0;
  double height = 0;
  std::string title;  ///< what a screen reader says
  std::vector<Mark> marks;

  void add(Mark mark);
};

/// The font family of every figure. Verdana, the fallback of an SVG shown elsewhere, has the same
/// widths.
inline constexpr std::string_view font_family = "DejaVu Sans";

/// Width in CSS pixels of one line of text.
double text_width(std::string_view text, double size, bool bold = false);

/// Breaks `text` between words so that each line fits `width`; a longer word stays whole.
std::vector<std::string> wrap_text(std::string_view text, double width, double size,
                                   bool bold = false);

/// `text`, or its beginning and "…" where it is wider than `width`.
std::string shorten_text(std::string_view text, double width, double size, bool bold = false);

/// PNG bytes at twice the resolution of CSS pixels, on opaque white. The same drawing gives the
/// same bytes.
std::string to_png(const Drawing& drawing);

/// SVG text. Coordinates are rounded (a tenth of a pixel for dots), dots of one colour share a
/// path, tiles are embedded at their own resolution. Beyond `dots_as_vectors` dots the cloud is
/// embedded as one image and the rest stays vectors.
inline constexpr std::size_t dots_as_vectors = 25'000;
std::string to_svg(const Drawing& drawing);

}  // namespace hourglass::report
