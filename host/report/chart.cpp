// Lines, bars and histograms.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "host/report/figure.hpp"
#include "host/report/layout.hpp"
#include "host/report/text.hpp"
#include "hourglass/error.hpp"

namespace hourglass::report {
namespace {

constexpr double line_width = 2;

Range as_range(const RangeFinder& finder, double padding, bool log) {
  if (!log) return finder.padded(padding);
  if (finder.is_empty()) return {0.1, 10};
  const Range exact = finder.padded(0);
  if (!(exact.low > 0)) return {exact.high / 10, exact.high * 10};
  const double margin = std::pow(exact.high / exact.low, padding);
  return {exact.low / margin, exact.high * margin};
}

bool is_plotted(double value, bool log) {
  return is_drawable(value) && (!log || value > 0);
}

double x_of(const LineSeries& series, std::size_t i) {
  if (series.x.empty()) return static_cast<double>(i + 1);
  return i < series.x.size() ? series.x[i] : std::nan("");
}

// Lines of a drawing, as far as they are in the way of a label.
using Curves = std::vector<std::vector<Point>>;

// How far the nearest curve stays from the middle of a label that spans [left, right].
double clearance(const Curves& curves, double left, double right, double middle) {
  double nearest = 40;
  for (const std::vector<Point>& curve : curves) {
    for (std::size_t i = 0; i + 1 < curve.size(); ++i) {
      const Point a = curve[i], b = curve[i + 1];
      const double from = std::max(left, a.x), to = std::min(right, b.x);
      if (from > to || !(b.x > a.x)) continue;
      const auto at = [&](double x) {
        return a.y + (x - a.x) / (b.x - a.x) * (b.y - a.y) - middle;
      };
      const double first = at(from), last = at(to);
      const double distance = first * last <= 0 ? 0 : std::min(std::abs(first), std::abs(last));
      nearest = std::min(nearest, distance);
    }
  }
  return nearest;
}

// The label stands above or below its line, at its right or left end, where the curves leave the
// most room.
void add_reference_label(Drawing& drawing, const ReferenceLine& reference, const Box& plot,
                         double at, const Curves& curves) {
  const std::string text = shorten_text(reference.label, plot.width - 8, tick_size);
  const double width = text_width(text, tick_size);
  Text best{{}, text, {.size = tick_size, .color = soft_ink, .halo = true}};
  double best_room = -1;
  for (const bool right : {true, false}) {
    for (const bool above : {true, false}) {
      const double baseline = above ? at - 6 : at + 14;
      if (baseline - 9 < plot.y || baseline + 2 > plot.bottom()) continue;
      const double left = right ? plot.right() - 4 - width : plot.x + 4;
      const double room = clearance(curves, left - 4, left + width + 4, baseline - 4);
      if (room <= best_room) continue;
      best_room = room;
      best.at = {left, baseline};
    }
  }
  if (best_room >= 0) drawing.add(std::move(best));
}

void add_vertical_references(Drawing& drawing, const std::vector<ReferenceLine>& references,
                             const Box& plot, const Scale& x) {
  for (const ReferenceLine& reference : references) {
    if (!is_drawable(reference.value)) continue;
    const double at = x(reference.value);
    add_line(drawing, {at, plot.y}, {at, plot.bottom()}, soft_ink, 1.25, true);
    const bool is_right = at > plot.x + plot.width * 0.6;
    drawing.add(Text{{at + (is_right ? -6 : 6), plot.y + 11},
                     shorten_text(reference.label, plot.width * 0.55, tick_size),
                     {.size = tick_size,
                      .color = soft_ink,
                      .anchor = is_right ? Anchor::end : Anchor::start,
                      .halo = true}});
  }
}

// Polylines between gaps; a value alone between two gaps is a dot.
void add_series(Drawing& drawing, const LineSeries& series, Color color, const Scale& x,
                const Scale& y, bool markers, bool log) {
  std::vector<Point> run;
  const auto flush = [&] {
    if (run.size() == 1 || markers) drawing.add(Dots{run, line_width + 1, color, 1});
    if (run.size() > 1) drawing.add(Polyline{run, color, line_width, series.dashed});
    run.clear();
  };
  for (std::size_t i = 0; i < series.y.size(); ++i) {
    if (is_plotted(series.y[i], log) && is_drawable(x_of(series, i))) {
      run.push_back({x(x_of(series, i)), y(series.y[i])});
    } else {
      flush();
    }
  }
  flush();
}

void add_band(Drawing& drawing, const LineSeries& series, Color color, const Scale& x,
              const Scale& y, bool log) {
  std::vector<Point> above, below;
  const auto flush = [&] {
    if (above.size() > 1) {
      above.insert(above.end(), below.rbegin(), below.rend());
      drawing.add(Polygon{above, color, 0.16});
    }
    above.clear();
    below.clear();
  };
  const std::size_t count = std::min(series.low.size(), series.high.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (is_plotted(series.low[i], log) && is_plotted(series.high[i], log) &&
        is_drawable(x_of(series, i))) {
      above.push_back({x(x_of(series, i)), y(series.high[i])});
      below.push_back({x(x_of(series, i)), y(series.low[i])});
    } else {
      flush();
    }
  }
  flush();
}

}  // namespace

Drawing draw(const LineFigure& figure) {
  RangeFinder x_values, y_values;
  std::size_t unplotted = 0;
  for (const LineSeries& series : figure.series) {
    for (std::size_t i = 0; i < series.y.size(); ++i) {
      if (!is_plotted(series.y[i], figure.log_y) || !is_drawable(x_of(series, i))) {
        ++unplotted;
        continue;
      }
      x_values.add(x_of(series, i));
      y_values.add(series.y[i]);
    }
    for (const auto* bound : {&series.low, &series.high})
      for (const double value : *bound)
        if (is_plotted(value, figure.log_y)) y_values.add(value);
  }
  const bool is_empty = y_values.is_empty();
  for (const ReferenceLine& reference : figure.references)
    if (is_plotted(reference.value, figure.log_y)) y_values.add(reference.value);

  const Range y_range = as_range(y_values, 0.05, figure.log_y);
  const Range x_range = x_values.padded(0.02);
  const int y_target = std::max(2, static_cast<int>(figure.plot_height / 55));
  const std::vector<Tick> y_ticks =
      figure.log_y ? log_ticks(y_range, y_target) : linear_ticks(y_range, y_target);
  const std::vector<Tick> x_ticks =
      linear_ticks(x_range, static_cast<int>(figure.plot_width / 50), figure.whole_x);

  const double left = std::ceil(margin + widest_label(y_ticks) + 8);
  Drawing drawing;
  drawing.width = left + figure.plot_width + right_space(x_ticks);
  double y = add_heading(drawing, figure.title, figure.note);
  std::vector<LegendEntry> legend;
  for (std::size_t i = 0; i < figure.series.size(); ++i)
    legend.push_back({figure.series[i].name, series_color(figure.series[i].color.value_or(i)),
                      figure.series[i].dashed});
  y = add_legend_rows(drawing, legend, LegendSample::line, y);
  if (!figure.y_label.empty()) y += axis_name_height;

  const Box plot = {left, y, figure.plot_width, figure.plot_height};
  const Scale x_scale{x_range, plot.x, plot.right()};
  const Scale y_scale{y_range, plot.bottom(), plot.y, figure.log_y};
  add_y_axis(drawing, plot, y_scale, y_ticks, true);
  add_x_axis(drawing, plot, x_scale, x_ticks, false);
  add_line(drawing, {plot.x, plot.bottom()}, {plot.right(), plot.bottom()}, axis_color);
  if (!figure.log_y && y_range.low < 0 && y_range.high > 0)
    add_line(drawing, {plot.x, y_scale(0)}, {plot.right(), y_scale(0)}, axis_color);
  for (std::size_t i = 0; i < figure.series.size(); ++i)
    add_band(drawing, figure.series[i], legend[i].color, x_scale, y_scale, figure.log_y);
  for (const ReferenceLine& reference : figure.references)
    if (is_plotted(reference.value, figure.log_y))
      add_line(drawing, {plot.x, y_scale(reference.value)},
               {plot.right(), y_scale(reference.value)}, soft_ink, 1.25, true);
  // The first series is the one the figure is about: it lies on top.
  for (std::size_t i = figure.series.size(); i-- > 0;)
    add_series(drawing, figure.series[i], legend[i].color, x_scale, y_scale,
               figure.series[i].y.size() <= 20, figure.log_y);
  Curves curves;
  for (const Mark& mark : drawing.marks)
    if (const auto* line = std::get_if<Polyline>(&mark); line && line->points.size() > 2)
      curves.push_back(line->points);
  for (const ReferenceLine& reference : figure.references)
    if (is_plotted(reference.value, figure.log_y))
      add_reference_label(drawing, reference, plot, y_scale(reference.value), curves);
  if (is_empty) add_no_data(drawing, plot);
  add_y_name(drawing, plot, figure.y_label);
  add_x_name(drawing, plot, figure.x_label);
  const std::string why = figure.log_y ? "not finite or not positive" : "not finite";
  drawing.height = add_footnote(drawing, left_out(unplotted, "value", why),
                                plot.bottom() + x_axis_height +
                                    (figure.x_label.empty() ? 0 : axis_name_height)) +
                   margin / 2;
  return drawing;
}

namespace {

constexpr double bar_height = 15;
constexpr double bar_gap = 3;
constexpr double group_gap = 15;
constexpr double group_name_limit = 200;

int bar_ticks(const BarFigure& figure) {
  return static_cast<int>(figure.plot_width / 80);
}

std::string value_text(const Bar& bar, int decimals) {
  if (std::isnan(bar.value)) return "–";
  const std::string value = format_fixed(bar.value, decimals);
  return bar.error > 0 ? value + " ± " + format_fixed(bar.error, decimals) : value;
}

struct BarReach {
  double low;
  double high;
};

/// One deviation each way, but not below zero where no sample is: a share or a count never is.
BarReach whisker_of(const Bar& bar) {
  const double error = is_drawable(bar.error) ? std::max(bar.error, 0.0) : 0.0;
  const bool never_negative =
      !bar.samples.empty() && bar.value >= 0 &&
      std::none_of(bar.samples.begin(), bar.samples.end(), [](double s) { return s < 0; });
  const double low = bar.value - error;
  return {never_negative ? std::max(low, 0.0) : low, bar.value + error};
}

BarReach reach_of(const Bar& bar) {
  BarReach reach = whisker_of(bar);
  for (const double sample : bar.samples) {
    if (!is_drawable(sample)) continue;
    reach.low = std::min(reach.low, sample);
    reach.high = std::max(reach.high, sample);
  }
  return reach;
}

void add_bar(Drawing& drawing, const Bar& bar, const BarFigure& figure, Color color, const Scale& x,
             double y) {
  const double middle = y + bar_height / 2;
  const double zero = figure.from_zero ? x(0) : x.start;
  const std::string text = value_text(bar, figure.decimals);
  const TextStyle style = {.size = tick_size, .color = ink, .halo = !figure.from_zero};
  if (!is_drawable(bar.value)) {
    drawing.add(Text{{zero + 6, middle + 4}, text, style});
    return;
  }
  const BarReach reach = reach_of(bar);
  const double at = x(bar.value);
  if (figure.from_zero)
    drawing.add(Rectangle{{std::min(at, zero), y, std::abs(at - zero), bar_height}, color});
  if (bar.error > 0 && is_drawable(bar.error)) {
    const BarReach ends = whisker_of(bar);
    const double low = x(ends.low), high = x(ends.high);
    const Color whisker = figure.from_zero ? ink : color;
    add_line(drawing, {low, middle}, {high, middle}, whisker, 1.5);
    for (const double end : {low, high})
      add_line(drawing, {end, middle - 3.5}, {end, middle + 3.5}, whisker, 1.5);
  }
  if (!figure.from_zero) drawing.add(Dots{{{at, middle}}, 5.5, color, 1});
  Dots samples{{}, 2.2, ink, 0.6};
  for (const double sample : bar.samples)
    if (is_drawable(sample)) samples.centres.push_back({x(sample), middle});
  if (!samples.centres.empty()) drawing.add(std::move(samples));
  const bool is_left = figure.from_zero && bar.value < 0;
  TextStyle placed = style;
  placed.anchor = is_left ? Anchor::end : Anchor::start;
  const double text_x = is_left ? std::min(x(reach.low), zero) - 8
                                : std::max(x(reach.high), figure.from_zero ? zero : 0) + 9;
  drawing.add(Text{{text_x, middle + 4}, text, placed});
}

}  // namespace

Drawing draw(const BarFigure& figure) {
  RangeFinder values;
  double text_right = 0, text_left = 0, names = 0;
  std::size_t rows = 0;
  for (const BarSeries& series : figure.series) {
    if (series.bars.size() != figure.groups.size())
      throw UsageError(fmt::format("bar figure '{}': series '{}' has {} bars for {} groups",
                                   figure.title, series.name, series.bars.size(),
                                   figure.groups.size()));
    for (const Bar& bar : series.bars) {
      const double width = text_width(value_text(bar, figure.decimals), tick_size) + 12;
      double& side = figure.from_zero && bar.value < 0 ? text_left : text_right;
      side = std::max(side, width);
      if (!is_drawable(bar.value)) continue;
      const BarReach reach = reach_of(bar);
      values.add(reach.low);
      values.add(reach.high);
      ++rows;
    }
  }
  for (const ReferenceLine& reference : figure.references)
    values.add(reference.value);
  const bool is_empty = rows == 0;
  if (figure.from_zero && !values.is_empty()) values.add(0);
  Range range = values.padded(figure.from_zero ? 0 : 0.06);
  if (figure.from_zero) {
    // The axis begins at zero exactly where no bar is negative.
    if (range.low > 0) range.low = 0;
    if (range.high < 0) range.high = 0;
    range = grow_to_ticks(range, bar_ticks(figure));
  }
  for (const std::string& group : figure.groups)
    names =
        std::max(names, text_width(shorten_text(group, group_name_limit, label_size), label_size));
  const double group_height =
      static_cast<double>(figure.series.size()) * (bar_height + bar_gap) - bar_gap;
  const double height = std::max(
      60.0, static_cast<double>(figure.groups.size()) * (group_height + group_gap) + group_gap / 2);

  Drawing drawing;
  const std::vector<Tick> ticks = linear_ticks(range, bar_ticks(figure));
  const double left = std::ceil(margin + names + 12 + text_left);
  drawing.width = left + figure.plot_width + std::max(text_right + margin, right_space(ticks));
  double y = add_heading(drawing, figure.title, figure.note);
  std::vector<LegendEntry> legend;
  for (std::size_t i = 0; i < figure.series.size(); ++i)
    legend.push_back({figure.series[i].name, series_color(i)});
  y = add_legend_rows(drawing, legend, figure.from_zero ? LegendSample::block : LegendSample::dot,
                      y);
  const double reference_height = figure.references.empty() ? 0 : 16;

  const Box plot = {left, y, figure.plot_width, height + reference_height};
  const Scale x{range, plot.x, plot.right()};
  add_x_axis(drawing, plot, x, ticks, true);
  if (range.low <= 0 && range.high >= 0)
    add_line(drawing, {x(0), plot.y}, {x(0), plot.bottom()}, axis_color);
  add_vertical_references(drawing, figure.references, plot, x);
  for (std::size_t group = 0; group < figure.groups.size(); ++group) {
    const double top = plot.y + reference_height + group_gap * 0.75 +
                       static_cast<double>(group) * (group_height + group_gap);
    drawing.add(Text{{margin, top + group_height / 2 + 4},
                     shorten_text(figure.groups[group], group_name_limit, label_size),
                     {.size = label_size}});
    for (std::size_t s = 0; s < figure.series.size(); ++s)
      add_bar(drawing, figure.series[s].bars[group], figure, series_color(s), x,
              top + static_cast<double>(s) * (bar_height + bar_gap));
  }
  if (is_empty) add_no_data(drawing, plot);
  add_x_name(drawing, plot, figure.value_label);
  drawing.height = plot.bottom() + x_axis_height +
                   (figure.value_label.empty() ? 0 : axis_name_height) + margin / 2;
  return drawing;
}

Drawing draw(const HistogramFigure& figure) {
  RangeFinder x_values, y_values;
  x_values.add(figure.edges);
  double smallest = 1e300;
  std::size_t unplotted = 0;
  for (const HistogramFigure::Series& series : figure.series) {
    if (series.heights.size() + 1 != figure.edges.size())
      throw UsageError(fmt::format("histogram '{}': {} edges for the {} heights of '{}'",
                                   figure.title, figure.edges.size(), series.heights.size(),
                                   series.name));
    for (const double height : series.heights) {
      if (!is_drawable(height)) {
        ++unplotted;
      } else if (is_plotted(height, figure.log_y)) {
        y_values.add(height);
        smallest = std::min(smallest, height);
      }
    }
  }
  const bool is_empty = y_values.is_empty();
  Range y_range = {0, 1};
  if (figure.log_y) {
    y_range = as_range(y_values, 0.06, true);
    // A bar of the smallest height must still be seen: the axis begins at half of it.
    if (!is_empty) y_range.low = smallest / 2;
  } else {
    if (!is_empty) y_values.add(0);
    const Range exact = y_values.padded(0);
    y_range = {exact.low < 0 && smallest < 0 ? exact.low * 1.05 : 0.0, exact.high * 1.05};
    if (!(y_range.length() > 0)) y_range = {y_range.low, y_range.low + 1};
  }
  const Range x_range = x_values.padded(0);
  const int y_target = std::max(2, static_cast<int>(figure.plot_height / 55));
  const std::vector<Tick> y_ticks =
      figure.log_y ? log_ticks(y_range, y_target) : linear_ticks(y_range, y_target);

  const std::vector<Tick> x_ticks =
      linear_ticks(x_range, static_cast<int>(figure.plot_width / 65), figure.whole_x);

  Drawing drawing;
  const double left = std::ceil(margin + widest_label(y_ticks) + 8);
  drawing.width = left + figure.plot_width + right_space(x_ticks);
  double y = add_heading(drawing, figure.title, figure.note);
  std::vector<LegendEntry> legend;
  for (std::size_t i = 0; i < figure.series.size(); ++i)
    legend.push_back({figure.series[i].name, series_color(i)});
  y = add_legend_rows(drawing, legend, LegendSample::block, y);
  if (!figure.y_label.empty()) y += axis_name_height;

  const Box plot = {left, y, figure.plot_width, figure.plot_height};
  const Scale x_scale{x_range, plot.x, plot.right()};
  const Scale y_scale{y_range, plot.bottom(), plot.y, figure.log_y};
  add_y_axis(drawing, plot, y_scale, y_ticks, true);
  add_x_axis(drawing, plot, x_scale, x_ticks, false);
  const double base = figure.log_y ? plot.bottom() : y_scale(0);
  const bool single = figure.series.size() == 1;
  for (std::size_t s = 0; s < figure.series.size(); ++s) {
    std::vector<Point> outline;
    const auto& heights = figure.series[s].heights;
    // Empty bins at either end would only draw over the axis.
    const auto is_filled = [&](double h) { return h != 0 && is_plotted(h, figure.log_y); };
    const auto first = std::ranges::find_if(heights, is_filled) - heights.begin();
    const auto last = heights.rend() - std::find_if(heights.rbegin(), heights.rend(), is_filled);
    for (auto i = static_cast<std::size_t>(first); std::cmp_less(i, last); ++i) {
      const double from = figure.edges[i], to = figure.edges[i + 1];
      if (!is_drawable(from) || !is_drawable(to)) continue;
      const double at = is_plotted(heights[i], figure.log_y) ? y_scale(heights[i]) : base;
      if (outline.empty()) outline.push_back({x_scale(from), base});
      outline.push_back({x_scale(from), at});
      outline.push_back({x_scale(to), at});
    }
    if (outline.empty()) continue;
    outline.push_back({outline.back().x, base});
    drawing.add(Polygon{outline, series_color(s), single ? 0.75 : 0.22});
    if (!single) drawing.add(Polyline{outline, series_color(s), 1.5});
  }
  add_line(drawing, {plot.x, base}, {plot.right(), base}, axis_color);
  add_vertical_references(drawing, figure.references, plot, x_scale);
  if (is_empty) add_no_data(drawing, plot);
  add_y_name(drawing, plot, figure.y_label);
  add_x_name(drawing, plot, figure.x_label);
  drawing.height = add_footnote(drawing, left_out(unplotted, "value", "not finite"),
                                plot.bottom() + x_axis_height +
                                    (figure.x_label.empty() ? 0 : axis_name_height)) +
                   margin / 2;
  return drawing;
}

std::vector<double> count_values(std::span<const float> values, std::size_t bins, Range range) {
  std::vector<double> counts(bins);
  if (bins == 0 || !(range.length() > 0)) return counts;
  for (const float value : values) {
    if (!(value >= range.low && value <= range.high)) continue;
    const double position = (value - range.low) / range.length() * static_cast<double>(bins);
    ++counts[std::min(static_cast<std::size_t>(position), bins - 1)];
  }
  return counts;
}

std::vector<double> equal_edges(std::size_t bins, Range range) {
  std::vector<double> edges(bins + 1);
  for (std::size_t i = 0; i <= bins; ++i)
    edges[i] = range.low + range.length() * static_cast<double>(i) /
                               static_cast<double>(std::max<std::size_t>(bins, 1));
  return edges;
}

}  // namespace hourglass::report
