#include "host/data/neighbour_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <variant>

#include "host/data/array.hpp"
#include "host/data/npy.hpp"
#include "hourglass/error.hpp"
#include "hourglass/rows.hpp"

namespace hourglass {
namespace {

using Candidate = std::pair<float, std::int32_t>;

constexpr std::int64_t most_rows = std::numeric_limits<std::int32_t>::max();

/// At `row`, `column`: what is there as float32. Throws InputError where that is no distance.
template <class T>
float checked_distance(const std::string& file, std::int64_t row, std::int64_t column, T value) {
  if (!(value >= 0) || !std::isfinite(value)) {
    throw InputError(
        fmt::format("{}: row {}, column {} is {}; expected a distance, finite and not negative",
                    file, row, column, value));
  }
  const auto narrow = static_cast<float>(value);
  if (!std::isfinite(narrow)) {
    throw InputError(fmt::format("{}: row {}, column {} is {}; expected a distance of at most {:g}",
                                 file, row, column, value, std::numeric_limits<float>::max()));
  }
  return narrow;
}

void check_table(const std::string& file, const Array& array) {
  if (array.shape.size() != 2) {
    throw InputError(
        fmt::format("{}: its shape is {}, expected two dimensions: points x neighbours", file,
                    shape_text(array.shape)));
  }
  if (array.shape[0] > most_rows || array.shape[1] >= array.shape[0]) {
    throw InputError(
        fmt::format("{}: its shape is {}, expected at most 2^31 - 1 points, and fewer neighbours "
                    "than points",
                    file, shape_text(array.shape)));
  }
}

/// Distances as float32, checked.
std::vector<float> distances_of(const std::string& file, const Array& array) {
  const std::int64_t columns = array.shape[1];
  return std::visit(
      [&](const auto& values) -> std::vector<float> {
        using T = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (std::is_floating_point_v<T>) {
          std::vector<float> result(values.size());
          for (std::size_t i = 0; i < values.size(); ++i) {
            const auto at = static_cast<std::int64_t>(i);
            result[i] = checked_distance(file, at / columns, at % columns, values[i]);
          }
          return result;
        } else {
          throw InputError(fmt::format("{}: holds {}, expected distances as float32 or float64",
                                       file, name_of(array.type())));
        }
      },
      array.values);
}

/// Indices, each within the rows and not the row's own.
std::vector<std::int32_t> indices_of(const std::string& file, const Array& array) {
  const std::int64_t rows = array.shape[0];
  const std::int64_t columns = array.shape[1];
  return std::visit(
      [&](const auto& values) -> std::vector<std::int32_t> {
        using T = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (std::is_integral_v<T>) {
          std::vector<std::int32_t> result(values.size());
          for (std::size_t i = 0; i < values.size(); ++i) {
            const std::int64_t row = static_cast<std::int64_t>(i) / columns;
            const std::int64_t column = static_cast<std::int64_t>(i) % columns;
            if (std::cmp_less(values[i], 0) || std::cmp_greater_equal(values[i], rows)) {
              throw InputError(
                  fmt::format("{}: row {}, column {} is {}; expected an index of 0 to {}", file,
                              row, column, values[i], rows - 1));
            }
            if (std::cmp_equal(values[i], row)) {
              throw InputError(
                  fmt::format("{}: row {}, column {} is {}, the row itself; expected other rows "
                              "only: kneighbors() without an argument leaves it out",
                              file, row, column, values[i]));
            }
            result[i] = static_cast<std::int32_t>(values[i]);
          }
          return result;
        } else {
          throw InputError(fmt::format("{}: holds {}, expected indices as integers", file,
                                       name_of(array.type())));
        }
      },
      array.values);
}

}  // namespace

NeighbourTable read_neighbours(const std::string& index_file, const std::string& distance_file) {
  NeighbourTable table;
  {
    const Array array = read_npy(index_file);
    check_table(index_file, array);
    table.rows = array.shape[0];
    table.k = array.shape[1];
    table.index = indices_of(index_file, array);
  }
  {
    const Array array = read_npy(distance_file);
    if (array.shape != std::vector<std::int64_t>{table.rows, table.k}) {
      throw InputError(
          fmt::format("{}: its shape is {}, expected that of the indices in {}: {} x {}",
                      distance_file, shape_text(array.shape), index_file, table.rows, table.k));
    }
    table.distance = distances_of(distance_file, array);
  }

  // The column in which an index of the current row was seen first, marked by the row.
  std::vector<std::int32_t> seen(static_cast<std::size_t>(table.rows), -1);
  std::vector<Candidate> row(static_cast<std::size_t>(table.k));
  for (std::int64_t i = 0; i < table.rows; ++i) {
    for (std::int64_t a = 0; a < table.k; ++a) {
      const auto at = static_cast<std::size_t>(i * table.k + a);
      const std::int32_t other = table.index[at];
      if (seen[static_cast<std::size_t>(other)] == i) {
        throw InputError(
            fmt::format("{}: row {}, column {} is {}, which is in that row before; expected each "
                        "neighbour once",
                        index_file, i, a, other));
      }
      seen[static_cast<std::size_t>(other)] = static_cast<std::int32_t>(i);
      row[static_cast<std::size_t>(a)] = {table.distance[at], other};
    }
    std::sort(row.begin(), row.end());
    for (std::int64_t a = 0; a < table.k; ++a) {
      const auto at = static_cast<std::size_t>(i * table.k + a);
      table.distance[at] = row[static_cast<std::size_t>(a)].first;
      table.index[at] = row[static_cast<std::size_t>(a)].second;
    }
  }
  return table;
}

namespace {

RowFile open_distance_matrix(const std::string& file) {
  RowFile matrix = RowFile::open(file);
  if (matrix.rows() != matrix.columns() || matrix.rows() > most_rows) {
    throw InputError(fmt::format("{}: its shape is {} x {}, expected a square matrix of distances",
                                 file, matrix.rows(), matrix.columns()));
  }
  if (matrix.is_bytes()) {
    throw InputError(
        fmt::format("{}: holds bytes, expected distances as float32 or float64", file));
  }
  return matrix;
}

}  // namespace

std::int64_t distance_matrix_rows(const std::string& file) {
  return open_distance_matrix(file).rows();
}

NeighbourTable read_distance_matrix(const std::string& file, std::int64_t k) {
  const RowFile matrix = open_distance_matrix(file);
  const std::int64_t n = matrix.rows();
  if (k < 1 || k > n - 1) {
    throw UsageError(
        fmt::format("{}: {} neighbours of {} points; expected 1 to {}", file, k, n, n - 1));
  }
  NeighbourTable table;
  table.rows = n;
  table.k = k;
  table.index.reserve(static_cast<std::size_t>(n * k));
  table.distance.reserve(static_cast<std::size_t>(n * k));
  const std::int64_t block = std::max<std::int64_t>((std::int64_t{1} << 22) / n, 1);
  std::vector<float> rows(static_cast<std::size_t>(std::min(block, n) * n));
  std::vector<Candidate> row;
  for (std::int64_t first = 0; first < n; first += block) {
    const std::int64_t count = std::min(block, n - first);
    matrix.read(first, count, rows.data());
    for (std::int64_t i = first; i < first + count; ++i) {
      row.clear();
      for (std::int64_t j = 0; j < n; ++j) {
        if (j == i) continue;
        const float value = rows[static_cast<std::size_t>((i - first) * n + j)];
        row.emplace_back(checked_distance(file, i, j, value), static_cast<std::int32_t>(j));
      }
      std::partial_sort(row.begin(), row.begin() + k, row.end());
      for (std::int64_t a = 0; a < k; ++a) {
        table.distance.push_back(row[static_cast<std::size_t>(a)].first);
        table.index.push_back(row[static_cast<std::size_t>(a)].second);
      }
    }
  }
  return table;
}

}  // namespace hourglass
