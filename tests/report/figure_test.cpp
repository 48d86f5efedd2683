#include "host/report/figure.hpp"

#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>

#include "hourglass/error.hpp"
#include "tests/report/markup_check.hpp"

namespace hourglass::report {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

Pixels decode(const std::string& png, bool with_alpha = false) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  Pixels pixels;
  EXPECT_NE(png_image_begin_read_from_memory(&image, png.data(), png.size()), 0) << image.message;
  image.format = with_alpha ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
  pixels.width = static_cast<int>(image.width);
  pixels.height = static_cast<int>(image.height);
  pixels.channels = with_alpha ? 4 : 3;
  pixels.values.resize(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.values.data(), 0, nullptr), 0)
      << image.message;
  return pixels;
}

std::size_t count(const Pixels& pixels, Color color) {
  std::size_t found = 0;
  for (int y = 0; y < pixels.height; ++y)
    for (int x = 0; x < pixels.width; ++x)
      found += pixels.at(x, y) == color;
  return found;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// What holds for every figure: both forms are whole, of one size, not blank, and the same again.
RenderedFigure check(const Figure& figure) {
  RenderedFigure rendered = render(figure);
  EXPECT_EQ(markup_fault(rendered.svg, false), "");
  for (const char* number : {"\"nan", "\"-nan", "\"inf", "\"-inf", ",nan", ",inf", "Mnan", "Minf"})
    EXPECT_FALSE(contains(rendered.svg, number)) << number;
  EXPECT_TRUE(contains(rendered.svg, "width=\"" + std::to_string(rendered.width) + "\" height=\"" +
                                         std::to_string(rendered.height) + "\""));
  const Pixels pixels = decode(rendered.png);
  EXPECT_NEAR(pixels.width, 2 * rendered.width, 1);
  EXPECT_NEAR(pixels.height, 2 * rendered.height, 1);
  const std::size_t total =
      static_cast<std::size_t>(pixels.width) * static_cast<std::size_t>(pixels.height);
  EXPECT_LT(count(pixels, white), total - 500);
  EXPECT_GT(count(pixels, white), total / 20);
  const RenderedFigure again = render(figure);
  EXPECT_EQ(again.png, rendered.png);
  EXPECT_EQ(again.svg, rendered.svg);
  return rendered;
}

ScatterFigure clusters(std::int64_t points, std::int32_t classes = 10) {
  ScatterFigure figure;
  figure.title = "Codes of the <test> digits & more";
  figure.x_label = "code 1";
  figure.y_label = "code 2";
  figure.points = Matrix(points, 2);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < points; ++i) {
    const auto label = static_cast<std::int32_t>(i * classes / std::max<std::int64_t>(points, 1));
    figure.labels.push_back(label);
    const float angle = static_cast<float>(label) * 0.63F;
    figure.points(i, 0) = 10 * std::cos(angle) + normal(random);
    figure.points(i, 1) = 10 * std::sin(angle) + normal(random);
  }
  return figure;
}

TEST(Png, every_form_keeps_its_pixels) {
  std::mt19937 random(5);
  for (const unsigned colors : {1U, 2U, 3U, 16U, 17U, 256U, 4000U}) {
    for (const bool grey : {false, true}) {
      Pixels pixels(37, 23, white);
      for (int y = 0; y < 23; ++y) {
        for (int x = 0; x < 37; ++x) {
          const auto pick = random() % colors;
          const auto low = static_cast<std::uint8_t>(pick % 256);
          const auto high = static_cast<std::uint8_t>(pick * 7 % 256);
          pixels.set(x, y, grey ? Color{low, low, low} : Color{low, high, 9});
        }
      }
      EXPECT_EQ(decode(encode_png(pixels)).values, pixels.values) << colors << ' ' << grey;
    }
  }
  Pixels transparent;
  transparent.width = 3;
  transparent.height = 1;
  transparent.channels = 4;
  transparent.values = {1, 2, 3, 4, 5, 6, 7, 128, 9, 10, 11, 255};
  EXPECT_EQ(decode(encode_png(transparent), true).values, transparent.values);
  transparent.values.pop_back();
  EXPECT_THROW(encode_png(transparent), std::logic_error);
}

