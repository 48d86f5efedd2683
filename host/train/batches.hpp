// The batches of an epoch: rows in the order of a permutation, scaled, in device memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "host/train/batch_stream.hpp"
#include "host/train/features.hpp"
#include "hourglass/rows.hpp"
#include "hourglass/scaler.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

/// Gives equal batches whether the rows lie on the device or are streamed there.
class Batches {
 public:
  enum class Order { shuffled, as_they_lie };
  enum class Residence {
    device,   ///< all rows in device memory
    streamed  ///< a few batches at a time, read ahead
  };
  /// Of the buffers of a stream.
  static constexpr int stream_buffers = 3;

  Batches(Backend& backend, const Scaler& scaler, const RowSource& rows, std::int64_t batch,
          Order order, Residence residence)
      : backend_(backend), rows_(rows.rows()), batch_(batch), scaler_(backend, scaler, rows) {
    if (residence == Residence::streamed) {
      stream_.emplace(backend, rows, batch, ValueCheck::none, stream_buffers);
      return;
    }
    source_.emplace(backend, rows, rows.rows());
    view_ = source_->load(rows, 0, rows.rows());
    if (order == Order::shuffled) order_ = Buffer<std::int32_t>(backend, rows.rows());
  }

  /// What a 0 of the rows becomes in each column of a batch.
  [[nodiscard]] Buffer<float> zero_row() const { return scaler_.zero_row(backend_); }
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  /// Rows of a step; the last step of an epoch may have fewer.
  [[nodiscard]] std::int64_t batch() const { return batch_; }
  [[nodiscard]] std::int64_t steps() const { return (rows_ + batch_ - 1) / batch_; }
  [[nodiscard]] std::int64_t rows_of(std::int64_t step) const {
    return std::min(batch_, rows_ - step * batch_);
  }

  /// Starts an epoch, or the rest of one, at step `first`. `order` stays as it is until the epoch
  /// has ended.
  void begin(std::span<const std::int32_t> order, std::int64_t first) {
    if (stream_) {
      stream_->begin(order, first);
    } else {
      order_.upload(order);
    }
  }
  /// The same for the rows as they lie.
  void begin() {
    if (stream_) stream_->begin();
  }
  /// out (rows_of(step) x D) = the scaled rows of that step. After begin(), steps come one after
  /// the other.
  void gather(std::int64_t step, Mat out) {
    const std::int64_t first = step * batch_;
    if (stream_) {
      scaler_.gather(backend_, stream_->next(), nullptr, 0, out);
    } else {
      const std::int32_t* order = order_.size() > 0 ? order_.data() + first : nullptr;
      scaler_.gather(backend_, view_, order, first, out);
    }
  }

 private:
  Backend& backend_;
  std::int64_t rows_;
  std::int64_t batch_;
  DeviceScaler scaler_;
  std::optional<FeatureBuffer> source_;
  FeatureView view_;
  Buffer<std::int32_t> order_;  // empty where rows come as they lie, or are streamed
  std::optional<BatchStream> stream_;
};

}  // namespace hourglass
