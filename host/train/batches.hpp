// The batches of an epoch: rows in the order of a permutation, scaled, in device memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "host/train/batch_stream.hpp"
#include "host/train/features.hpp"
#include "host/train/permutation.hpp"
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
      if (order == Order::shuffled) shuffle_.emplace(rows.rows());
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

  /// All rows lie on the device, so that steps may be recorded and run again.
  [[nodiscard]] bool resident() const { return !stream_.has_value(); }

  /// Starts epoch number `epoch` of shuffled rows, or the rest of it, at step `first`.
  void begin(std::uint64_t seed, std::uint32_t epoch, std::int64_t first) {
    if (stream_) {
      shuffle_->permute(seed, epoch);
      stream_->begin(shuffle_->order(), first);
    } else {
      backend_.shuffle_rows(seed, epoch, order_.span());
    }
  }
  /// The same for the rows as they lie.
  void begin() {
    if (stream_) stream_->begin();
  }
  /// out (rows_of(step) x D) = the scaled rows of that step, as they lie or from a stream. After
  /// begin(), steps come one after the other.
  void gather(std::int64_t step, Mat out) {
    if (stream_) {
      scaler_.gather(backend_, stream_->next(), nullptr, 0, out);
    } else {
      scaler_.gather(backend_, view_, nullptr, step * batch_, out);
    }
  }
  /// The same of shuffled rows. Where they are resident the step is what *steps_done, in device
  /// memory and counted through all epochs, says when the operation runs.
  void gather_shuffled(const std::int64_t* steps_done, Mat out) {
    if (stream_) {
      scaler_.gather(backend_, stream_->next(), nullptr, 0, out);
    } else {
      scaler_.gather(backend_, view_, std::as_const(order_).span(), batch_, steps_done, out);
    }
  }

 private:
  Backend& backend_;
  std::int64_t rows_;
  std::int64_t batch_;
  DeviceScaler scaler_;
  std::optional<FeatureBuffer> source_;
  FeatureView view_;
  Buffer<std::int32_t> order_;      // empty where rows come as they lie, or are streamed
  std::optional<Shuffle> shuffle_;  // of a stream
  std::optional<BatchStream> stream_;
};

}  // namespace hourglass
