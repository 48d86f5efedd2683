// The SVG of a drawing. Written by hand and not by Cairo: text stays text, a dot takes some seven
// bytes, and no identifier depends on what the process has drawn before.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include "host/report/drawing.hpp"
#include "host/report/raster.hpp"
#include "host/report/text.hpp"

namespace hourglass::report {
namespace {

// At most two decimals, no trailing zeros, no leading zero: "12.5", ".75", "-3".
std::string number(double value) {
  if (!std::isfinite(value)) return "0";
  auto hundredths = std::llround(std::clamp(value, -1e7, 1e7) * 100);
  std::string text = hundredths < 0 ? "-" : "";
  hundredths = std::abs(hundredths);
  const auto whole = hundredths / 100, rest = hundredths % 100;
  if (whole != 0 || rest == 0) text += std::to_string(whole);
  if (rest != 0)
    text += rest % 10 == 0 ? fmt::format(".{}", rest / 10) : fmt::format(".{:02}", rest);
  return text == "-0" ? "0" : text;
}

// A number of a path: separated from what is before it only where the sign does not do it.
void append_coordinate(std::string& path, const std::string& text, bool is_first) {
  if (!is_first && text.front() != '-') path += ',';  // a data URI need not escape it
  path += text;
}

std::string box_attributes(const Box& box) {
  return fmt::format("x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", number(box.x), number(box.y),
                     number(box.width), number(box.height));
}

std::string opacity_attribute(const char* name, double opacity) {
  return opacity < 1 ? fmt::format(" {}=\"{}\"", name, number(opacity)) : "";
}

// Differences between rounded positions, so that rounding does not add up.
std::string path_data(const std::vector<Point>& points) {
  static constexpr double unit = 100;
  const auto rounded = [](double v) { return std::round(v * unit) / unit; };
  std::string path;
  Point last;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Point p = {rounded(points[i].x), rounded(points[i].y)};
    const Point step = {p.x - last.x, p.y - last.y};
    if (i == 0) {
      path += 'M' + number(p.x);
      append_coordinate(path, number(p.y), false);
    } else if (number(step.y) == "0") {
      path += 'h' + number(step.x);
    } else if (number(step.x) == "0") {
      path += 'v' + number(step.y);
    } else {
      path += 'l' + number(step.x);
      append_coordinate(path, number(step.y), false);
    }
    last = p;
  }
  return path;
}

class Writer {
 public:
  explicit Writer(std::string& svg) : svg_(svg) {}

  void operator()(const Rectangle& mark) {
    svg_ += fmt::format("<rect {} fill=\"{}\"{}/>", box_attributes(mark.box), to_hex(mark.color),
                        opacity_attribute("fill-opacity", mark.opacity));
  }

  void operator()(const Polygon& mark) {
    if (mark.points.empty()) return;
    svg_ += fmt::format("<path d=\"{}z\" fill=\"{}\"{}/>", path_data(mark.points),
                        to_hex(mark.color), opacity_attribute("fill-opacity", mark.opacity));
  }

  void operator()(const Polyline& mark) {
    if (mark.points.empty()) return;
    const bool is_plain = mark.dashed || mark.points.size() == 2;
    svg_ += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{}{}/>",
                        path_data(mark.points), to_hex(mark.color), number(mark.width),
                        mark.dashed ? " stroke-dasharray=\"5 4\"" : "",
                        is_plain ? "" : " stroke-linecap=\"round\" stroke-linejoin=\"round\"");
  }

  // Zero-length segments with round caps are discs.
  void operator()(const Dots& mark) {
    std::vector<std::pair<long, long>> centres;
    centres.reserve(mark.centres.size());
    for (const Point& p : mark.centres)
      if (std::abs(p.x) < 1e6 && std::abs(p.y) < 1e6)
        centres.emplace_back(std::lround(p.x * 10), std::lround(p.y * 10));
    if (centres.empty()) return;
    std::ranges::sort(centres);
    centres.erase(std::unique(centres.begin(), centres.end()), centres.end());
    svg_ += fmt::format(
        "<path stroke=\"{}\"{} stroke-width=\"{}\" stroke-linecap=\"round\" transform=\"scale(.1)\""
        " d=\"",
        to_hex(mark.color), opacity_attribute("stroke-opacity", mark.opacity),
        number(20 * mark.radius));
    std::pair<long, long> last = {0, 0};
    for (std::size_t i = 0; i < centres.size(); ++i) {
      svg_ += i == 0 ? 'M' : 'm';
      append_coordinate(svg_, std::to_string(centres[i].first - last.first), true);
      append_coordinate(svg_, std::to_string(centres[i].second - last.second), false);
      svg_ += "h0";
      last = centres[i];
    }
    svg_ += "\"/>";
  }

  void operator()(const Tiles& mark) {
    if (mark.pixels.width == 0 || mark.pixels.height == 0) return;
    svg_ += fmt::format(
        "<image {} preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"{}\"/>",
        box_attributes(mark.box), png_data_uri(encode_png(mark.pixels)));
  }

  void operator()(const Text& mark) {
    const char* anchor = mark.style.anchor == Anchor::start    ? ""
                         : mark.style.anchor == Anchor::middle ? " text-anchor=\"middle\""
                                                               : " text-anchor=\"end\"";
    svg_ +=
        fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"{}{}{}>{}</text>",
                    number(mark.at.x), number(mark.at.y), number(mark.style.size),
                    to_hex(mark.style.color), anchor, mark.style.bold ? " font-weight=\"700\"" : "",
                    mark.style.halo ? " stroke=\"#fff\" stroke-width=\"4\" stroke-opacity=\".9\" "
                                      "stroke-linejoin=\"round\" paint-order=\"stroke\""
                                    : "",
                    escape_markup(mark.text));
  }

  void embed_dots(std::span<const Mark> marks) {
    double left = 1e6, top = 1e6, right = -1e6, bottom = -1e6;
    for (const Mark& mark : marks) {
      const Dots& dots = std::get<Dots>(mark);
      for (const Point& p : dots.centres) {
        left = std::min(left, p.x - dots.radius - 1);
        top = std::min(top, p.y - dots.radius - 1);
        right = std::max(right, p.x + dots.radius + 1);
        bottom = std::max(bottom, p.y + dots.radius + 1);
      }
    }
    if (left > right) return;
    const Box region = {std::floor(left), std::floor(top), std::ceil(right) - std::floor(left),
                        std::ceil(bottom) - std::floor(top)};
    svg_ += fmt::format("<image {} href=\"{}\"/>", box_attributes(region),
                        png_data_uri(encode_png(rasterize_dots(marks, region, 2))));
  }

 private:
  std::string& svg_;
};

}  // namespace

std::string to_svg(const Drawing& drawing) {
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\" role=\"img\" font-family=\"'{2}',Verdana,sans-serif\">"
      "<title>{3}</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
      number(std::ceil(drawing.width)), number(std::ceil(drawing.height)), font_family,
      escape_markup(drawing.title));
  Writer writer(svg);
  const std::span<const Mark> marks = drawing.marks;
  for (std::size_t i = 0; i < marks.size();) {
    std::size_t run = 0, dots = 0;
    while (i + run < marks.size() && std::holds_alternative<Dots>(marks[i + run])) {
      dots += std::get<Dots>(marks[i + run]).centres.size();
      ++run;
    }
    if (dots > dots_as_vectors) {
      writer.embed_dots(marks.subspan(i, run));
      i += run;
    } else {
      std::visit(writer, marks[i]);
      ++i;
    }
  }
  svg += "</svg>\n";
  return svg;
}

}  // namespace hourglass::report
