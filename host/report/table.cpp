#include "host/report/table.hpp"

#include <algorithm>
#include <string_view>

#include "host/report/text.hpp"

namespace hourglass::report {
namespace {

constexpr std::size_t column_gap = 2;
constexpr std::size_t narrowest = 12;

using Lines = std::vector<std::string>;

std::string one_line(std::string_view text) {
  std::string clean = clean_utf8(text);
  std::ranges::replace_if(
      clean, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return clean;
}

// Words of `text` in lines of at most `width` columns; a longer word keeps its line for itself.
Lines wrap(const std::string& text, std::size_t width) {
  Lines lines;
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      lines.push_back(line);
      line.clear();
    }
    line += line.empty() ? word : ' ' + word;
  }
  lines.push_back(line);
  return lines;
}

std::size_t widest(const Lines& lines) {
  std::size_t width = 0;
  for (const std::string& line : lines)
    width = std::max(width, display_width(line));
  return width;
}

std::string pad(const std::string& text, std::size_t width, Align align) {
  const std::size_t used = display_width(text);
  const std::size_t space = width > used ? width - used : 0;
  const std::size_t before = align == Align::left ? 0 : align == Align::right ? space : space / 2;
  return std::string(before, ' ') + text + std::string(space - before, ' ');
}

void append_trimmed(std::string& text, std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  text += line + '\n';
}

// The most that column `c` needs, and the least it can be wrapped to.
struct Demand {
  std::size_t full = 0;
  std::size_t least = 0;
};

class TextTable {
 public:
  TextTable(const Table& table, std::size_t width) : table_(table), demands_(table.columns.size()) {
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      has_mark_.push_back(table.columns[c].align == Align::right &&
                          std::ranges::any_of(table.rows, [c](const std::vector<Cell>& row) {
                            return c < row.size() && row[c].tone == Tone::strong;
                          }));
      ask(c, one_line(table.columns[c].header));
      ask(c, one_line(table.columns[c].unit));
      for (std::size_t r = 0; r < table.rows.size(); ++r)
        ask(c, cell(r, c));
    }
    fit(width);
  }

  [[nodiscard]] std::string render() const {
    std::string text;
    if (!table_.caption.empty()) append_trimmed(text, one_line(table_.caption));
    if (table_.columns.empty()) return text;
    Lines headers, units, rules;
    bool has_units = false;
    for (std::size_t c = 0; c < table_.columns.size(); ++c) {
      headers.push_back(one_line(table_.columns[c].header));
      units.push_back(one_line(table_.columns[c].unit));
      has_units = has_units || !units.back().empty();
      std::string rule;
      for (std::size_t i = 0; i < widths_[c]; ++i)
        rule += "─";
      rules.push_back(rule);
    }
    append_row(text, headers);
    if (has_units) append_row(text, units);
    append_row(text, rules);
    for (std::size_t r = 0; r < table_.rows.size(); ++r) {
      Lines cells;
      for (std::size_t c = 0; c < table_.columns.size(); ++c)
        cells.push_back(cell(r, c));
      append_row(text, cells);
    }
    if (!table_.note.empty())
      for (const std::string& line : wrap(one_line(table_.note), note_width()))
        append_trimmed(text, line);
    return text;
  }

 private:
  [[nodiscard]] std::string cell(std::size_t row, std::size_t column) const {
    if (column >= table_.rows[row].size()) return "";
    const Cell& cell = table_.rows[row][column];
    if (cell.tone == Tone::strong) return one_line(cell.text) + '*';
    // The place of the mark stays free in the other cells, so that digits stay under digits.
    return one_line(cell.text) + (has_mark_[column] ? " " : "");
  }

  void ask(std::size_t c, const std::string& text) {
    Demand& demand = demands_[c];
    const std::size_t width = display_width(text);
    demand.full = std::max(demand.full, width);
    const bool wraps = table_.columns[c].align == Align::left;
    demand.least = std::max(
        demand.least, wraps ? std::max(std::min(width, narrowest), widest(wrap(text, 1))) : width);
  }

  // Takes columns away from the widest that can give.
  void fit(std::size_t width) {
    std::size_t total = 0;
    for (const Demand& demand : demands_) {
      widths_.push_back(demand.full);
      total += demand.full + column_gap;
    }
    total -= std::min(total, column_gap);
    while (total > width) {
      std::size_t giver = widths_.size();
      for (std::size_t c = 0; c < widths_.size(); ++c)
        if (widths_[c] > demands_[c].least &&
            (giver == widths_.size() || widths_[c] > widths_[giver]))
          giver = c;
      if (giver == widths_.size()) break;
      --widths_[giver];
      --total;
    }
  }

  [[nodiscard]] std::size_t note_width() const {
    std::size_t total = 0;
    for (const std::size_t width : widths_)
      total += width + column_gap;
    return std::max<std::size_t>(total - std::min(total, column_gap), 60);
  }

  void append_row(std::string& text, const Lines& cells) const {
    std::vector<Lines> wrapped;
    std::size_t height = 1;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const bool wraps = table_.columns[c].align == Align::left;
      wrapped.push_back(wraps ? wrap(cells[c], widths_[c]) : Lines{cells[c]});
      height = std::max(height, wrapped.back().size());
    }
    for (std::size_t i = 0; i < height; ++i) {
      std::string line;
      for (std::size_t c = 0; c < cells.size(); ++c) {
        if (c > 0) line += std::string(column_gap, ' ');
        line +=
            pad(i < wrapped[c].size() ? wrapped[c][i] : "", widths_[c], table_.columns[c].align);
      }
      append_trimmed(text, line);
    }
  }

  const Table& table_;
  std::vector<Demand> demands_;
  std::vector<bool> has_mark_;
  std::vector<std::size_t> widths_;
};

}  // namespace

std::string to_text(const Table& table, std::size_t width) {
  return TextTable(table, width).render();
}

}  // namespace hourglass::report
