// Non-owning views of memory that a backend allocated. They carry shapes, never ownership, and can
// point at device memory: only a backend's own operations may follow the pointers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace hourglass {

/// A dense row-major matrix: element (i, j) is data[i * columns + j].
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  [[nodiscard]] std::int64_t size() const { return rows * columns; }
  [[nodiscard]] bool empty() const { return data == nullptr; }
  [[nodiscard]] std::span<T> flat() const { return {data, static_cast<std::size_t>(size())}; }
  [[nodiscard]] MatrixView row_range(std::int64_t first, std::int64_t count) const {
    return {data + first * columns, count, columns};
  }
  // NOLINTNEXTLINE(google-explicit-constructor): a view of T reads as a view of const T
  operator MatrixView<const T>() const requires(!std::is_const_v<T>) {
    return {data, rows, columns};
  }
};

using Mat = MatrixView<float>;
using ConstMat = MatrixView<const float>;

/// A matrix of features as it lies in memory, bytes or float32: the data of a whole training set.
struct FeatureView {
  const void* data = nullptr;
  bool bytes = false;  ///< uint8 where true, else float32
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// A sparse square matrix in compressed rows: row i has columns[offsets[i] .. offsets[i+1]),
/// ascending.
template <class Offset, class Column, class Value>
struct CsrViewOf {
  Offset* offsets = nullptr;  ///< rows + 1
  Column* columns = nullptr;  ///< capacity entries
  Value* values = nullptr;    ///< capacity entries
  std::int64_t rows = 0;
  std::int64_t capacity = 0;  ///< entries that columns and values have room for
};
using CsrView = CsrViewOf<std::int64_t, std::int32_t, float>;
using ConstCsrView = CsrViewOf<const std::int64_t, const std::int32_t, const float>;

inline ConstCsrView as_const(const CsrView& view) {
  return {view.offsets, view.columns, view.values, view.rows, view.capacity};
}

}  // namespace hourglass
