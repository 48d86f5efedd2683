// A dense row-major matrix of float32 in host memory: codes, maps, reconstructions, components.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hourglass {

struct Matrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<float> values;  ///< rows * columns, row after row

  Matrix() = default;
  Matrix(std::int64_t row_count, std::int64_t column_count)
      : rows(row_count),
        columns(column_count),
        values(static_cast<std::size_t>(row_count) * static_cast<std::size_t>(column_count)) {}

  [[nodiscard]] std::span<float> row(std::int64_t i) {
    return {values.data() + i * columns, static_cast<std::size_t>(columns)};
  }
  [[nodiscard]] std::span<const float> row(std::int64_t i) const {
    return {values.data() + i * columns, static_cast<std::size_t>(columns)};
  }
  [[nodiscard]] float& operator()(std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(i * columns + j)];
  }
  [[nodiscard]] float operator()(std::int64_t i, std::int64_t j) const {
    return values[static_cast<std::size_t>(i * columns + j)];
  }
};

}  // namespace hourglass
