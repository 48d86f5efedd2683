// Features on their way to the device.
#pragma once

#include <cstdint>
#include <vector>

#include "host/data/value_check.hpp"
#include "host/train/batch_stream.hpp"
#include "hourglass/rows.hpp"
#include "hourglass/scaler.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

/// Up to `capacity` rows of a source for the device to read, in the type that they lie in on the
/// host. Takes device memory for them, but where the device works in the host's memory and the rows
/// are there already.
class FeatureBuffer {
 public:
  FeatureBuffer(Backend& backend, const RowSource& rows, std::int64_t capacity);
  /// Rows [first, first + count) of `rows`, which has the type and the columns given at first, and
  /// stays where it is while the view is used. Throws what reading or checking them does.
  FeatureView load(const RowSource& rows, std::int64_t first, std::int64_t count,
                   ValueCheck check = ValueCheck::none);

 private:
  Backend* backend_;
  bool on_host_;
  Buffer<unsigned char> memory_;
};

/// A scaler's offsets and factors for one source of rows, in device memory.
class DeviceScaler {
 public:
  DeviceScaler(Backend& backend, const Scaler& scaler, const RowSource& rows)
      : offset_(backend, std::span<const float>(scaler.offset)),
        factor_(backend, std::span<const float>(scaler.factor_for(rows))) {}
  /// out = rows first_row ... of `source`, or those that `index` names, scaled.
  void gather(Backend& backend, FeatureView source, const std::int32_t* index,
              std::int64_t first_row, Mat out) const {
    backend.gather_rows(source, index, first_row, offset_.span(), factor_.span(), out);
  }
  /// What a 0 of each column becomes.
  [[nodiscard]] Buffer<float> zero_row(Backend& backend) const {
    Buffer<float> row(backend, offset_.size());
    row.zero();
    Buffer<float> scaled(backend, offset_.size());
    gather(backend, {row.data(), false, 1, row.size()}, nullptr, 0, scaled.matrix(1, row.size()));
    return scaled;
  }
  /// out = the rows of the batch whose turn it is after *step steps (Backend::gather_batch),
  /// scaled.
  void gather(Backend& backend, FeatureView source, std::span<const std::int32_t> order,
              std::int64_t batch, const std::int64_t* step, Mat out) const {
    backend.gather_batch(source, order, batch, step, offset_.span(), factor_.span(), out);
  }

 private:
  Buffer<float> offset_;
  Buffer<float> factor_;
};

/// What a scaling expects of the values.
ValueCheck value_check(Scaling scaling);

/// Rows that are worked on at a time where their number does not matter to the result: enough to
/// keep a device busy, few enough that a block of `columns` stays near the caches.
std::int64_t block_rows(std::int64_t columns);

/// Rows whose statistics are computed at a time. They depend on the columns alone, so that the
/// result does.
std::int64_t statistics_rows(std::int64_t columns);

/// Of BatchStream in for_blocks().
inline constexpr int buffers_of_blocks = 2;

/// Calls body(first, count, source) for consecutive blocks of rows, each in device memory as
/// `source` and checked. Of a file the next block is read meanwhile.
template <class Body>
void for_blocks(Backend& backend, const RowSource& rows, std::int64_t block, ValueCheck check,
                Body&& body) {
  if (rows.rows() == 0) return;
  std::int64_t first = 0;
  if (!rows.in_memory()) {
    BatchStream stream(backend, rows, block, check, buffers_of_blocks);
    stream.begin();
    for (FeatureView view; (view = stream.next()).rows > 0; first += view.rows)
      body(first, view.rows, view);
    return;
  }
  FeatureBuffer buffer(backend, rows, block < rows.rows() ? block : rows.rows());
  for (; first < rows.rows(); first += block) {
    const std::int64_t count = block < rows.rows() - first ? block : rows.rows() - first;
    body(first, count, buffer.load(rows, first, count, check));
  }
}

/// Calls body(first, count, values) for consecutive blocks of rows in the host's memory.
template <class Body>
void for_host_blocks(const RowSource& rows, Body&& body) {
  const std::int64_t block = block_rows(rows.columns());
  std::vector<unsigned char> staging;
  for (std::int64_t first = 0; first < rows.rows(); first += block) {
    const std::int64_t count = block < rows.rows() - first ? block : rows.rows() - first;
    if (rows.in_memory()) {
      body(first, count, rows.slice(first, count).data());
    } else {
      staging.resize(static_cast<std::size_t>(count * rows.row_bytes()));
      rows.read(first, count, staging.data());
      body(first, count, static_cast<const void*>(staging.data()));
    }
  }
}

}  // namespace hourglass
