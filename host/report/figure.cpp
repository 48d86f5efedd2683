#include "host/report/figure.hpp"

#include <cmath>

#include "host/data/atomic_file.hpp"

namespace hourglass::report {

Drawing draw(const Figure& figure) {
  return std::visit([](const auto& kind) { return draw(kind); }, figure);
}

RenderedFigure render(const Figure& figure) {
  const Drawing drawing = draw(figure);
  RenderedFigure rendered;
  rendered.width = static_cast<int>(std::ceil(drawing.width));
  rendered.height = static_cast<int>(std::ceil(drawing.height));
  rendered.png = to_png(drawing);
  rendered.svg = to_svg(drawing);
  return rendered;
}

void write_figure(const std::string& stem, const RenderedFigure& figure) {
  write_file_atomically(stem + ".png", std::string_view(figure.png));
  write_file_atomically(stem + ".svg", std::string_view(figure.svg));
}

}  // namespace hourglass::report
