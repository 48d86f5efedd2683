// Tables of figures: one description for the report and for the terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace hourglass::report {

enum class Align { left, right, center };

enum class Tone {
  plain,
  strong,  ///< the best of its column
  good,    ///< a claim that holds
  mixed,
  bad,  ///< a claim that does not hold
  dim   ///< not measured, not of interest
};

struct Column {
  std::string header;
  std::string unit;  ///< "s", "%", "MB"; empty: none
  Align align = Align::right;
};

struct Cell {
  std::string text;  ///< plain text
  Tone tone = Tone::plain;
};

struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;  ///< missing cells are empty; the first cell names its row
  std::string note;                     ///< under the table
};

/// The table as aligned UTF-8 text, each line ended by a newline, no trailing spaces:
///
///     Codes of the test digits
///     experiment  1-NN accuracy  time
///                                   s
///     ──────────  ─────────────  ────
///     simple              0.951   8.4
///
/// Where it is wider than `width` columns, left-aligned columns are wrapped between words, none
/// below 12 columns. A strong cell ends in "*".
std::string to_text(const Table& table, std::size_t width = 100);

}  // namespace hourglass::report
