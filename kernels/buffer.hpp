// Owning device memory: RAII over Backend::allocate. Typed, sized, movable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"

namespace hourglass {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, std::int64_t size)
      : backend_(&backend), size_(size), data_(static_cast<T*>(backend.allocate(bytes(size)))) {}
  Buffer(Backend& backend, std::span<const T> values)
      : Buffer(backend, static_cast<std::int64_t>(values.size())) {
    upload(values);
  }
  Buffer(Buffer&& other) noexcept
      : backend_(std::exchange(other.backend_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        data_(std::exchange(other.data_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) backend_->release(data_);
  }

  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::span<T> span() { return {data_, static_cast<std::size_t>(size_)}; }
  [[nodiscard]] std::span<const T> span() const { return {data_, static_cast<std::size_t>(size_)}; }
  [[nodiscard]] std::span<T> span(std::int64_t first, std::int64_t count) {
    return span().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
  }
  /// The first rows * columns elements as a matrix.
  [[nodiscard]] MatrixView<T> matrix(std::int64_t rows, std::int64_t columns) {
    return {data_, rows, columns};
  }
  [[nodiscard]] MatrixView<const T> matrix(std::int64_t rows, std::int64_t columns) const {
    return {data_, rows, columns};
  }

  void upload(std::span<const T> values) {
    if (static_cast<std::int64_t>(values.size()) > size_) {
      throw std::invalid_argument("Buffer::upload: more values than the buffer holds");
    }
    backend_->upload(data_, values.data(), values.size_bytes());
  }
  /// The first `count` elements (all where count < 0); waits for the operations before it.
  [[nodiscard]] std::vector<T> download(std::int64_t count = -1) const {
    std::vector<T> values(static_cast<std::size_t>(count < 0 ? size_ : count));
    backend_->download(values.data(), data_, values.size() * sizeof(T));
    return values;
  }
  void zero() { backend_->fill(data_, 0, bytes(size_)); }

 private:
  static std::size_t bytes(std::int64_t size) { return static_cast<std::size_t>(size) * sizeof(T); }

  Backend* backend_ = nullptr;
  std::int64_t size_ = 0;
  T* data_ = nullptr;
};

}  // namespace hourglass
