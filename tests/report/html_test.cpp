#include "host/report/html.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/report/markup_check.hpp"

namespace hourglass::report {
namespace {

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

std::shared_ptr<const RenderedFigure> picture(const std::string& title) {
  LineFigure figure;
  figure.title = title;
  figure.series = {{.name = "loss", .y = {3, 2, 1}}};
  return std::make_shared<RenderedFigure>(render(figure));
}

Report example() {
  Report report;
  report.title = "Autoencoders <& digits>";
  report.lead = "Measured, **three times**.";
  report.facts = {{"device", "H100 & \"friends\""}};
  Table table;
  table.caption = "Codes";
  table.columns = {{"experiment", "", Align::left}, {"time", "s"}, {"answer", "", Align::center}};
  table.rows = {{{"simple"}, {"1.5", Tone::strong}, {"holds", Tone::good}},
                {{"<script>alert(1)</script>"}, {"2"}, {"no", Tone::bad}},
                {{"short row"}}};
  table.note = "Seconds of one run.";
  Section inner{
      "", "Same name", {FigureBlock{picture("first"), "the <first> \"plot\"", "A *plot*."}}, {}};
  Section second{"",
                 "Same name",
                 {FigureGrid{{{picture("second"), "b", ""}, {picture("third"), "c", ""}}},
                  Listing{"a < b && c"}},
                 {}};
  report.sections = {
      {"start",
       "In short",
       {Prose{"See [below](#same-name)."}, KeyFigures{{{"0.951", "accuracy", "codes"}}}, table,
        Callout{Callout::Kind::warning, "Mind", "this."}},
       {inner}},
      second};
  report.footer = "Made by `hourglass`.";
  return report;
}

TEST(Html, page_is_well_formed_and_holds_everything_once) {
  const std::string html = to_html(example());
  EXPECT_EQ(markup_fault(html, true), "");
  EXPECT_TRUE(html.starts_with("<!doctype html>\n<html lang=\"en\">"));
  EXPECT_EQ(occurrences(html, "<img "), 3U);
  // A figure's title stands in its <title> and in its <text>, encoded.
  for (const char* title : {"first", "second", "third"})
    EXPECT_EQ(occurrences(html, "%3Ctitle%3E" + std::string(title)), 1U) << title;
  EXPECT_EQ(occurrences(html, "<h1>Autoencoders &lt;&amp; digits&gt;</h1>"), 1U);
  EXPECT_EQ(occurrences(html, "alt=\"the &lt;first&gt; &quot;plot&quot;\""), 1U);
  EXPECT_EQ(occurrences(html, "<strong>three times</strong>"), 1U);
  EXPECT_EQ(occurrences(html, "<pre tabindex=\"0\">a &lt; b &amp;&amp; c</pre>"), 1U);
  EXPECT_EQ(
      occurrences(html, "<th scope=\"col\" class=\"r\">time<span class=\"unit\">s</span></th>"),
      1U);
  EXPECT_EQ(occurrences(html, "<td class=\"c good\"><span>holds</span></td>"), 1U);
  EXPECT_EQ(occurrences(html, "<th scope=\"row\">"), 3U);
  EXPECT_EQ(occurrences(html, "<script"), 0U);
  EXPECT_EQ(html, to_html(example()));
}

TEST(Html, nothing_is_loaded_from_elsewhere) {
  const std::string html = to_html(example());
  EXPECT_EQ(occurrences(html, "src=\""), occurrences(html, "src=\"data:image/"));
  EXPECT_EQ(occurrences(html, "url("), 0U);
  EXPECT_EQ(occurrences(html, "@import"), 0U);
  EXPECT_EQ(occurrences(html, "<link"), 0U);
}

TEST(Html, every_link_of_the_contents_has_its_place) {
  const std::string html = to_html(example());
  for (const char* id : {"start", "same-name", "same-name-2", "content"}) {
    EXPECT_EQ(occurrences(html, " id=\"" + std::string(id) + "\""), 1U) << id;
    EXPECT_GE(occurrences(html, "href=\"#" + std::string(id) + "\""), 1U) << id;
  }
}

TEST(Html, smaller_form_of_a_figure_is_embedded) {
  auto figure = std::make_shared<RenderedFigure>();
  figure->width = figure->height = 10;
  figure->png = "short";
  figure->svg = std::string(1000, 'x');
  Report report;
  report.sections = {{"", "one", {FigureBlock{figure, "", ""}}, {}}};
  EXPECT_EQ(occurrences(to_html(report), "data:image/png;base64,c2hvcnQ="), 1U);
  figure->png = std::string(5000, 'x');
  EXPECT_EQ(occurrences(to_html(report), "data:image/svg+xml,xxx"), 1U);
}

TEST(Html, empty_report_is_a_page) {
  EXPECT_EQ(markup_fault(to_html(Report{}), true), "");
  Report report;
  report.title = "\xFF";
  report.sections = {{"<>", "", {Table{}, FigureBlock{}, FigureGrid{}, KeyFigures{}, Prose{}}, {}}};
  EXPECT_EQ(markup_fault(to_html(report), true), "");
}

TEST(Markup, what_it_knows) {
  EXPECT_EQ(markup_to_html("a **b** *c* `d*e`"),
            "<p>a <strong>b</strong> <em>c</em> <code>d*e</code></p>\n");
  EXPECT_EQ(markup_to_html("one\ntwo\n\nthree"), "<p>one two</p>\n<p>three</p>\n");
  EXPECT_EQ(markup_to_html("x:\n- a\n  b\n- c\n\ny"),
            "<p>x:</p>\n<ul>\n<li>a b</li>\n<li>c</li>\n</ul>\n<p>y</p>\n");
  EXPECT_EQ(markup_to_html("[t](https://example.org/?a=1&b=2)"),
            "<p><a href=\"https://example.org/?a=1&amp;b=2\">t</a></p>\n");
  EXPECT_EQ(markup_to_html("5 * 3 * 2, \\*x\\*"), "<p>5 * 3 * 2, *x*</p>\n");
  EXPECT_EQ(markup_to_html(""), "");
}

TEST(Markup, nothing_passes_as_html) {
  EXPECT_EQ(markup_to_html("<b onclick=x>"), "<p>&lt;b onclick=x&gt;</p>\n");
  EXPECT_EQ(markup_to_html("[x](javascript:alert)"), "<p>[x](javascript:alert)</p>\n");
  EXPECT_EQ(markup_to_html("[x](//elsewhere)"), "<p>[x](//elsewhere)</p>\n");
  EXPECT_EQ(markup_to_html("`<i>`"), "<p><code>&lt;i&gt;</code></p>\n");
  EXPECT_EQ(markup_to_html("[a\"b](#\"x)"), "<p><a href=\"#&quot;x\">a&quot;b</a></p>\n");
}

TEST(Markup, every_jumble_of_signs_is_well_formed) {
  const std::string signs = "*`[]()\\-<>&\n ab**](#";
  std::uint32_t state = 7;
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (int j = 0; j < 40; ++j) {
      state = state * 1664525U + 1013904223U;
      text += signs[(state >> 16) % signs.size()];
    }
    ASSERT_EQ(markup_fault("<div>" + markup_to_html(text) + "</div>", false), "") << text;
  }
}

TEST(MarkupCheck, finds_what_is_wrong) {
  EXPECT_EQ(markup_fault("<a><b c=\"d\"/>&amp;</a>", false), "");
  for (const char* bad : {"<a>", "</a>", "<a></b>", "<a><b></a></b>", "a & b", "<a b=c></a>",
                          "<a b=\"<\"></a>", "a > b", "<a b=\"1\" b=\"2\"></a>", "<a"})
    EXPECT_NE(markup_fault(bad, false), "") << bad;
}

}  // namespace
}  // namespace hourglass::report
