// The figures of the report: plain descriptions, laid out by draw() into a Drawing and rendered to
// PNG and SVG. Every figure bears what a real run may hold: no data, one point, equal values, NaN
// and infinity (left out, and said so in the figure), names of any length, any bytes as text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "host/report/drawing.hpp"
#include "host/report/ticks.hpp"
#include "hourglass/matrix.hpp"

namespace hourglass::report {

/// Points in the plane coloured by class. The dots of all classes are interleaved, so that none
/// hides another.
struct ScatterFigure {
  std::string title = {};
  std::string note = {};  ///< one or two lines under the title
  std::string x_label = {};
  std::string y_label = {};
  Matrix points = {};  ///< N x 2
  /// Empty, or one a point; a negative one is "no class", grey.
  std::vector<std::int32_t> labels = {};
  std::vector<std::string> class_names = {};  ///< empty: the label itself
  std::string legend_title = "digit";
  bool equal_aspect = true;    ///< one unit is as long in x as in y: maps; false for codes
  bool name_clusters = false;  ///< each class's name where its points are densest
  double plot_width = 460;     ///< of the plotting area, CSS pixels
  double plot_height = 460;
};

/// Scatters of one size side by side under one title, with one legend.
struct ScatterRow {
  std::string title = {};
  std::string note = {};
  /// Legend and classes of the first that has labels; titles head the panels.
  std::vector<ScatterFigure> panels = {};
  bool same_axes = false;  ///< one range for all panels, where their units can be compared
  double panel_size = 380;
};

struct ReferenceLine {
  double value = 0;
  std::string label = {};
};

struct LineSeries {
  std::string name = {};
  std::vector<double> y = {};  ///< a value that is not finite leaves a gap
  std::vector<double> x = {};  ///< empty: 1, 2, 3, ...
  /// With high, a band around y (the spread over seeds); empty: none.
  std::vector<double> low = {};
  std::vector<double> high = {};
  bool dashed = false;
  /// Index into series_color; empty: the series' own position.
  std::optional<std::size_t> color = {};
};

struct LineFigure {
  std::string title = {};
  std::string note = {};
  std::string x_label = "epoch";
  std::string y_label = {};
  std::vector<LineSeries> series = {};
  std::vector<ReferenceLine> references = {};  ///< horizontal
  bool log_y = false;                          ///< values that are not positive are then left out
  bool whole_x = true;                         ///< ticks at whole numbers only
  double plot_width = 540;
  double plot_height = 290;
};

struct Bar {
  double value = 0;                  ///< NaN: not measured, shown as "-"
  double error = 0;                  ///< one arm of the whisker; 0: none
  std::vector<double> samples = {};  ///< single measurements, a small dot each; where none is
                                     ///< negative, nor is the whisker
};

struct BarSeries {
  std::string name = {};
  std::vector<Bar> bars = {};  ///< one a group
};

/// Horizontal bars grouped by experiment, with whiskers and values in figures.
struct BarFigure {
  std::string title = {};
  std::string note = {};
  std::string value_label = {};
  std::vector<std::string> groups = {};
  std::vector<BarSeries> series = {};
  std::vector<ReferenceLine> references = {};  ///< vertical
  /// False: dots on an axis that shows the differences, since a bar must start at zero.
  bool from_zero = true;
  int decimals = 3;
  double plot_width = 460;
};

/// Counts, or any other height, over intervals.
struct HistogramFigure {
  std::string title = {};
  std::string note = {};
  std::string x_label = {};
  std::string y_label = "count";
  std::vector<double> edges = {};  ///< ascending, one more than the heights of each series
  struct Series {
    std::string name = {};
    std::vector<double> heights = {};
  };
  std::vector<Series> series = {};
  std::vector<ReferenceLine> references = {};  ///< vertical
  bool log_y = false;
  bool whole_x = false;
  double plot_width = 540;
  double plot_height = 260;
};

/// Counts of `values` in `bins` equal intervals of `range`; the last is closed. Values outside and
/// NaN are not counted.
std::vector<double> count_values(std::span<const float> values, std::size_t bins, Range range);

/// bins + 1 equally spaced edges.
std::vector<double> equal_edges(std::size_t bins, Range range);

enum class TileColors {
  grey,      ///< 0 black to 1 white, clipped
  diverging  ///< blue - white - red around zero, with a colour bar
};

struct TileRow {
  std::string label = {};
  Matrix tiles = {};  ///< one image a row, tile_height x tile_width values each
  TileColors colors = TileColors::grey;
};

/// Rows of small images: inputs over reconstructions over errors, or filters. Shown as sharp
/// squares; a NaN is orange.
struct TileFigure {
  std::string title = {};
  std::string note = {};
  std::vector<std::string> column_labels = {};  ///< empty, or one a column
  std::vector<TileRow> rows = {};
  std::int64_t tile_width = 28;
  std::int64_t tile_height = 28;
  int scale = 2;     ///< CSS pixels a value
  double limit = 0;  ///< the value of full red; 0: the largest magnitude in the diverging rows
};

/// `filters` (one a row) as diverging tiles, `columns` of them side by side.
TileFigure filter_figure(std::string title, const Matrix& filters, std::int64_t columns = 8);

using Figure =
    std::variant<ScatterFigure, ScatterRow, LineFigure, BarFigure, HistogramFigure, TileFigure>;

/// Throws UsageError where the parts do not fit together: points that are not N x 2, labels of
/// another number, tiles of another size.
Drawing draw(const ScatterFigure& figure);
Drawing draw(const ScatterRow& figure);
Drawing draw(const LineFigure& figure);
Drawing draw(const BarFigure& figure);
Drawing draw(const HistogramFigure& figure);
Drawing draw(const TileFigure& figure);
Drawing draw(const Figure& figure);

struct RenderedFigure {
  int width = 0;  ///< CSS pixels; the PNG has twice as many
  int height = 0;
  std::string png = {};
  std::string svg = {};
};

RenderedFigure render(const Figure& figure);

/// Writes `stem`.png and `stem`.svg, each whole or not at all.
void write_figure(const std::string& stem, const RenderedFigure& figure);

}  // namespace hourglass::report
