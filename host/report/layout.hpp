// What the figures share: heading, legends, axes.
#pragma once

#include <string>
#include <vector>

#include "host/report/drawing.hpp"
#include "host/report/ticks.hpp"

namespace hourglass::report {

inline constexpr double margin = 18;
inline constexpr double title_size = 15;
inline constexpr double note_size = 11.5;
inline constexpr double label_size = 11.5;
inline constexpr double tick_size = 11;

/// Writes title and note, wrapped to the drawing's width; returns the y below them.
double add_heading(Drawing& drawing, const std::string& title, const std::string& note);

/// Writes wrapped small print from `y` down; returns the y below it.
double add_footnote(Drawing& drawing, const std::string& text, double y);

struct LegendEntry {
  std::string name;
  Color color;
  bool dashed = false;
};
enum class LegendSample { dot, line, block };

/// Entries in rows from `y` down, wrapped; returns the y below them. One entry or none needs no
/// legend: nothing is drawn then.
double add_legend_rows(Drawing& drawing, const std::vector<LegendEntry>& entries,
                       LegendSample sample, double y);

/// Dots and names in columns at most `height` high. `draw_at` empty: only measures.
double legend_column_width(const std::string& title, const std::vector<LegendEntry>& entries,
                           double height);
void add_legend_column(Drawing& drawing, const std::string& title,
                       const std::vector<LegendEntry>& entries, const Box& box);

/// Maps values to pixels: `low` of the range to `start`, `high` to `end`.
struct Scale {
  Range range;
  double start = 0;
  double end = 1;
  bool log = false;

  [[nodiscard]] double operator()(double value) const;
};

double widest_label(const std::vector<Tick>& ticks);

/// What must stay free at the right of a plot for half of the last label under it.
double right_space(const std::vector<Tick>& ticks);

/// Light lines and labels at the ticks of the axis along the bottom, or along the left side, of
/// `plot`.
void add_x_axis(Drawing& drawing, const Box& plot, const Scale& x, const std::vector<Tick>& ticks,
                bool grid);
void add_y_axis(Drawing& drawing, const Box& plot, const Scale& y, const std::vector<Tick>& ticks,
                bool grid);

inline constexpr double x_axis_height = 24;  ///< of the tick labels under a plot
inline constexpr double axis_name_height = 22;

void add_x_name(Drawing& drawing, const Box& plot, const std::string& name);
/// Above the plot, at its left: read without turning the head.
void add_y_name(Drawing& drawing, const Box& plot, const std::string& name);

void add_no_data(Drawing& drawing, const Box& plot);

void add_line(Drawing& drawing, Point from, Point to, Color color, double width = 1,
              bool dashed = false);

/// "3 points that are not finite are left out." or nothing.
std::string left_out(std::size_t count, const std::string& what, const std::string& why);

}  // namespace hourglass::report
