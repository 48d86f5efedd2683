// Features on their way to the device.
#pragma once

#include <cstdint>

#include "hourglass/dataset.hpp"
#include "hourglass/scaler.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

/// Room in device memory for `capacity` rows of a dataset, in the type that they lie in on the
/// host.
class FeatureBuffer {
 public:
  FeatureBuffer(Backend& backend, const Dataset& data, std::int64_t capacity);
  /// Rows [first, first + count) of `data`, which has the type and the columns given at first.
  FeatureView load(const Dataset& data, std::int64_t first, std::int64_t count);

 private:
  Backend* backend_;
  Buffer<unsigned char> memory_;
};

/// A scaler's offsets and factors for one dataset, in device memory.
class DeviceScaler {
 public:
  DeviceScaler(Backend& backend, const Scaler& scaler, const Dataset& data)
      : offset_(backend, std::span<const float>(scaler.offset)),
        factor_(backend, std::span<const float>(scaler.factor_for(data))) {}
  /// out = rows first_row ... of `source`, or those that `index` names, scaled.
  void gather(Backend& backend, FeatureView source, const std::int32_t* index,
              std::int64_t first_row, Mat out) const {
    backend.gather_rows(source, index, first_row, offset_.span(), factor_.span(), out);
  }

 private:
  Buffer<float> offset_;
  Buffer<float> factor_;
};

/// Rows that are worked on at a time where their number does not matter to the result: enough to
/// keep a device busy, few enough that a block of `columns` stays near the caches.
std::int64_t block_rows(std::int64_t columns);

/// Calls body(first, count, source) for consecutive blocks of rows, each uploaded as `source`.
template <class Body>
void for_blocks(Backend& backend, const Dataset& data, std::int64_t rows, Body&& body) {
  if (data.rows == 0) return;
  FeatureBuffer block(backend, data, rows < data.rows ? rows : data.rows);
  for (std::int64_t first = 0; first < data.rows; first += rows) {
    const std::int64_t count = rows < data.rows - first ? rows : data.rows - first;
    body(first, count, block.load(data, first, count));
  }
}

}  // namespace hourglass
