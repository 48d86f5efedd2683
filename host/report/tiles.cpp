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

constexpr double row_label_limit = 150;
constexpr double bar_width = 12;
constexpr double bar_gap = 20;

void check(const TileFigure& figure) {
  if (figure.tile_width < 1 || figure.tile_height < 1 || figure.scale < 1)
    throw UsageError(fmt::format("tile figure '{}': tiles of {} x {} at scale {}", figure.title,
                                 figure.tile_width, figure.tile_height, figure.scale));
  for (const TileRow& row : figure.rows)
    if (row.tiles.rows != 0 && row.tiles.columns != figure.tile_width * figure.tile_height)
      throw UsageError(fmt::format(
          "tile figure '{}': row '{}' has {} values a tile, expected {} x {}", figure.title,
          row.label, row.tiles.columns, figure.tile_width, figure.tile_height));
}

Color grey(double value) {
  if (std::isnan(value)) return no_value_color;
  const auto level = static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
  return {level, level, level};
}

// The row at its own resolution, one white value between two tiles.
Pixels row_pixels(const TileFigure& figure, const TileRow& row, double limit) {
  const std::int64_t count = row.tiles.rows;
  Pixels pixels(static_cast<int>(count * (figure.tile_width + 1) - 1),
                static_cast<int>(figure.tile_height), white);
  for (std::int64_t tile = 0; tile < count; ++tile) {
    const std::span<const float> values = row.tiles.row(tile);
    for (std::int64_t i = 0; i < row.tiles.columns; ++i) {
      const double value = values[static_cast<std::size_t>(i)];
      const Color color =
          row.colors == TileColors::grey ? grey(value) : diverging_color(value / limit);
      pixels.set(static_cast<int>(tile * (figure.tile_width + 1) + i % figure.tile_width),
                 static_cast<int>(i / figure.tile_width), color);
    }
  }
  return pixels;
}

// The magnitude of full colour: the largest finite one, or 1 where there is none.
double find_limit(const TileFigure& figure) {
  if (figure.limit > 0 && is_drawable(figure.limit)) return figure.limit;
  double limit = 0;
  for (const TileRow& row : figure.rows)
    if (row.colors == TileColors::diverging)
      for (const float value : row.tiles.values)
        if (std::isfinite(value)) limit = std::max(limit, std::abs(static_cast<double>(value)));
  return limit > 0 ? limit : 1;
}

void add_color_bar(Drawing& drawing, const Box& box, double limit) {
  const int steps = static_cast<int>(box.height);
  Pixels pixels(1, steps, white);
  for (int y = 0; y < steps; ++y)
    pixels.set(0, y, diverging_color(1 - 2 * (y + 0.5) / steps));
  drawing.add(Tiles{box, std::move(pixels)});
  const TextStyle style = {.size = tick_size, .color = soft_ink};
  const std::string text = format_number(limit, 2);
  drawing.add(Text{{box.right() + 6, box.y + 8}, "+" + text, style});
  drawing.add(Text{{box.right() + 6, box.y + box.height / 2 + 4}, "0", style});
  drawing.add(Text{{box.right() + 6, box.bottom()}, "−" + text, style});
}

}  // namespace

Drawing draw(const TileFigure& figure) {
  check(figure);
  const double limit = find_limit(figure);
  const double scale = figure.scale;
  const double step = scale * static_cast<double>(figure.tile_width + 1);
  const double row_height = scale * static_cast<double>(figure.tile_height);
  double labels = 0;
  std::int64_t columns = 0;
  bool is_diverging = false;
  std::size_t missing = 0;
  for (const TileRow& row : figure.rows) {
    labels = std::max(labels,
                      text_width(shorten_text(row.label, row_label_limit, label_size), label_size));
    columns = std::max(columns, row.tiles.rows);
    is_diverging = is_diverging || (row.colors == TileColors::diverging && row.tiles.rows > 0);
    missing += static_cast<std::size_t>(
        std::ranges::count_if(row.tiles.values, [](float v) { return std::isnan(v); }));
  }
  // Whole pixels, so that the squares have sharp edges.
  const double left = std::ceil(margin + labels + (labels > 0 ? 12 : 0));
  const double tiles_width = std::max(120.0, static_cast<double>(columns) * step - scale);
  const double bar_text = text_width("+" + format_number(limit, 2), tick_size) + 6;

  Drawing drawing;
  drawing.width = left + tiles_width + (is_diverging ? bar_gap + bar_width + bar_text : 0) + margin;
  double y = add_heading(drawing, figure.title, figure.note);
  if (!figure.column_labels.empty()) {
    for (std::size_t i = 0; i < figure.column_labels.size() && std::cmp_less(i, columns); ++i)
      drawing.add(Text{{left + static_cast<double>(i) * step + (step - scale) / 2, y + 10},
                       shorten_text(figure.column_labels[i], step - scale, tick_size),
                       {.size = tick_size, .color = soft_ink, .anchor = Anchor::middle}});
    y += 18;
  }
  const double top = y;
  // Labelled rows are different things and stand apart; unlabelled ones are one grid.
  const double row_gap = labels > 0 ? std::max(6.0, scale) : scale;
  for (const TileRow& row : figure.rows) {
    if (!row.label.empty())
      drawing.add(Text{{margin, y + row_height / 2 + 4},
                       shorten_text(row.label, row_label_limit, label_size),
                       {.size = label_size}});
    if (row.tiles.rows > 0)
      drawing.add(Tiles{{left, y, static_cast<double>(row.tiles.rows) * step - scale, row_height},
                        row_pixels(figure, row, limit)});
    y += row_height + row_gap;
  }
  if (columns == 0) {
    add_no_data(drawing, {left, top, tiles_width, 60});
    y = std::max(y, top + 60);
  }
  if (is_diverging) {
    const double height = std::floor(std::clamp(y - row_gap - top, 48.0, 180.0));
    add_color_bar(drawing, {left + tiles_width + bar_gap, top, bar_width, height}, limit);
    y = std::max(y, top + height + row_gap);
  }
  const std::string note = missing == 0 ? ""
                                        : fmt::format("{} value{} not a number: orange.",
                                                      format_fixed(static_cast<double>(missing), 0),
                                                      missing == 1 ? "" : "s");
  drawing.height = add_footnote(drawing, note, y - row_gap + 4) + margin * 0.75;
  return drawing;
}

TileFigure filter_figure(std::string title, const Matrix& filters, std::int64_t columns) {
  TileFigure figure;
  figure.title = std::move(title);
  columns = std::max<std::int64_t>(columns, 1);
  for (std::int64_t first = 0; first < filters.rows; first += columns) {
    const std::int64_t count = std::min(columns, filters.rows - first);
    TileRow row;
    row.colors = TileColors::diverging;
    row.tiles = Matrix(count, filters.columns);
    std::copy_n(filters.values.begin() + first * filters.columns, count * filters.columns,
                row.tiles.values.begin());
    figure.rows.push_back(std::move(row));
  }
  return figure;
}

}  // namespace hourglass::report
