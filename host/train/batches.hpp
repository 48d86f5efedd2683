// The batches of an epoch: rows in the order of a permutation, scaled, in device memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "host/train/features.hpp"
#include "hourglass/dataset.hpp"
#include "hourglass/scaler.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

class Batches {
 public:
  /// Of `batch` rows each; `shuffled` by the orders that begin() is given, or as they lie.
  Batches(Backend& backend, const Scaler& scaler, const Dataset& data, std::int64_t batch,
          bool shuffled)
      : backend_(backend),
        rows_(data.rows),
        batch_(batch),
        source_(backend, data, data.rows),
        view_(source_.load(data, 0, data.rows)),
        scaler_(backend, scaler, data),
        order_(shuffled ? Buffer<std::int32_t>(backend, data.rows) : Buffer<std::int32_t>()) {}

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  /// Rows of a step; the last step of an epoch may have fewer.
  [[nodiscard]] std::int64_t batch() const { return batch_; }
  [[nodiscard]] std::int64_t steps() const { return (rows_ + batch_ - 1) / batch_; }
  [[nodiscard]] std::int64_t rows_of(std::int64_t step) const {
    return std::min(batch_, rows_ - step * batch_);
  }

  /// Starts an epoch, or the rest of one, at step `first`; `order` is empty where not shuffled.
  void begin(std::span<const std::int32_t> order, std::int64_t /*first*/) {
    if (!order.empty()) order_.upload(order);
  }
  /// out (rows_of(step) x D) = the scaled rows of that step. After begin(), steps come one after
  /// the other.
  void gather(std::int64_t step, Mat out) {
    const std::int64_t first = step * batch_;
    scaler_.gather(backend_, view_, order_.size() > 0 ? order_.data() + first : nullptr, first,
                   out);
  }

 private:
  Backend& backend_;
  std::int64_t rows_;
  std::int64_t batch_;
  FeatureBuffer source_;
  FeatureView view_;
  DeviceScaler scaler_;
  Buffer<std::int32_t> order_;
};

}  // namespace hourglass