TEST(Png, data_uri_is_base64) {
  EXPECT_EQ(png_data_uri("Man"), "data:image/png;base64,TWFu");
  EXPECT_EQ(png_data_uri("Ma"), "data:image/png;base64,TWE=");
  EXPECT_EQ(png_data_uri("M\xFF\xFE!"), "data:image/png;base64,Tf/+IQ==");
}

TEST(Scatter, shows_title_axes_and_every_class_of_the_legend) {
  const RenderedFigure rendered = check(clusters(2000));
  EXPECT_TRUE(contains(rendered.svg, "Codes of the &lt;test&gt; digits &amp; more</text>"));
  EXPECT_TRUE(contains(rendered.svg, ">code 1</text>"));
  EXPECT_TRUE(contains(rendered.svg, ">code 2</text>"));
  EXPECT_TRUE(contains(rendered.svg, ">digit</text>"));
  const Pixels pixels = decode(rendered.png);
  for (std::size_t i = 0; i < class_palette_size; ++i) {
    // A legend dot of radius 5 has some 314 pixels at twice the resolution.
    EXPECT_GT(count(pixels, class_palette[i]), 200U) << i;
    EXPECT_TRUE(contains(rendered.svg, "stroke=\"" + to_hex(class_palette[i]) + "\"")) << i;
  }
}

