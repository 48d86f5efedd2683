#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "host/report/figure.hpp"
#include "host/report/layout.hpp"
#include "hourglass/error.hpp"

namespace hourglass::report {
namespace {

constexpr double legend_gap = 22;
constexpr std::size_t most_classes =
    60;  // beyond them no reader tells colours or finds names: the rest is grey

void check(const ScatterFigure& figure) {
  if (figure.points.rows != 0 && figure.points.columns != 2)
    throw UsageError(fmt::format("scatter figure '{}': the points have {} columns, expected 2",
                                 figure.title, figure.points.columns));
  if (!figure.labels.empty() && std::cmp_not_equal(figure.labels.size(), figure.points.rows))
    throw UsageError(fmt::format("scatter figure '{}': {} labels for {} points", figure.title,
                                 figure.labels.size(), figure.points.rows));
}

// The classes of several scatters together.
struct Classes {
  std::vector<std::int32_t> labels;  // distinct, ascending, not negative
  std::size_t count = 0;             // largest label + 1
  std::vector<std::string> names;
  bool has_unlabelled = false;
  bool has_others = false;

  // labels.size() for a point without a class.
  [[nodiscard]] std::size_t position(std::int32_t label) const {
    const auto found = std::ranges::lower_bound(labels, label);
    const bool is_known = found != labels.end() && *found == label;
    return is_known ? static_cast<std::size_t>(found - labels.begin()) : labels.size();
  }
  // Digits keep their colour even where one of them is absent.
  [[nodiscard]] Color color(std::size_t position) const {
    const bool by_label = count <= class_palette_size;
    return class_color(by_label ? static_cast<std::size_t>(labels[position]) : position,
                       by_label ? count : labels.size());
  }
  [[nodiscard]] std::vector<LegendEntry> legend() const {
    std::vector<LegendEntry> entries;
    for (std::size_t i = 0; i < labels.size(); ++i)
      entries.push_back({names[i], color(i)});
    if (has_others || (has_unlabelled && !entries.empty()))
      entries.push_back({has_others ? "other" : "none", axis_color});
    return entries;
  }
};

Classes find_classes(std::span<const ScatterFigure> figures) {
  Classes classes;
  for (const ScatterFigure& figure : figures) {
    std::vector<std::int32_t> distinct = figure.labels;
    std::ranges::sort(distinct);
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    classes.labels.insert(classes.labels.end(), distinct.begin(), distinct.end());
    classes.has_unlabelled = classes.has_unlabelled || figure.labels.empty();
  }
  auto& labels = classes.labels;
  std::ranges::sort(labels);
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  if (!labels.empty() && labels.front() < 0) {
    classes.has_unlabelled = true;
    labels.erase(labels.begin(), std::ranges::lower_bound(labels, 0));
  }
  if (labels.size() > most_classes) {
    labels.resize(most_classes);
    classes.has_others = true;
  }
  if (labels.empty()) return classes;
  classes.count = static_cast<std::size_t>(labels.back()) + 1;
  for (const std::int32_t label : labels) {
    std::string name = std::to_string(label);
    for (const ScatterFigure& figure : figures) {
      if (std::cmp_less(label, figure.class_names.size())) {
        name = figure.class_names[static_cast<std::size_t>(label)];
        break;
      }
    }
    classes.names.push_back(std::move(name));
  }
  return classes;
}

struct Axes {
  Range x;
  Range y;
};

bool is_shown(const Matrix& points, std::int64_t i) {
  return is_drawable(points(i, 0)) && is_drawable(points(i, 1));
}

// Axes that hold the points of all `figures`.
Axes find_axes(std::span<const ScatterFigure> figures, double width, double height) {
  Axes axes;
  RangeFinder x, y;
  bool equal_aspect = false;
  for (const ScatterFigure& figure : figures) {
    equal_aspect = equal_aspect || figure.equal_aspect;
    for (std::int64_t i = 0; i < figure.points.rows; ++i) {
      if (!is_shown(figure.points, i)) continue;
      x.add(figure.points(i, 0));
      y.add(figure.points(i, 1));
    }
  }
  axes.x = x.padded(0.03);
  axes.y = y.padded(0.03);
  if (equal_aspect) {
    // Units a pixel of the tighter axis; the other grows around its middle.
    const double unit = std::max(axes.x.length() / width, axes.y.length() / height);
    const auto grow = [unit](Range& range, double pixels) {
      const double middle = range.low + range.length() / 2;
      range = {middle - unit * pixels / 2, middle + unit * pixels / 2};
    };
    grow(axes.x, width);
    grow(axes.y, height);
  }
  return axes;
}

std::size_t count_left_out(const ScatterFigure& figure) {
  std::size_t count = 0;
  for (std::int64_t i = 0; i < figure.points.rows; ++i)
    count += !is_shown(figure.points, i);
  return count;
}

// The order in which points are drawn: a fixed permutation (Fisher-Yates over splitmix64), so that
// classes that lie one after another in the data do not cover each other in turn.
std::vector<std::int64_t> drawing_order(std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::uint64_t state = 0x9E3779B97F4A7C15U;
  for (std::size_t i = order.size(); i > 1; --i) {
    std::uint64_t z = state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    std::swap(order[i - 1], order[(z ^ (z >> 31)) % i]);
  }
  return order;
}

// Where a class is densest: the mean of its points around the fullest cell of a coarse grid. A
// plain mean would fall between the two islands of a class that a map has split.
Point densest_place(const std::vector<Point>& points, const Box& plot) {
  static constexpr int side = 24;
  std::vector<int> counts(static_cast<std::size_t>(side * side));
  const auto cell = [&](const Point& p) {
    const auto index = [](double fraction) {
      return std::clamp(static_cast<int>(fraction * side), 0, side - 1);
    };
    return std::pair{index((p.x - plot.x) / plot.width), index((p.y - plot.y) / plot.height)};
  };
  for (const Point& p : points) {
    const auto [column, row] = cell(p);
    ++counts[static_cast<std::size_t>(row * side + column)];
  }
  int best = -1, best_column = 0, best_row = 0;
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      int sum = 0;
      for (int r = std::max(0, row - 1); r <= std::min(side - 1, row + 1); ++r)
        for (int c = std::max(0, column - 1); c <= std::min(side - 1, column + 1); ++c)
          sum += counts[static_cast<std::size_t>(r * side + c)];
      if (sum > best) best = sum, best_column = column, best_row = row;
    }
  }
  Point mean;
  double count = 0;
  for (const Point& p : points) {
    const auto [column, row] = cell(p);
    if (std::abs(column - best_column) > 1 || std::abs(row - best_row) > 1) continue;
    mean.x += p.x;
    mean.y += p.y;
    ++count;
  }
  return {mean.x / count, mean.y / count};
}

