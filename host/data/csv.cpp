#include "host/data/csv.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <utility>

#include "host/data/input_file.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

enum class Parsed { number, out_of_range, text };

template <class Number>
Parsed parse_number(std::string_view field, Number& value) {
  // from_chars takes no plus sign; "+-1" stays an error.
  if (field.size() > 1 && field[0] == '+' && field[1] != '-') field.remove_prefix(1);
  const char* end = field.data() + field.size();
  const auto [stop, error] = std::from_chars(field.data(), end, value);
  if (error == std::errc::invalid_argument || stop != end) return Parsed::text;
  if (error == std::errc{}) return Parsed::number;
  // Too large or too small: only double's wider range, then the exponent's sign, tells which.
  double wide = 0.0;
  if (std::from_chars(field.data(), end, wide).ec == std::errc{}) {
    if (std::abs(wide) > 1.0) return Parsed::out_of_range;
    value = static_cast<Number>(wide);
    return Parsed::number;
  }
  const std::size_t exponent = field.find_first_of("eE");
  if (exponent == std::string_view::npos || field[exponent + 1] != '-') return Parsed::out_of_range;
  value = Number{0};
  return Parsed::number;
}

std::string_view trim(std::string_view field) {
  while (!field.empty() && (field.front() == ' ' || field.front() == '\t'))
    field.remove_prefix(1);
  while (!field.empty() && (field.back() == ' ' || field.back() == '\t'))
    field.remove_suffix(1);
  return field;
}

// What a message may show of a field: short and printable.
std::string shown(std::string_view field) {
  constexpr std::size_t most = 32;
  std::string text;
  for (const char c : field.substr(0, most))
    text += c >= ' ' && c < '\x7f' ? c : '?';
  return field.size() > most ? text + "..." : text;
}

// Takes the next field off `rest`, without its quotes; sets `last` where the line ends with it.
std::string_view next_field(std::string_view& rest, char delimiter, bool& last) {
  std::size_t from = 0;
  const std::size_t start = rest.find_first_not_of(' ');
  if (start != std::string_view::npos && rest[start] == '"') {
    const std::size_t close = rest.find('"', start + 1);
    if (close != std::string_view::npos) from = close + 1;
  }
  const std::size_t end = rest.find(delimiter, from);
  last = end == std::string_view::npos;
  std::string_view field = trim(rest.substr(0, end));
  rest.remove_prefix(last ? rest.size() : end + 1);
  if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
    field = trim(field.substr(1, field.size() - 2));
  }
  return field;
}

template <class Number>
bool is_header(std::string_view line, char delimiter) {
  bool last = line.empty();
  while (!last) {
    const std::string_view field = next_field(line, delimiter, last);
    Number value{};
    if (!field.empty() && parse_number(field, value) == Parsed::text) return true;
  }
  return false;
}

template <class Number>
struct Table {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t first_line = 1;  // of the data
  std::vector<Number> values;
};

template <class Number>
Table<Number> read_table(const std::string& path) {
  InputFile file(path);
  const std::string text = file.read_text();
  const char delimiter = data_extension(path) == ".tsv" ? '\t' : ',';
  std::string_view rest = text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  const std::size_t content_end = rest.find_last_not_of(" \t\r\n");
  if (content_end == std::string_view::npos) {
    throw InputError(fmt::format("{}: is empty, expected lines of numbers", path));
  }
  // The last line keeps its trailing delimiters: a tab there stands before an empty field.
  const std::size_t line_end = rest.find('\n', content_end);
  rest = rest.substr(0, line_end);

  Table<Number> table;
  for (std::int64_t line_number = 1; !rest.empty(); ++line_number) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);

    if (line_number == 1 && is_header<Number>(line, delimiter)) {
      table.first_line = 2;
      continue;
    }
    if (trim(line).empty()) {
      throw InputError(fmt::format("{}: line {} is empty, expected numbers up to the last line",
                                   path, line_number));
    }
    std::int64_t column = 0;
    for (bool last = false; !last;) {
      const std::string_view field = next_field(line, delimiter, last);
      ++column;
      Number value{};
      const Parsed parsed = field.empty() ? Parsed::text : parse_number(field, value);
      if (parsed == Parsed::text) {
        throw InputError(fmt::format("{}: line {}, column {} is {}, expected a number", path,
                                     line_number, column,
                                     field.empty() ? "empty" : '"' + shown(field) + '"'));
      }
      if (parsed == Parsed::out_of_range || !std::isfinite(value)) {
        throw InputError(fmt::format(
            "{}: line {}, column {} is {}, expected a finite number{}", path, line_number, column,
            shown(field), parsed == Parsed::out_of_range ? " within float32's range" : ""));
      }
      table.values.push_back(value);
    }
    if (table.rows == 0) {
      table.columns = column;
    } else if (column != table.columns) {
      throw InputError(fmt::format("{}: line {} has {} columns, expected {} as on line {}", path,
                                   line_number, column, table.columns, table.first_line));
    }
    ++table.rows;
  }
  if (table.rows == 0) {
    throw InputError(fmt::format("{}: has a header line only, expected lines of numbers", path));
  }
  return table;
}

}  // namespace

Matrix read_csv(const std::string& path) {
  Table<float> table = read_table<float>(path);
  Matrix matrix;
  matrix.rows = table.rows;
  matrix.columns = table.columns;
  matrix.values = std::move(table.values);
  return matrix;
}

std::vector<std::int32_t> read_csv_labels(const std::string& path) {
  // double holds every 32-bit integer; float would round labels beyond 2^24.
  const Table<double> table = read_table<double>(path);
  if (table.columns != 1) {
    throw InputError(fmt::format("{}: line {} has {} columns, expected labels in a single one",
                                 path, table.first_line, table.columns));
  }
  std::vector<std::int32_t> labels;
  labels.reserve(table.values.size());
  for (std::size_t i = 0; i < table.values.size(); ++i) {
    const double value = table.values[i];
    if (value != std::floor(value) || value < std::numeric_limits<std::int32_t>::min() ||
        value > std::numeric_limits<std::int32_t>::max()) {
      throw InputError(fmt::format("{}: line {} is {}, expected a label: a whole number of 32 bits",
                                   path, table.first_line + static_cast<std::int64_t>(i), value));
    }
    labels.push_back(static_cast<std::int32_t>(value));
  }
  return labels;
}

std::string csv_lines(std::span<const float> values, std::int64_t columns, char delimiter) {
  fmt::memory_buffer text;
  std::int64_t column = 0;
  for (const float value : values) {
    if (column > 0) text.push_back(delimiter);
    fmt::format_to(std::back_inserter(text), "{}", value);
    if (++column == columns) {
      text.push_back('\n');
      column = 0;
    }
  }
  return fmt::to_string(text);
}

}  // namespace hourglass