TEST(Scatter, ten_thousand_points_stay_small) {
  const RenderedFigure rendered = check(clusters(10000));
  EXPECT_LT(rendered.svg.size(), 200'000U);
  EXPECT_LT(rendered.png.size(), 700'000U);
}

TEST(Scatter, no_class_hides_another) {
  // Two classes in the same place, one after the other in the data: both must be seen, in both
  // forms.
  ScatterFigure figure = clusters(8000, 2);
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  for (float& value : figure.points.values)
    value = normal(random);
  const Drawing drawing = draw(figure);
  std::size_t changes = 0;
  Color last = white;
  for (const Mark& mark : drawing.marks) {
    if (const auto* dots = std::get_if<Dots>(&mark)) {
      changes += dots->color != last;
      last = dots->color;
    }
  }
  EXPECT_GT(changes, 20U);
  const Pixels pixels = decode(to_png(drawing));
  std::size_t closer_to_first = 0, closer_to_second = 0;
  const auto distance = [](Color a, Color b) {
    return std::abs(a.red - b.red) + std::abs(a.green - b.green) + std::abs(a.blue - b.blue);
  };
  for (int y = pixels.height / 3; y < 2 * pixels.height / 3; ++y) {
    for (int x = pixels.width / 4; x < 2 * pixels.width / 3; ++x) {
      const Color c = pixels.at(x, y);
      if (distance(c, white) < 120) continue;
      (distance(c, class_palette[0]) < distance(c, class_palette[1]) ? closer_to_first
                                                                     : closer_to_second) += 1;
    }
  }
  const double share = static_cast<double>(closer_to_first) /
                       static_cast<double>(closer_to_first + closer_to_second);
  EXPECT_GT(share, 0.35);
  EXPECT_LT(share, 0.65);
}

TEST(Scatter, equal_aspect_has_one_unit_for_both_axes) {
  ScatterFigure figure;
  figure.points = Matrix(3, 2);
  figure.points.values = {0, 0, 100, 0, 0, 10};
  for (const bool equal : {true, false}) {
    figure.equal_aspect = equal;
    std::vector<Point> centres;
    for (const Mark& mark : draw(figure).marks)
      if (const auto* dots = std::get_if<Dots>(&mark))
        centres.insert(centres.end(), dots->centres.begin(), dots->centres.end());
    ASSERT_EQ(centres.size(), 3U);
    const auto [left, right] = std::ranges::minmax(centres, {}, &Point::x);
    const auto [top, bottom] = std::ranges::minmax(centres, {}, &Point::y);
    const double ratio = (right.x - left.x) / (bottom.y - top.y);
    EXPECT_NEAR(ratio, equal ? 10 : 1, 0.01);
  }
}

TEST(Scatter, degenerate_points) {
  for (const bool equal : {true, false}) {
    for (const bool named : {true, false}) {
      ScatterFigure figure = clusters(0);
      figure.equal_aspect = equal;
      figure.name_clusters = named;
      EXPECT_TRUE(contains(check(figure).svg, ">no data</text>"));
      figure = clusters(1);
      figure.equal_aspect = equal;
      figure.name_clusters = named;
      EXPECT_FALSE(contains(check(figure).svg, ">no data</text>"));
      figure = clusters(500);
      figure.equal_aspect = equal;
      figure.name_clusters = named;
      std::ranges::fill(figure.points.values, -7.0F);
      check(figure);
      figure.points(0, 0) = std::numeric_limits<float>::max();
      figure.points(1, 1) = -std::numeric_limits<float>::max();
      figure.points(2, 0) = std::numeric_limits<float>::quiet_NaN();
      figure.points(3, 1) = std::numeric_limits<float>::infinity();
      EXPECT_TRUE(contains(check(figure).svg, ">2 points left out: not finite.</text>"));
      std::ranges::fill(figure.points.values, std::numeric_limits<float>::quiet_NaN());
      const RenderedFigure rendered = check(figure);
      EXPECT_TRUE(contains(rendered.svg, ">no data</text>"));
      EXPECT_TRUE(contains(rendered.svg, ">500 points left out: not finite.</text>"));
    }
  }
}

TEST(Scatter, odd_labels) {
  ScatterFigure figure = clusters(400);
  figure.labels.clear();
  EXPECT_FALSE(contains(check(figure).svg, ">digit</text>"));
  figure = clusters(400);
  for (std::size_t i = 0; i < 400; i += 2)
    figure.labels[i] = -5;
  EXPECT_TRUE(contains(check(figure).svg, ">none</text>"));
  figure = clusters(400);
  for (std::size_t i = 0; i < 400; ++i)
    figure.labels[i] =
        i % 2 == 0 ? std::numeric_limits<std::int32_t>::max() : static_cast<std::int32_t>(i);
  figure.name_clusters = true;
  EXPECT_TRUE(contains(check(figure).svg, ">other</text>"));
  figure = clusters(400);
  figure.class_names = {"T-shirt/top", "a name \xFF that is not UTF-8", "<b>"};
  const RenderedFigure named = check(figure);
  EXPECT_TRUE(contains(named.svg, ">T-shirt/top</text>"));
  EXPECT_TRUE(contains(named.svg, ">&lt;b&gt;</text>"));
  EXPECT_TRUE(contains(named.svg, ">9</text>"));
}

TEST(Scatter, what_does_not_fit_is_refused) {
  ScatterFigure figure = clusters(10);
  figure.labels.pop_back();
  EXPECT_THROW(draw(figure), UsageError);
  figure = clusters(10);
  figure.points = Matrix(10, 3);
  EXPECT_THROW(draw(figure), UsageError);
  ScatterRow row;
  row.panels = {clusters(10), figure};
  EXPECT_THROW(draw(row), UsageError);
}

TEST(Scatter, many_points_are_embedded_as_one_image) {
  const RenderedFigure rendered =
      check(clusters(static_cast<std::int64_t>(dots_as_vectors) + 1000));
  EXPECT_TRUE(contains(rendered.svg, "<image "));
  EXPECT_LT(rendered.svg.size(), 1'200'000U);
  EXPECT_FALSE(contains(check(clusters(20000)).svg, "<image "));
}

TEST(Scatter, clusters_are_named_where_they_are) {
  ScatterFigure figure = clusters(3000);
  figure.name_clusters = true;
  figure.legend_title.clear();
  const Drawing drawing = draw(figure);
  std::vector<Point> names;
  for (const Mark& mark : drawing.marks)
    if (const auto* text = std::get_if<Text>(&mark); text && text->style.halo)
      names.push_back(text->at);
  ASSERT_EQ(names.size(), 10U);
  for (std::size_t i = 0; i < names.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_GT(std::hypot(names[i].x - names[j].x, names[i].y - names[j].y), 16);
}

TEST(ScatterRow, panels_have_one_size_and_one_legend) {
  ScatterRow row;
  row.title = "simple | sparse";
  row.panels = {clusters(1000), clusters(1000)};
  row.panels[0].title = "left";
  row.panels[1].title = "right";
  const RenderedFigure rendered = check(row);
  for (const char* text : {">simple | sparse<", ">left<", ">right<"})
    EXPECT_TRUE(contains(rendered.svg, text)) << text;
  const auto first = rendered.svg.find(">digit</text>");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(rendered.svg.find(">digit</text>", first + 1), std::string::npos);
  check(ScatterRow{});
  row.same_axes = true;
  for (float& value : row.panels[1].points.values)
    value *= 10;
  check(row);
}

LineFigure losses() {
  LineFigure figure;
  figure.title = "Loss per epoch";
  figure.y_label = "binary cross-entropy";
  figure.series = {{.name = "training", .y = {0.5, -1, not_a_number, -3, -3.9}},
                   {.name = "validation", .y = {0.2, -2, -3, -3.5, -4}, .dashed = true}};
  figure.references = {{-3.95, "reference"}};
  return figure;
}

TEST(Line, shows_names_ticks_and_gaps) {
  const RenderedFigure rendered = check(losses());
  for (const char* text :
       {">Loss per epoch<", ">epoch<", ">binary cross-entropy<", ">training<", ">validation<",
        ">reference<", ">−4<", ">5<", ">1 value left out: not finite.<"})
    EXPECT_TRUE(contains(rendered.svg, text)) << text;
  // The gap cuts the first series in two lines; the second is one.
  std::size_t lines = 0;
  for (const Mark& mark : draw(losses()).marks) {
    const auto* line = std::get_if<Polyline>(&mark);
    lines += line != nullptr && line->width == 2 && line->points.size() >= 2;
  }
  EXPECT_EQ(lines, 3U);
  const Pixels pixels = decode(rendered.png);
  for (const std::size_t i : {0U, 1U})
    EXPECT_GT(count(pixels, series_color(i)), 150U) << i;
}

TEST(Line, log_axis_leaves_out_what_is_not_positive) {
  LineFigure figure = losses();
  figure.log_y = true;
  figure.series[0].y = {100, 10, 0, 1, -1};
  figure.series.pop_back();
  EXPECT_TRUE(contains(check(figure).svg, ">2 values left out: not finite or not positive.<"));
  figure.series[0].y = {-1, 0};
  EXPECT_TRUE(contains(check(figure).svg, ">no data<"));
}

TEST(Line, degenerate_series) {
  check(LineFigure{});
  for (const bool log : {false, true}) {
    LineFigure figure = losses();
    figure.log_y = log;
    for (const std::vector<double>& y : {std::vector<double>{},
                                         {5},
                                         {5, 5, 5},
                                         {not_a_number, infinity},
                                         {1e300, 1e-300},
                                         {1e308, -1e308},
                                         {0, 5e-324}}) {
      figure.series = {{.name = "s", .y = y}, {.name = "t", .y = {1, 2}, .x = {3}}};
      figure.series[0].low = y;
      figure.series[0].high = y;
      check(figure);
    }
  }
}

BarFigure accuracies() {
  BarFigure figure;
  figure.title = "1-NN accuracy";
  figure.value_label = "accuracy";
  figure.groups = {"simple", "sparse"};
  figure.series = {{"codes", {{0.951, 0.004, {0.947, 0.955}}, {0.944, 0, {}}}},
                   {"map", {{0.916, 0, {}}, {not_a_number, 0, {}}}}};
  return figure;
}

TEST(Bar, shows_groups_values_and_errors) {
  const RenderedFigure rendered = check(accuracies());
  for (const char* text : {">1-NN accuracy<", ">accuracy<", ">simple<", ">codes<",
                           ">0.951 ± 0.004<", ">0.944<", ">–<"})
    EXPECT_TRUE(contains(rendered.svg, text)) << text;
  const Pixels pixels = decode(rendered.png);
  EXPECT_GT(count(pixels, series_color(0)), 10000U);
  EXPECT_GT(count(pixels, series_color(1)), 5000U);
}

TEST(Bar, bars_are_as_long_as_their_values) {
  BarFigure figure = accuracies();
  figure.series = {{"v", {{-2, 0, {}}, {1, 0, {}}}}};
  std::vector<Box> boxes;
  for (const Mark& mark : draw(figure).marks)
    if (const auto* bar = std::get_if<Rectangle>(&mark)) boxes.push_back(bar->box);
  ASSERT_EQ(boxes.size(), 2U);
  EXPECT_NEAR(boxes[0].width, 2 * boxes[1].width, 1e-9);
  EXPECT_NEAR(boxes[0].right(), boxes[1].x, 1e-9);
}

TEST(Bar, a_whisker_ends_at_zero_where_no_sample_is_negative) {
  BarFigure figure = accuracies();
  figure.series = {{"share", {{2, 3, {0, 0.5, 5.5}}, {50, 1, {49, 51}}}}};
  EXPECT_FALSE(contains(check(figure).svg, ">−20<"));
  figure.series[0].bars[0].samples[0] = -0.5;
  EXPECT_TRUE(contains(check(figure).svg, ">−20<"));
}

TEST(Bar, degenerate_values) {
  check(BarFigure{});
  for (const bool from_zero : {true, false}) {
    BarFigure figure = accuracies();
    figure.from_zero = from_zero;
    check(figure);
    figure.references = {{0.93, "a reference"}, {not_a_number, "none"}};
    check(figure);
    figure.series = {{"x", {{infinity, not_a_number, {infinity}}, {0, -1, {not_a_number}}}}};
    check(figure);
    figure.series = {{"x", {{-3, 0.5, {}}, {-3, infinity, {}}}}};
    figure.groups[0] = std::string(300, 'w');
    check(figure);
    figure.series = {{"x", {{1, 0, {}}}}};
    EXPECT_THROW(draw(figure), UsageError);
  }
}

TEST(Histogram, counts) {
  const std::vector<float> values = {
      0, 0.1F, 0.99F, 1, 2, 4, -1, 5, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_EQ(count_values(values, 4, {0, 4}), (std::vector<double>{3, 1, 1, 1}));
  EXPECT_EQ(equal_edges(4, {0, 2}), (std::vector<double>{0, 0.5, 1, 1.5, 2}));
  EXPECT_TRUE(count_values(values, 0, {0, 4}).empty());
}

TEST(Histogram, shows_axes_and_bears_anything) {
  HistogramFigure figure;
  figure.title = "Activations";
  figure.x_label = "activation";
  figure.edges = {0, 1, 2, 3};
  figure.series = {{"simple", {3, 0, 9}}, {"sparse", {not_a_number, 1, 100}}};
  figure.references = {{1.5, "mean"}};
  for (const bool log : {false, true}) {
    figure.log_y = log;
    const RenderedFigure rendered = check(figure);
    for (const char* text : {">Activations<", ">activation<", ">count<", ">mean<", ">sparse<"})
      EXPECT_TRUE(contains(rendered.svg, text)) << text;
    HistogramFigure odd = figure;
    odd.series = {{"zero", {0, 0, 0}}};
    check(odd);
    odd.series = {{"negative", {-1, -2, -3}}};
    check(odd);
    odd.series = {{"infinite", {infinity, infinity, not_a_number}}};
    check(odd);
    odd.edges = {1, 1, 1, not_a_number};
    check(odd);
    odd.edges = {1};
    EXPECT_THROW(draw(odd), UsageError);
    odd.edges.clear();
    odd.series.clear();
    check(odd);
  }
}

TEST(Tiles, pixels_are_shown_as_sharp_squares) {
  TileFigure figure;
  figure.title = "Digits";
  figure.tile_width = 2;
  figure.tile_height = 2;
  figure.scale = 10;
  TileRow input{"input", Matrix(2, 4), TileColors::grey};
  input.tiles.values = {0, 1, 0.2F, 2, -1, 0, 0, std::numeric_limits<float>::quiet_NaN()};
  TileRow error{"error", Matrix(1, 4), TileColors::diverging};
  error.tiles.values = {0.5F, -0.5F, 0, 0};
  figure.rows = {input, error};
  figure.column_labels = {"7", "2", "1"};
  const RenderedFigure rendered = check(figure);
  for (const char* text : {">Digits<", ">input<", ">error<", ">7<", ">+0.5<", ">−0.5<",
                           ">1 value not a number: orange.<"})
    EXPECT_TRUE(contains(rendered.svg, text)) << text;
  const Pixels pixels = decode(rendered.png);
  constexpr std::size_t square = 400;  // 10 CSS pixels at twice the resolution
  EXPECT_GE(count(pixels, {0, 0, 0}), 4 * square);
  EXPECT_LE(count(pixels, {0, 0, 0}), 4 * square + 20);
  EXPECT_EQ(count(pixels, {51, 51, 51}), square);
  EXPECT_EQ(count(pixels, no_value_color), square);
  EXPECT_GE(count(pixels, diverging_color(1)), square);
  EXPECT_GE(count(pixels, diverging_color(-1)), square);
}

TEST(Tiles, filters_are_laid_out_in_rows) {
  Matrix filters(11, 784);
  for (std::size_t i = 0; i < filters.values.size(); ++i)
    filters.values[i] = static_cast<float>(std::sin(static_cast<double>(i)));
  const TileFigure figure = filter_figure("Filters", filters, 4);
  ASSERT_EQ(figure.rows.size(), 3U);
  EXPECT_EQ(figure.rows[2].tiles.rows, 3);
  EXPECT_EQ(figure.rows[2].tiles(2, 783), filters(10, 783));
  EXPECT_TRUE(contains(check(figure).svg, ">+1<"));
}

TEST(Tiles, degenerate) {
  check(TileFigure{.title = "a figure without tiles"});
  check(filter_figure("nothing to show in these rows", Matrix(), 8));
  check(filter_figure("all zero", Matrix(3, 784), 0));
  Matrix bad(1, 784);
  std::ranges::fill(bad.values, std::numeric_limits<float>::infinity());
  check(filter_figure("infinite", bad));
  EXPECT_THROW(draw(filter_figure("other size", Matrix(2, 100))), UsageError);
}

TEST(Text, is_wrapped_and_shortened) {
  const auto lines = wrap_text("one two three four", text_width("one two", 12) + 1, 12);
  EXPECT_EQ(lines, (std::vector<std::string>{"one two", "three", "four"}));
  EXPECT_TRUE(wrap_text("", 100, 12).empty());
  const std::string shortened = shorten_text("größere Größen", 60, 12);
  EXPECT_LE(text_width(shortened, 12), 60);
  EXPECT_TRUE(shortened.starts_with("gr")) << shortened;
  EXPECT_TRUE(shortened.ends_with("…")) << shortened;
  EXPECT_GT(text_width("wide", 12, true), text_width("wide", 12));
}

TEST(Figure, is_written_as_both_files) {
  const std::filesystem::path directory =
      std::filesystem::path(testing::TempDir()) / "hourglass_figure_test";
  std::filesystem::create_directories(directory);
  const RenderedFigure rendered = render(losses());
  write_figure((directory / "loss").string(), rendered);
  const auto read = [](const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_EQ(read(directory / "loss.png"), rendered.png);
  EXPECT_EQ(read(directory / "loss.svg"), rendered.svg);
  EXPECT_THROW(write_figure((directory / "missing" / "loss").string(), rendered), InputError);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace hourglass::report