// Pushes names apart that would be printed over each other.
void separate(std::vector<Point>& places, double distance, const Box& plot) {
  for (int pass = 0; pass < 60; ++pass) {
    bool moved = false;
    for (std::size_t i = 0; i < places.size(); ++i) {
      for (std::size_t j = i + 1; j < places.size(); ++j) {
        double dx = places[j].x - places[i].x, dy = places[j].y - places[i].y;
        double length = std::hypot(dx, dy);
        if (length >= distance) continue;
        if (length < 1e-6) {
          dx = std::cos(static_cast<double>(j));
          dy = std::sin(static_cast<double>(j));
          length = 1;
        }
        const double push = (distance - std::min(length, distance)) / 2 / length;
        places[i].x -= push * dx;
        places[i].y -= push * dy;
        places[j].x += push * dx;
        places[j].y += push * dy;
        moved = true;
      }
    }
    for (Point& p : places) {
      p.x = std::clamp(p.x, plot.x + 8, plot.right() - 8);
      p.y = std::clamp(p.y, plot.y + 8, plot.bottom() - 8);
    }
    if (!moved) break;
  }
}

void draw_cloud(Drawing& drawing, const ScatterFigure& figure, const Classes& classes,
                const Scale& x, const Scale& y, const Box& plot) {
  const auto count = static_cast<double>(std::max<std::int64_t>(figure.points.rows, 1));
  const double radius =
      std::clamp(3.3 * std::pow(200 / count, 0.17), 0.6, 3.3) * std::sqrt(plot.width / 460);
  const double opacity = std::clamp(0.9 - 0.1 * (std::log10(count) - 2.7), 0.35, 0.9);

  // Slabs of the drawing order; inside a slab one group of dots a class, whose turn rotates.
  const std::vector<std::int64_t> order = drawing_order(figure.points.rows);
  const std::size_t slabs = std::clamp<std::size_t>(order.size() / 500, 1, 24);
  const std::size_t groups = classes.labels.size() + 1;  // the last: no class
  std::vector<std::vector<Point>> by_class(groups);
  for (std::size_t slab = 0; slab < slabs; ++slab) {
    std::vector<Dots> marks(groups);
    for (std::size_t at = slab * order.size() / slabs; at < (slab + 1) * order.size() / slabs;
         ++at) {
      const std::int64_t i = order[at];
      if (!is_shown(figure.points, i)) continue;
      const std::int32_t label =
          figure.labels.empty() ? -1 : figure.labels[static_cast<std::size_t>(i)];
      const std::size_t group = classes.position(label);
      const Point place = {x(figure.points(i, 0)), y(figure.points(i, 1))};
      marks[group].centres.push_back(place);
      if (figure.name_clusters) by_class[group].push_back(place);
    }
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t group = (g + slab * 3) % groups;
      Dots& dots = marks[group];
      if (dots.centres.empty()) continue;
      dots.radius = radius;
      dots.opacity = opacity;
      dots.color = group + 1 == groups ? (classes.labels.empty() ? series_color(0) : axis_color)
                                       : classes.color(group);
      drawing.add(std::move(dots));
    }
  }

  if (!figure.name_clusters) return;
  std::vector<Point> places;
  std::vector<std::string> names;
  for (std::size_t group = 0; group + 1 < groups; ++group) {
    if (by_class[group].empty()) continue;
    places.push_back(densest_place(by_class[group], plot));
    names.push_back(classes.names[group]);
  }
  separate(places, 17, plot);
  for (std::size_t i = 0; i < places.size(); ++i)
    drawing.add(Text{{places[i].x, places[i].y + 5},
                     shorten_text(names[i], 120, 14, true),
                     {.size = 14, .anchor = Anchor::middle, .bold = true, .halo = true}});
}

