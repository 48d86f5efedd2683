#include "host/report/raster.hpp"

#include <cairo.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include "host/report/text.hpp"

namespace hourglass::report {
namespace {

struct SurfaceDeleter {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
};
struct ContextDeleter {
  void operator()(cairo_t* context) const { cairo_destroy(context); }
};
using Surface = std::unique_ptr<cairo_surface_t, SurfaceDeleter>;
using Context = std::unique_ptr<cairo_t, ContextDeleter>;

void check(cairo_status_t status, const char* what) {
  if (status != CAIRO_STATUS_SUCCESS)
    throw std::runtime_error(std::string("Cairo, ") + what + ": " + cairo_status_to_string(status));
}

Surface make_surface(cairo_format_t format, int width, int height) {
  Surface surface(cairo_image_surface_create(format, width, height));
  check(cairo_surface_status(surface.get()), "image surface");
  return surface;
}

Context make_context(cairo_surface_t* surface) {
  Context context(cairo_create(surface));
  check(cairo_status(context.get()), "context");
  // Outlines without hinting: the same shape at every scale, and the widths that an SVG viewer
  // uses.
  cairo_font_options_t* options = cairo_font_options_create();
  cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
  cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_set_font_options(context.get(), options);
  cairo_font_options_destroy(options);
  cairo_set_line_join(context.get(), CAIRO_LINE_JOIN_ROUND);
  cairo_set_line_cap(context.get(), CAIRO_LINE_CAP_ROUND);
  return context;
}

void select_font(cairo_t* cairo, double size, bool bold) {
  cairo_select_font_face(cairo, std::string(font_family).c_str(), CAIRO_FONT_SLANT_NORMAL,
                         bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(cairo, size);
}

double measure(cairo_t* cairo, const std::string& text) {
  cairo_text_extents_t extents;
  cairo_text_extents(cairo, text.c_str(), &extents);
  return extents.x_advance;
}

void set_color(cairo_t* cairo, Color color, double opacity = 1) {
  cairo_set_source_rgba(cairo, color.red / 255.0, color.green / 255.0, color.blue / 255.0, opacity);
}

// Discs are stamped into the surface's bytes: the coverage of a disc is computed once for each of 4
// x 4 sub-pixel positions, then blended; a million points take tens of milliseconds, where paths
// would take tens of seconds.
class Stamp {
 public:
  static constexpr int phases = 4;

  explicit Stamp(double radius) : reach_(static_cast<int>(std::ceil(radius)) + 1) {
    const int side = 2 * reach_ + 1;
    static constexpr int samples = 8;
    for (int phase = 0; phase < phases * phases; ++phase) {
      const double centre_x = reach_ + (phase % phases + 0.5) / phases;
      const double centre_y = reach_ + (phase / phases + 0.5) / phases;
      auto& coverage = coverage_[static_cast<std::size_t>(phase)];
      coverage.resize(static_cast<std::size_t>(side * side));
      for (int i = 0; i < side * side; ++i) {
        int inside = 0;
        for (int s = 0; s < samples * samples; ++s) {
          const double dx = i % side + (s % samples + 0.5) / samples - centre_x;
          const double dy = i / side + (s / samples + 0.5) / samples - centre_y;
          inside += dx * dx + dy * dy <= radius * radius;
        }
        coverage[static_cast<std::size_t>(i)] =
            static_cast<float>(inside) / static_cast<float>(samples * samples);
      }
    }
  }

  // Blends a disc at (x, y), in pixels, into premultiplied ARGB.
  void blend(unsigned char* bytes, int stride, int width, int height, double x, double y,
             Color color, float opacity) const {
    if (!(std::abs(x) < 1e6 && std::abs(y) < 1e6)) return;
    const double left = std::floor(x), top = std::floor(y);
    const int phase_x = static_cast<int>((x - left) * phases);
    const int phase_y = static_cast<int>((y - top) * phases);
    const auto& coverage = coverage_[static_cast<std::size_t>(phase_y * phases + phase_x)];
    const int side = 2 * reach_ + 1;
    const int origin_x = static_cast<int>(left) - reach_;
    const int origin_y = static_cast<int>(top) - reach_;
    const std::array<float, 4> source = {static_cast<float>(color.blue),
                                         static_cast<float>(color.green),
                                         static_cast<float>(color.red), 255.0F};
    for (int j = std::max(0, -origin_y); j < std::min(side, height - origin_y); ++j) {
      for (int i = std::max(0, -origin_x); i < std::min(side, width - origin_x); ++i) {
        const float alpha = opacity * coverage[static_cast<std::size_t>(j * side + i)];
        if (alpha == 0) continue;
        unsigned char* pixel = bytes + static_cast<std::ptrdiff_t>(origin_y + j) * stride +
                               static_cast<std::ptrdiff_t>(4) * (origin_x + i);
        // Little-endian ARGB32: blue, green, red, alpha.
        for (std::size_t c = 0; c < 4; ++c) {
          const float under = pixel[c];
          pixel[c] = static_cast<unsigned char>(under + alpha * (source[c] - under) + 0.5F);
        }
      }
    }
  }

 private:
  int reach_;
  std::array<std::vector<float>, static_cast<std::size_t>(phases* phases)> coverage_;
};

class Painter {
 public:
  Painter(cairo_surface_t* surface, double scale, Point origin)
      : surface_(surface), cairo_(make_context(surface)), scale_(scale), origin_(origin) {
    cairo_scale(cairo_.get(), scale, scale);
    cairo_translate(cairo_.get(), -origin.x, -origin.y);
  }

  void operator()(const Rectangle& mark) {
    set_color(cairo_.get(), mark.color, mark.opacity);
    cairo_rectangle(cairo_.get(), mark.box.x, mark.box.y, mark.box.width, mark.box.height);
    cairo_fill(cairo_.get());
  }

  void operator()(const Polygon& mark) {
    if (mark.points.empty()) return;
    set_color(cairo_.get(), mark.color, mark.opacity);
    trace(mark.points);
    cairo_close_path(cairo_.get());
    cairo_fill(cairo_.get());
  }

  void operator()(const Polyline& mark) {
    if (mark.points.empty()) return;
    set_color(cairo_.get(), mark.color);
    cairo_set_line_width(cairo_.get(), mark.width);
    static constexpr std::array<double, 2> dashes = {5, 4};
    // A round cap would fill the gaps of a dashed line and reach over the ends of a grid line.
    const bool is_plain = mark.dashed || mark.points.size() == 2;
    cairo_set_line_cap(cairo_.get(), is_plain ? CAIRO_LINE_CAP_BUTT : CAIRO_LINE_CAP_ROUND);
    cairo_set_dash(cairo_.get(), dashes.data(), mark.dashed ? 2 : 0, 0);
    trace(mark.points);
    cairo_stroke(cairo_.get());
  }

  void operator()(const Dots& mark) {
    if (!stamp_ || stamp_radius_ != mark.radius) {
      stamp_ = std::make_unique<Stamp>(mark.radius * scale_);
      stamp_radius_ = mark.radius;
    }
    cairo_surface_flush(surface_);
    for (const Point& p : mark.centres)
      stamp_->blend(cairo_image_surface_get_data(surface_),
                    cairo_image_surface_get_stride(surface_),
                    cairo_image_surface_get_width(surface_),
                    cairo_image_surface_get_height(surface_), (p.x - origin_.x) * scale_,
                    (p.y - origin_.y) * scale_, mark.color, static_cast<float>(mark.opacity));
    cairo_surface_mark_dirty(surface_);
  }

  void operator()(const Tiles& mark) {
    const Pixels& pixels = mark.pixels;
    if (pixels.width == 0 || pixels.height == 0) return;
    const Surface image = make_surface(CAIRO_FORMAT_RGB24, pixels.width, pixels.height);
    unsigned char* bytes = cairo_image_surface_get_data(image.get());
    const int stride = cairo_image_surface_get_stride(image.get());
    for (int y = 0; y < pixels.height; ++y) {
      for (int x = 0; x < pixels.width; ++x) {
        const Color color = pixels.at(x, y);
        unsigned char* pixel =
            bytes + static_cast<std::ptrdiff_t>(y) * stride + static_cast<std::ptrdiff_t>(4) * x;
        pixel[0] = color.blue;
        pixel[1] = color.green;
        pixel[2] = color.red;
      }
    }
    cairo_surface_mark_dirty(image.get());
    cairo_save(cairo_.get());
    cairo_translate(cairo_.get(), mark.box.x, mark.box.y);
    cairo_scale(cairo_.get(), mark.box.width / pixels.width, mark.box.height / pixels.height);
    cairo_set_source_surface(cairo_.get(), image.get(), 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cairo_.get()), CAIRO_FILTER_NEAREST);
    cairo_rectangle(cairo_.get(), 0, 0, pixels.width, pixels.height);
    cairo_fill(cairo_.get());
    cairo_restore(cairo_.get());
  }

  void operator()(const Text& mark) {
    const std::string text = clean_utf8(mark.text);
    select_font(cairo_.get(), mark.style.size, mark.style.bold);
    double x = mark.at.x;
    if (mark.style.anchor != Anchor::start)
      x -= measure(cairo_.get(), text) * (mark.style.anchor == Anchor::middle ? 0.5 : 1.0);
    cairo_move_to(cairo_.get(), x, mark.at.y);
    if (mark.style.halo) {
      cairo_text_path(cairo_.get(), text.c_str());
      set_color(cairo_.get(), white, 0.9);
      cairo_set_dash(cairo_.get(), nullptr, 0, 0);
      cairo_set_line_width(cairo_.get(), 4);
      cairo_stroke(cairo_.get());
      cairo_move_to(cairo_.get(), x, mark.at.y);
    }
    set_color(cairo_.get(), mark.style.color);
    cairo_show_text(cairo_.get(), text.c_str());
    cairo_new_path(cairo_.get());
  }

  void finish() const {
    check(cairo_status(cairo_.get()), "drawing");
    cairo_surface_flush(surface_);
  }

 private:
  void trace(const std::vector<Point>& points) {
    cairo_new_path(cairo_.get());
    for (const Point& p : points)
      cairo_line_to(cairo_.get(), p.x, p.y);
  }

  cairo_surface_t* surface_;
  Context cairo_;
  double scale_;
  Point origin_;
  std::unique_ptr<Stamp> stamp_;
  double stamp_radius_ = 0;
};

int pixels_for(double length, int scale) {
  const double pixels = std::ceil(length * scale - 1e-6);
  if (!(pixels >= 1 && pixels <= 30000))
    throw std::runtime_error("a figure of " + format_number(length) +
                             " pixels: expected 1 to 30,000 / " + std::to_string(scale));
  return static_cast<int>(pixels);
}

}  // namespace

Pixels rasterize(const Drawing& drawing, int scale) {
  const int width = pixels_for(drawing.width, scale), height = pixels_for(drawing.height, scale);
  const Surface surface = make_surface(CAIRO_FORMAT_RGB24, width, height);
  Painter painter(surface.get(), scale, {0, 0});
  painter(Rectangle{{0, 0, drawing.width + 1, drawing.height + 1}, white});
  for (const Mark& mark : drawing.marks)
    std::visit(painter, mark);
  painter.finish();

  Pixels pixels(width, height, white);
  const unsigned char* bytes = cairo_image_surface_get_data(surface.get());
  const int stride = cairo_image_surface_get_stride(surface.get());
  for (int y = 0; y < height; ++y) {
    const unsigned char* row = bytes + static_cast<std::ptrdiff_t>(y) * stride;
    for (int x = 0; x < width; ++x, row += 4)
      pixels.set(x, y, {row[2], row[1], row[0]});
  }
  return pixels;
}

Pixels rasterize_dots(std::span<const Mark> marks, const Box& region, int scale) {
  const int width = pixels_for(region.width, scale), height = pixels_for(region.height, scale);
  const Surface surface = make_surface(CAIRO_FORMAT_ARGB32, width, height);
  Painter painter(surface.get(), scale, {region.x, region.y});
  for (const Mark& mark : marks)
    std::visit(painter, mark);
  painter.finish();

  Pixels pixels;
  pixels.width = width;
  pixels.height = height;
  pixels.channels = 4;
  pixels.values.reserve(4 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
  const unsigned char* bytes = cairo_image_surface_get_data(surface.get());
  const int stride = cairo_image_surface_get_stride(surface.get());
  for (int y = 0; y < height; ++y) {
    const unsigned char* row = bytes + static_cast<std::ptrdiff_t>(y) * stride;
    for (int x = 0; x < width; ++x, row += 4) {
      const int alpha = row[3];
      for (const int c : {2, 1, 0})
        pixels.values.push_back(static_cast<std::uint8_t>(
            alpha == 0 ? 0 : std::min(255, (row[c] * 255 + alpha / 2) / alpha)));
      pixels.values.push_back(static_cast<std::uint8_t>(alpha));
    }
  }
  return pixels;
}

double text_width(std::string_view text, double size, bool bold) {
  // Cairo keeps fonts by face and size; a context of one's own keeps threads apart.
  static thread_local const Surface surface = make_surface(CAIRO_FORMAT_A8, 1, 1);
  static thread_local const Context context = make_context(surface.get());
  select_font(context.get(), size, bold);
  const double width = measure(context.get(), clean_utf8(text));
  check(cairo_status(context.get()), "measuring text");
  return width;
}

}  // namespace hourglass::report
