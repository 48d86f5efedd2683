#include "hourglass/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>

#include "host/data/array.hpp"
#include "host/data/csv.hpp"
#include "host/data/datasets.hpp"
#include "host/data/idx.hpp"
#include "host/data/npy.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

enum class Format { idx, npy, csv };

Format format_of(const std::string& path) {
  const std::string extension = data_extension(path);
  if (extension == ".npy") return Format::npy;
  if (extension == ".csv" || extension == ".tsv") return Format::csv;
  return Format::idx;
}

Array read_binary(const std::string& path) {
  return format_of(path) == Format::npy ? read_npy(path) : read_idx(path);
}

void check_finite(const std::string& name, std::span<const float> values, std::int64_t columns) {
  // Whole blocks without a branch an element, so that the compiler vectorises; a bad one is then
  // searched.
  constexpr std::size_t block = 4096;
  for (std::size_t begin = 0; begin < values.size(); begin += block) {
    const auto part = values.subspan(begin, std::min(block, values.size() - begin));
    unsigned bad = 0;
    for (const float value : part) {
      bad |= static_cast<unsigned>(!(std::abs(value) <= std::numeric_limits<float>::max()));
    }
    if (bad == 0) continue;
    const auto first =
        std::find_if(part.begin(), part.end(), [](float value) { return !std::isfinite(value); });
    const auto at = static_cast<std::int64_t>(begin) + (first - part.begin());
    throw InputError(
        fmt::format("{}: row {}, column {} (counted from 0) is {}, expected finite numbers", name,
                    at / columns, at % columns, *first));
  }
}

// float64 to float32. A finite value may lie beyond float32: that is another mistake than an
// infinite one.
std::vector<float> narrow(const std::string& name, const std::vector<double>& values,
                          std::int64_t columns) {
  std::vector<float> narrowed(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    narrowed[i] = static_cast<float>(values[i]);
    if (std::isfinite(values[i]) && !std::isfinite(narrowed[i])) {
      const auto at = static_cast<std::int64_t>(i);
      throw InputError(fmt::format(
          "{}: row {}, column {} (counted from 0) is {}, expected values within float32's range",
          name, at / columns, at % columns, values[i]));
    }
  }
  return narrowed;
}

Dataset dataset_from_array(const std::string& name, Array array) {
  if (array.shape.size() < 2) {
    throw InputError(fmt::format(
        "{}: has one dimension of {} elements, expected rows of features: two dimensions or more",
        name, array.shape[0]));
  }
  Dataset data;
  data.name = name;
  data.rows = array.shape[0];
  data.columns = std::accumulate(array.shape.begin() + 1, array.shape.end(), std::int64_t{1},
                                 std::multiplies<>());
  if (array.shape.size() >= 3 && array.shape[1] * array.shape[2] == data.columns) {
    data.image_height = array.shape[1];
    data.image_width = array.shape[2];
  }
  switch (array.type()) {
    case ElementType::u8:
      data.values = std::get<std::vector<std::uint8_t>>(std::move(array.values));
      break;
    case ElementType::f32:
      data.values = std::get<std::vector<float>>(std::move(array.values));
      break;
    case ElementType::f64:
      data.values = narrow(name, std::get<std::vector<double>>(array.values), data.columns);
      break;
    default:
      throw InputError(fmt::format(
          "{}: holds {} elements, expected uint8, float32 or float64: save them as one of these",
          name, name_of(array.type())));
  }
  if (!data.is_bytes()) check_finite(name, std::get<1>(data.values), data.columns);
  return data;
}

std::vector<std::int32_t> labels_from_array(const std::string& name, const Array& array) {
  const auto longest = *std::max_element(array.shape.begin(), array.shape.end());
  const auto count =
      std::accumulate(array.shape.begin(), array.shape.end(), std::int64_t{1}, std::multiplies<>());
  if (longest != count || array.shape[0] != count) {
    throw InputError(fmt::format("{}: its shape is {}, expected labels: one dimension", name,
                                 shape_text(array.shape)));
  }
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  std::visit(
      [&](const auto& values) {
        using Value = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (std::is_floating_point_v<Value>) {
          throw InputError(fmt::format("{}: holds {} elements, expected labels of an integer type",
                                       name, name_of(array.type())));
        } else {
          for (std::size_t i = 0; i < values.size(); ++i) {
            if (!std::in_range<std::int32_t>(values[i])) {
              throw InputError(
                  fmt::format("{}: row {} (counted from 0) is {}, expected a label of 32 bits",
                              name, i, values[i]));
            }
            labels[i] = static_cast<std::int32_t>(values[i]);
          }
        }
      },
      array.values);
  return labels;
}