int tick_target(double pixels) {
  return std::max(2, static_cast<int>(pixels / 75));
}

void draw_panel(Drawing& drawing, const ScatterFigure& figure, const Classes& classes,
                const Axes& axes, const Box& plot) {
  const Scale x{axes.x, plot.x, plot.right()};
  const Scale y{axes.y, plot.bottom(), plot.y};
  add_x_axis(drawing, plot, x, linear_ticks(axes.x, tick_target(plot.width)), true);
  add_y_axis(drawing, plot, y, linear_ticks(axes.y, tick_target(plot.height)), true);
  if (!figure.equal_aspect) {
    // Codes: where zero is matters (a rectified code has no negative side).
    if (axes.x.low < 0 && axes.x.high > 0)
      add_line(drawing, {x(0), plot.y}, {x(0), plot.bottom()}, axis_color);
    if (axes.y.low < 0 && axes.y.high > 0)
      add_line(drawing, {plot.x, y(0)}, {plot.right(), y(0)}, axis_color);
  }
  if (std::cmp_equal(count_left_out(figure), figure.points.rows)) {
    add_no_data(drawing, plot);
  } else {
    draw_cloud(drawing, figure, classes, x, y, plot);
  }
  add_x_name(drawing, plot, figure.x_label);
}

std::string footnote(std::size_t count) {
  return left_out(count, "point", "not finite");
}

double left_space(const Axes& axes, double height) {
  return std::ceil(margin + widest_label(linear_ticks(axes.y, tick_target(height))) + 8);
}

double below(const ScatterFigure& figure) {
  return x_axis_height + (figure.x_label.empty() ? 0 : axis_name_height);
}

}  // namespace

