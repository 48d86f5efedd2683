#include "host/report/table.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "host/report/text.hpp"

namespace hourglass::report {
namespace {

Table example() {
  Table table;
  table.caption = "Codes of the test digits";
  table.columns = {{"experiment", "", Align::left}, {"1-NN accuracy", ""}, {"time", "s"}};
  table.rows = {{{"simple"}, {"0.951"}, {"8.4"}}, {{"größer ±"}, {"−0.1"}, {"10.25"}}};
  return table;
}

TEST(Table, text_is_aligned) {
  EXPECT_EQ(to_text(example()),
            "Codes of the test digits\n"
            "experiment  1-NN accuracy   time\n"
            "                               s\n"
            "──────────  ─────────────  ─────\n"
            "simple              0.951    8.4\n"
            "größer ±             −0.1  10.25\n");
}

TEST(Table, the_mark_of_the_best_keeps_digits_under_digits) {
  Table table = example();
  table.rows[0][1].tone = Tone::strong;
  const std::string text = to_text(table);
  EXPECT_NE(text.find("simple             0.951*    8.4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("größer ±            −0.1   10.25\n"), std::string::npos) << text;
}

TEST(Table, wide_tables_are_wrapped) {
  Table table;
  table.columns = {{"claim", "", Align::left}, {"answer", "", Align::left}, {"figure", ""}};
  table.rows = {{{"one two three four five six seven eight nine ten eleven twelve thirteen"},
                 {"yes and no and perhaps, it depends on what one asks"},
                 {"0.123 ± 0.004"}}};
  const std::string text = to_text(table, 60);
  std::istringstream lines(text);
  std::string joined;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(display_width(line), 60U) << line;
    EXPECT_FALSE(line.ends_with(' '));
    joined += line + ' ';
  }
  for (const char* word : {"thirteen", "asks", "0.123 ± 0.004"})
    EXPECT_NE(joined.find(word), std::string::npos) << word;
}

TEST(Table, odd_shapes) {
  EXPECT_EQ(to_text(Table{}), "");
  Table table = example();
  table.caption.clear();
  table.columns[2].unit.clear();
  table.rows = {{}, {{"a\nb\tc"}}, {{""}, {""}, {"", Tone::strong}, {"beyond the columns"}}};
  const std::string text = to_text(table);
  EXPECT_NE(text.find("\na b c\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("beyond"), std::string::npos);
  table.rows = {{{"\xFF\xFE"}}};
  EXPECT_NE(to_text(table).find("\xEF\xBF\xBD"), std::string::npos);
}

}  // namespace
}  // namespace hourglass::report