Dataset load_named(const std::string& source, const NamedPart& part) {
  const std::vector<DatasetFile> files = fetch_dataset(part.dataset->name);
  const std::size_t first = part.test ? 2 : 0;
  Dataset data = dataset_from_array(source, read_idx(files[first].path));
  data.labels = labels_from_array(source, read_idx(files[first + 1].path));
  return data;
}

}  // namespace

const void* Dataset::data() const {
  return std::visit([](const auto& elements) -> const void* { return elements.data(); }, values);
}

Dataset Dataset::slice(std::int64_t first, std::int64_t count) const {
  if (first < 0 || count < 0 || first > rows || count > rows - first) {
    throw UsageError(fmt::format("{}: {} rows from row {} on do not exist, it has {}", name, count,
                                 first, rows));
  }
  Dataset part;
  part.name = name;
  part.rows = count;
  part.columns = columns;
  part.image_height = image_height;
  part.image_width = image_width;
  std::visit(
      [&](const auto& elements) {
        const auto begin = elements.begin() + first * columns;
        part.values = std::decay_t<decltype(elements)>(begin, begin + count * columns);
      },
      values);
  if (!labels.empty()) part.labels.assign(labels.begin() + first, labels.begin() + first + count);
  return part;
}

Dataset Dataset::from_matrix(std::string name, Matrix matrix) {
  Dataset data;
  data.name = std::move(name);
  data.rows = matrix.rows;
  data.columns = matrix.columns;
  data.values = std::move(matrix.values);
  return data;
}

Dataset load_dataset(const std::string& source) {
  if (const auto part = parse_named_part(source)) return load_named(source, *part);
  if (format_of(source) == Format::csv) return Dataset::from_matrix(source, read_csv(source));
  return dataset_from_array(source, read_binary(source));
}

std::vector<std::int32_t> load_labels(const std::string& source, std::int64_t expected_rows) {
  std::vector<std::int32_t> labels;
  if (const auto part = parse_named_part(source)) {
    const std::vector<DatasetFile> files = fetch_dataset(part->dataset->name);
    labels = labels_from_array(source, read_idx(files[part->test ? 3 : 1].path));
  } else if (format_of(source) == Format::csv) {
    labels = read_csv_labels(source);
  } else {
    labels = labels_from_array(source, read_binary(source));
  }
  if (expected_rows >= 0 && static_cast<std::int64_t>(labels.size()) != expected_rows) {
    throw InputError(fmt::format("{}: has {} labels, expected {}, one a row of the data", source,
                                 labels.size(), expected_rows));
  }
  return labels;
}

Matrix load_matrix(const std::string& source) {
  Dataset data = load_dataset(source);
  Matrix matrix;
  matrix.rows = data.rows;
  matrix.columns = data.columns;
  if (data.is_bytes()) {
    const auto& bytes = std::get<0>(data.values);
    matrix.values.assign(bytes.begin(), bytes.end());
  } else {
    matrix.values = std::get<1>(std::move(data.values));
  }
  return matrix;
}

void save_matrix(const std::string& path, const Matrix& matrix) {
  std::string extension = data_extension(path);
  // The writers do not compress: "codes.npy.gz" would be a lie.
  if (path.ends_with(".gz")) extension = ".gz";
  if (extension == ".npy") {
    write_npy(path, matrix);
  } else if (extension == ".csv" || extension == ".tsv") {
    write_csv(path, matrix, extension == ".csv" ? ',' : '\t');
  } else {
    throw UsageError(fmt::format(
        "{}: cannot tell the format to write, expected a name that ends in .npy, .csv or .tsv",
        path));
  }
}

}  // namespace hourglass