Drawing draw(const ScatterFigure& figure) {
  check(figure);
  const Classes classes = find_classes({&figure, 1});
  const Axes axes = find_axes({&figure, 1}, figure.plot_width, figure.plot_height);
  const std::vector<LegendEntry> legend = classes.legend();
  const double legend_width = legend_column_width(figure.legend_title, legend, figure.plot_height);
  const double left = left_space(axes, figure.plot_height);

  Drawing drawing;
  drawing.width =
      left + figure.plot_width + (legend.empty() ? 0 : legend_gap + legend_width) + margin;
  const double top = add_heading(drawing, figure.title, figure.note) +
                     (figure.y_label.empty() ? 0 : axis_name_height);
  const Box plot = {left, top, figure.plot_width, figure.plot_height};
  draw_panel(drawing, figure, classes, axes, plot);
  add_y_name(drawing, plot, figure.y_label);
  add_legend_column(drawing, figure.legend_title, legend,
                    {plot.right() + legend_gap, plot.y, legend_width, plot.height});
  drawing.height =
      add_footnote(drawing, footnote(count_left_out(figure)), plot.bottom() + below(figure)) +
      margin / 2;
  return drawing;
}

Drawing draw(const ScatterRow& figure) {
  const Classes classes = find_classes(figure.panels);
  const std::vector<LegendEntry> legend = classes.legend();
  const double size = figure.panel_size;
  static constexpr double panel_gap = 16;
  std::string legend_title;
  std::vector<Axes> axes;
  std::size_t not_finite = 0;
  double left = 0, name_height = 0, under = x_axis_height;
  for (const ScatterFigure& panel : figure.panels) {
    check(panel);
    if (legend_title.empty() && !panel.labels.empty()) legend_title = panel.legend_title;
    axes.push_back(figure.same_axes ? find_axes(figure.panels, size, size)
                                    : find_axes({&panel, 1}, size, size));
    not_finite += count_left_out(panel);
    left = std::max(left, left_space(axes.back(), size) - margin);
    if (!panel.y_label.empty()) name_height = axis_name_height;
    under = std::max(under, below(panel));
  }
  const double legend_width = legend_column_width(legend_title, legend, size);
  const auto count = static_cast<double>(std::max<std::size_t>(figure.panels.size(), 1));

  Drawing drawing;
  drawing.width = margin + count * (left + size) + (count - 1) * panel_gap +
                  (legend.empty() ? 0 : legend_gap + legend_width) + margin;
  const double heading_end = add_heading(drawing, figure.title, figure.note);
  double panel_heading = 0;
  for (const ScatterFigure& panel : figure.panels)
    panel_heading =
        std::max(panel_heading, (panel.title.empty() ? 0.0 : 18.0) + (panel.note.empty() ? 0 : 16));
  const double top = heading_end + panel_heading + name_height + (panel_heading > 0 ? 4 : 0);
  Box plot = {margin + left, top, size, size};
  for (std::size_t i = 0; i < figure.panels.size(); ++i) {
    const ScatterFigure& panel = figure.panels[i];
    draw_panel(drawing, panel, classes, axes[i], plot);
    double y = heading_end;
    if (!panel.title.empty()) {
      y += 18;
      drawing.add(Text{
          {plot.x, y - 4}, shorten_text(panel.title, size, 13, true), {.size = 13, .bold = true}});
    }
    if (!panel.note.empty())
      drawing.add(Text{{plot.x, y + 11},
                       shorten_text(panel.note, size, note_size),
                       {.size = note_size, .color = soft_ink}});
    if (!panel.y_label.empty())
      drawing.add(Text{{plot.x, plot.y - 12},
                       shorten_text(panel.y_label, size, label_size),
                       {.size = label_size}});
    plot.x += size + panel_gap + left;
  }
  if (figure.panels.empty()) add_no_data(drawing, plot);
  add_legend_column(drawing, legend_title, legend,
                    {drawing.width - margin - legend_width, top, legend_width, size});
  drawing.height = add_footnote(drawing, footnote(not_finite), top + size + under) + margin / 2;
  return drawing;
}

}  // namespace hourglass::report
