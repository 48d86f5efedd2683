// A dense row-major matrix of float64: what the oracle computes with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hourglass::oracle {

struct Matrix64 {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<double> values;

  Matrix64() = default;
  Matrix64(std::int64_t row_count, std::int64_t column_count, double value = 0.0)
      : rows(row_count),
        columns(column_count),
        values(static_cast<std::size_t>(row_count * column_count), value) {}
  /// Takes rows * columns numbers of any type, widened.
  template <class T>
  Matrix64(std::int64_t row_count, std::int64_t column_count, const std::vector<T>& from)
      : rows(row_count),
        columns(column_count),
        values(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(row_count * column_count)) {
  }

  double& operator()(std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(i * columns + j)];
  }
  double operator()(std::int64_t i, std::int64_t j) const {
    return values[static_cast<std::size_t>(i * columns + j)];
  }
};

}  // namespace hourglass::oracle
