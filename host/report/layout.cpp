#include "host/report/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/text.hpp"

namespace hourglass::report {
namespace {

constexpr double legend_row_height = 20;
constexpr double legend_name_limit = 260;  // CSS pixels; longer names are shortened

void add_sample(Drawing& drawing, const LegendEntry& entry, LegendSample sample, double x,
                double middle) {
  switch (sample) {
    case LegendSample::dot:
      drawing.add(Dots{{{x + 6, middle}}, 5, entry.color, 1});
      break;
    case LegendSample::line:
      add_line(drawing, {x, middle}, {x + 22, middle}, entry.color, 2.25, entry.dashed);
      break;
    case LegendSample::block:
      drawing.add(Rectangle{{x, middle - 5.5, 11, 11}, entry.color});
      break;
  }
}

}  // namespace

double add_heading(Drawing& drawing, const std::string& title, const std::string& note) {
  drawing.title = title;
  const double width = drawing.width - 2 * margin;
  double y = 12;
  for (const std::string& line : wrap_text(title, width, title_size, true)) {
    y += 19;
    drawing.add(Text{{margin, y - 3}, line, {.size = title_size, .bold = true}});
  }
  for (const std::string& line : wrap_text(note, width, note_size)) {
    y += 16;
    drawing.add(Text{{margin, y - 1}, line, {.size = note_size, .color = soft_ink}});
  }
  return y + 12;
}

double add_footnote(Drawing& drawing, const std::string& text, double y) {
  for (const std::string& line : wrap_text(text, drawing.width - 2 * margin, tick_size)) {
    y += 16;
    drawing.add(Text{{margin, y - 4}, line, {.size = tick_size, .color = soft_ink}});
  }
  return text.empty() ? y : y + 4;
}

double add_legend_rows(Drawing& drawing, const std::vector<LegendEntry>& entries,
                       LegendSample sample, double y) {
  if (entries.size() < 2) return y;
  const double sample_width = sample == LegendSample::line ? 29 : 17;
  double x = margin;
  for (const LegendEntry& entry : entries) {
    const std::string name = shorten_text(entry.name, legend_name_limit, label_size);
    const double width = sample_width + text_width(name, label_size);
    if (x > margin && x + width > drawing.width - margin) {
      x = margin;
      y += legend_row_height;
    }
    add_sample(drawing, entry, sample, x, y + legend_row_height / 2 - 2);
    drawing.add(
        Text{{x + sample_width, y + legend_row_height / 2 + 2}, name, {.size = label_size}});
    x += width + 20;
  }
  return y + legend_row_height + 4;
}

namespace {

std::size_t legend_rows(double height) {
  return std::max<std::size_t>(
      1, static_cast<std::size_t>((height - legend_row_height) / legend_row_height));
}

double legend_entry_width(const std::vector<LegendEntry>& entries) {
  double width = 0;
  for (const LegendEntry& entry : entries)
    width = std::max(
        width, text_width(shorten_text(entry.name, legend_name_limit, label_size), label_size));
  return width + 19;
}

}  // namespace

double legend_column_width(const std::string& title, const std::vector<LegendEntry>& entries,
                           double height) {
  if (entries.empty()) return 0;
  const std::size_t rows = legend_rows(height);
  const auto columns = static_cast<double>((entries.size() + rows - 1) / rows);
  return std::max(text_width(title, label_size, true),
                  columns * (legend_entry_width(entries) + 14) - 14);
}

void add_legend_column(Drawing& drawing, const std::string& title,
                       const std::vector<LegendEntry>& entries, const Box& box) {
  if (entries.empty()) return;
  drawing.add(Text{{box.x, box.y + 11}, title, {.size = label_size, .bold = true}});
  const std::size_t rows = legend_rows(box.height);
  const double column_width = legend_entry_width(entries) + 14;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const double x = box.x + static_cast<double>(i / rows) * column_width;
    const double middle = box.y + legend_row_height * (static_cast<double>(i % rows) + 1.5);
    add_sample(drawing, entries[i], LegendSample::dot, x, middle);
    drawing.add(Text{{x + 19, middle + 4},
                     shorten_text(entries[i].name, legend_name_limit, label_size),
                     {.size = label_size}});
  }
}

double Scale::operator()(double value) const {
  const auto position = [&](double low, double high, double at) {
    return start + (at - low) / (high - low) * (end - start);
  };
  if (log) return position(std::log10(range.low), std::log10(range.high), std::log10(value));
  return position(range.low, range.high, value);
}

double widest_label(const std::vector<Tick>& ticks) {
  double width = 0;
  for (const Tick& tick : ticks)
    width = std::max(width, text_width(tick.label, tick_size));
  return width;
}

namespace {

// A line of width 1 there covers whole pixels of the PNG, which has two a CSS pixel.
double sharp(double at) {
  return std::round(2 * at) / 2;
}

}  // namespace

double right_space(const std::vector<Tick>& ticks) {
  if (ticks.empty()) return margin;
  return std::max(margin, text_width(ticks.back().label, tick_size) / 2 + 6);
}

void add_x_axis(Drawing& drawing, const Box& plot, const Scale& x, const std::vector<Tick>& ticks,
                bool grid) {
  for (const Tick& tick : ticks) {
    const double at = sharp(x(tick.value));
    if (grid) add_line(drawing, {at, plot.y}, {at, plot.bottom()}, grid_color);
    if (!grid) add_line(drawing, {at, plot.bottom()}, {at, plot.bottom() + 4}, axis_color);
    drawing.add(Text{{at, plot.bottom() + 18},
                     tick.label,
                     {.size = tick_size, .color = soft_ink, .anchor = Anchor::middle}});
  }
}

void add_y_axis(Drawing& drawing, const Box& plot, const Scale& y, const std::vector<Tick>& ticks,
                bool grid) {
  for (const Tick& tick : ticks) {
    const double at = sharp(y(tick.value));
    if (grid) add_line(drawing, {plot.x, at}, {plot.right(), at}, grid_color);
    drawing.add(Text{{plot.x - 8, at + 4},
                     tick.label,
                     {.size = tick_size, .color = soft_ink, .anchor = Anchor::end}});
  }
}

void add_x_name(Drawing& drawing, const Box& plot, const std::string& name) {
  if (name.empty()) return;
  drawing.add(Text{{plot.x + plot.width / 2, plot.bottom() + x_axis_height + 13},
                   shorten_text(name, plot.width, label_size),
                   {.size = label_size, .anchor = Anchor::middle}});
}

void add_y_name(Drawing& drawing, const Box& plot, const std::string& name) {
  if (name.empty()) return;
  drawing.add(Text{{margin, plot.y - 12},
                   shorten_text(name, plot.right() - margin, label_size),
                   {.size = label_size}});
}

void add_no_data(Drawing& drawing, const Box& plot) {
  drawing.add(Text{{plot.x + plot.width / 2, plot.y + plot.height / 2 + 4},
                   "no data",
                   {.size = 13, .color = soft_ink, .anchor = Anchor::middle}});
}

void add_line(Drawing& drawing, Point from, Point to, Color color, double width, bool dashed) {
  drawing.add(Polyline{{from, to}, color, width, dashed});
}

std::string left_out(std::size_t count, const std::string& what, const std::string& why) {
  if (count == 0) return "";
  return fmt::format("{} {}{} left out: {}.", format_fixed(static_cast<double>(count), 0), what,
                     count == 1 ? "" : "s", why);
}

}  // namespace hourglass::report
