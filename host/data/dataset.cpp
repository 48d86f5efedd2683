#include "hourglass/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <type_traits>
#include <utility>

#include "host/data/array.hpp"
#include "host/data/atomic_file.hpp"
#include "host/data/csv.hpp"
#include "host/data/datasets.hpp"
#include "host/data/feature_array.hpp"
#include "host/data/idx.hpp"
#include "host/data/npy.hpp"
#include "host/data/value_check.hpp"
#include "hourglass/error.hpp"
#include "kernels/checks.hpp"

namespace hourglass {
namespace {

Array read_binary(const std::string& path) {
  return format_of(path) == FileFormat::npy ? read_npy(path) : read_idx(path);
}

Dataset dataset_from_array(const std::string& name, Array array) {
  const FeatureShape shape = feature_shape(name, array.shape, array.type());
  Dataset data;
  data.name = name;
  data.rows = shape.rows;
  data.columns = shape.columns;
  data.image_height = shape.image_height;
  data.image_width = shape.image_width;
  if (array.type() == ElementType::u8) {
    data.values = std::get<std::vector<std::uint8_t>>(std::move(array.values));
    return data;
  }
  if (array.type() == ElementType::f32) {
    data.values = std::get<std::vector<float>>(std::move(array.values));
  } else {
    const auto& wide = std::get<std::vector<double>>(array.values);
    std::vector<float> narrowed(wide.size());
    narrow(name, wide, 0, data.columns, narrowed.data());
    data.values = std::move(narrowed);
  }
  check_values(name, std::get<1>(data.values), 0, data.columns, ValueCheck::finite);
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
  if (format_of(source) == FileFormat::csv) return Dataset::from_matrix(source, read_csv(source));
  return dataset_from_array(source, read_binary(source));
}

std::vector<std::int32_t> load_labels(const std::string& source, std::int64_t expected_rows) {
  std::vector<std::int32_t> labels;
  if (const auto part = parse_named_part(source)) {
    const std::vector<DatasetFile> files = fetch_dataset(part->dataset->name);
    labels = labels_from_array(source, read_idx(files[part->test ? 3 : 1].path));
  } else if (format_of(source) == FileFormat::csv) {
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

struct MatrixWriter::Target {
  Target(const std::string& path, std::int64_t column_count, std::int64_t rows, char between)
      : file(path),
        columns(column_count),
        rows_left(column_count > 0 ? rows : 0),
        delimiter(between) {}

  AtomicFile file;
  std::int64_t columns;
  std::int64_t rows_left;
  char delimiter;  ///< 0 for .npy
};

MatrixWriter::MatrixWriter(const std::string& path, std::int64_t rows, std::int64_t columns) {
  std::string extension = data_extension(path);
  // Nothing is compressed here: "codes.npy.gz" would be a lie.
  if (path.ends_with(".gz")) extension = ".gz";
  if (extension != ".npy" && extension != ".csv" && extension != ".tsv") {
    throw UsageError(fmt::format(
        "{}: cannot tell the format to write, expected a name that ends in .npy, .csv or .tsv",
        path));
  }
  const char delimiter = extension == ".csv" ? ',' : extension == ".tsv" ? '\t' : '\0';
  target_ = std::make_unique<Target>(path, columns, rows, delimiter);
  if (delimiter == '\0') target_->file.write(npy_header(rows, columns));
}

MatrixWriter::MatrixWriter(MatrixWriter&&) noexcept = default;
MatrixWriter& MatrixWriter::operator=(MatrixWriter&&) noexcept = default;
MatrixWriter::~MatrixWriter() = default;

void MatrixWriter::write(std::span<const float> values) {
  const std::int64_t columns = target_->columns;
  const auto count = static_cast<std::int64_t>(values.size());
  const std::int64_t rows = columns > 0 ? count / columns : 0;
  require(rows * columns == count && rows <= target_->rows_left, "MatrixWriter::write",
          "whole rows, no more than were announced");
  target_->rows_left -= rows;
  if (target_->delimiter == '\0') {
    target_->file.write(std::as_bytes(values));
    return;
  }
  // Text takes more than twice the memory of its numbers.
  const std::int64_t block = std::max<std::int64_t>(4096 / std::max<std::int64_t>(columns, 1), 1);
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t part = std::min(block, rows - first);
    target_->file.write(csv_lines(values.subspan(static_cast<std::size_t>(first * columns),
                                                 static_cast<std::size_t>(part * columns)),
                                  columns, target_->delimiter));
  }
}

void MatrixWriter::commit() {
  require(target_->rows_left == 0, "MatrixWriter::commit", "all rows to be written");
  target_->file.commit();
}

void save_matrix(const std::string& path, const Matrix& matrix) {
  MatrixWriter writer(path, matrix.rows, matrix.columns);
  writer.write(matrix.values);
  writer.commit();
}

}  // namespace hourglass
