#include "host/report/text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace hourglass::report {
namespace {

TEST(Text, fixed) {
  EXPECT_EQ(format_fixed(1234567.891, 2), "1,234,567.89");
  EXPECT_EQ(format_fixed(-1234.5, 1), "−1,234.5");
  EXPECT_EQ(format_fixed(999, 0), "999");
  EXPECT_EQ(format_fixed(1000, 0), "1,000");
  EXPECT_EQ(format_fixed(-0.0004, 3), "0.000");
  EXPECT_EQ(format_fixed(std::nan(""), 3), "NaN");
  EXPECT_EQ(format_fixed(-INFINITY, 3), "−∞");
}

TEST(Text, significant_digits) {
  EXPECT_EQ(format_number(0), "0");
  EXPECT_EQ(format_number(0.09541), "0.09541");
  EXPECT_EQ(format_number(0.25), "0.25");
  EXPECT_EQ(format_number(12300), "12,300");
  EXPECT_EQ(format_number(0.99999), "1");
  EXPECT_EQ(format_number(1.2e-7), "1.2e−7");
  EXPECT_EQ(format_number(-3e38), "−3e38");
  EXPECT_EQ(format_number(0.341, 2), "0.34");
}

TEST(Text, bad_utf8_is_replaced) {
  EXPECT_EQ(clean_utf8("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(clean_utf8("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  EXPECT_EQ(clean_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
  EXPECT_EQ(clean_utf8("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // cut
  EXPECT_EQ(clean_utf8(std::string_view("a\0b\x1B", 4)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(clean_utf8("Größe\n±∞😀"), "Größe\n±∞😀");
}

TEST(Text, markup_is_escaped) {
  EXPECT_EQ(escape_markup("<a href=\"x\">&'</a>"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;&lt;/a&gt;");
}

TEST(Text, terminal_columns) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("±∞−"), 3U);
  EXPECT_EQ(display_width("e\xCC\x81"), 1U);  // e and a combining acute accent
  EXPECT_EQ(display_width("数字"), 4U);
}

}  // namespace
}  // namespace hourglass::report
