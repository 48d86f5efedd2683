#include "hourglass/scaler.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "host/train/features.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "kernels/buffer.hpp"
#include "kernels/checks.hpp"

namespace hourglass {
namespace {

constexpr float byte_factor = 1.0f / 255.0f;

void check_columns(const Scaler& scaler, const RowSource& rows) {
  if (rows.columns() != scaler.columns()) {
    throw InputError(fmt::format("{}: {} columns; expected {}, as the scaler was fitted on",
                                 rows.name(), rows.columns(), scaler.columns()));
  }
}

void check_all(const RowSource& rows, ValueCheck check) {
  if (rows.is_bytes()) return;
  for_host_blocks(rows, [&](std::int64_t first, std::int64_t count, const void* values) {
    check_rows(rows, first, count, values, check);
  });
}

/// Mean and sum of squared differences from it of the rows so far, a column each, from the mean and
/// the deviation of one block after the other (Chan, Golub and LeVeque 1983).
class Moments {
 public:
  explicit Moments(std::size_t columns) : mean_(columns, 0.0), scatter_(columns, 0.0) {}

  void add(std::int64_t rows, const std::vector<double>& mean,
           const std::vector<double>& deviation) {
    const auto added = static_cast<double>(rows);
    const double before = rows_;
    rows_ += added;
    for (std::size_t j = 0; j < mean_.size(); ++j) {
      const double difference = mean[j] - mean_[j];
      mean_[j] += difference * (added / rows_);
      scatter_[j] +=
          deviation[j] * deviation[j] * added + difference * difference * (before * added / rows_);
    }
  }

  [[nodiscard]] double mean(std::size_t column) const { return mean_[column]; }
  [[nodiscard]] double variance(std::size_t column) const { return scatter_[column] / rows_; }

 private:
  double rows_ = 0.0;
  std::vector<double> mean_;
  std::vector<double> scatter_;
};

/// Accumulates what ScaledRange tells.
struct RangeCounts {
  double minimum = std::numeric_limits<double>::infinity();
  double maximum = -std::numeric_limits<double>::infinity();
  std::int64_t below_zero = 0;
  std::int64_t above_one = 0;

  void add(float value, std::int64_t count) {
    minimum = std::fmin(minimum, value);
    maximum = std::fmax(maximum, value);
    if (value < 0.0f) below_zero += count;
    if (value > 1.0f) above_one += count;
  }
};

}  // namespace

Scaling parse_scaling(std::string_view name) {
  if (name == "none") return Scaling::none;
  if (name == "unit") return Scaling::unit;
  if (name == "standard") return Scaling::standard;
  throw UsageError(fmt::format("scaling '{}': expected none, unit or standard", name));
}

std::string_view name_of(Scaling scaling) {
  switch (scaling) {
    case Scaling::none:
      return "none";
    case Scaling::unit:
      return "unit";
    case Scaling::standard:
      break;
  }
  return "standard";
}

Scaler Scaler::fit(Device& device, const RowSource& rows, Scaling scaling) {
  if (rows.rows() < 1) {
    throw InputError(fmt::format("{}: no rows to fit a scaler on", rows.name()));
  }
  const auto columns = static_cast<std::size_t>(rows.columns());
  Scaler scaler;
  scaler.scaling = scaling;
  scaler.offset.assign(columns, 0.0f);
  scaler.factor.assign(columns, scaling == Scaling::unit && rows.is_bytes() ? byte_factor : 1.0f);
  if (scaling != Scaling::standard) {
    check_all(rows, value_check(scaling));
    return scaler;
  }

  scaler_fit_memory(device.info(), rows, scaling).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "fit scaler");
  Buffer<double> mean(backend, rows.columns());
  Buffer<double> deviation(backend, rows.columns());
  Moments moments(columns);
  for_blocks(backend, rows, statistics_rows(rows.columns()), value_check(scaling),
             [&](std::int64_t, std::int64_t count, FeatureView block) {
               backend.column_statistics(block, mean.span(), deviation.span());
               moments.add(count, mean.download(), deviation.download());
             });
  const auto count = static_cast<double>(rows.rows());
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  for (std::size_t j = 0; j < columns; ++j) {
    // A constant column may show a tiny deviation. Its bound is scikit-learn's: the rounding error
    // of the two-pass variance (Chan, Golub and LeVeque 1983), n eps var + (n mean eps)^2.
    const double variance = moments.variance(j);
    const double rounding = count * moments.mean(j) * epsilon;
    const bool constant = variance <= count * epsilon * variance + rounding * rounding;
    const double standard_deviation = std::sqrt(variance);
    scaler.offset[j] = static_cast<float>(moments.mean(j));
    scaler.factor[j] = constant ? 1.0f : static_cast<float>(1.0 / standard_deviation);
    if (!std::isfinite(scaler.offset[j]) || !std::isfinite(scaler.factor[j])) {
      throw InputError(fmt::format(
          "{}: column {} has mean {} and deviation {}, beyond what float32 can be scaled with",
          rows.name(), j, moments.mean(j), standard_deviation));
    }
  }
  return scaler;
}

std::vector<float> Scaler::factor_for(const RowSource& rows) const {
  if (scaling != Scaling::unit) return factor;
  return std::vector<float>(factor.size(), rows.is_bytes() ? byte_factor : 1.0f);
}

void Scaler::check(const RowSource& rows) const {
  check_columns(*this, rows);
  check_all(rows, value_check(scaling));
}

Matrix Scaler::transform(Device& device, const RowSource& rows) const {
  check_columns(*this, rows);
  scaler_transform_memory(device.info(), rows).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "scale");
  const DeviceScaler scaler(backend, *this, rows);
  const std::int64_t block = block_rows(rows.columns());
  Buffer<float> scaled_block(backend, std::min(block, rows.rows()) * rows.columns());
  Matrix scaled(rows.rows(), rows.columns());
  for_blocks(backend, rows, block, value_check(scaling),
             [&](std::int64_t first, std::int64_t count, FeatureView source) {
               scaler.gather(backend, source, nullptr, 0,
                             scaled_block.matrix(count, rows.columns()));
               backend.download(scaled.row(first).data(), scaled_block.data(),
                                static_cast<std::size_t>(count * rows.columns()) * sizeof(float));
             });
  return scaled;
}

Matrix Scaler::inverse_transform(const Matrix& scaled) const {
  if (scaled.columns != columns()) {
    throw InputError(fmt::format("{} columns; expected {}, as the scaler was fitted on",
                                 scaled.columns, columns()));
  }
  Matrix original = scaled;
  inverse_transform(original.values);
  return original;
}

void Scaler::inverse_transform(std::span<float> rows) const {
  const std::size_t width = factor.size();
  require(width > 0 && rows.size() % width == 0, "Scaler::inverse_transform", "whole rows");
  for (; !rows.empty(); rows = rows.subspan(width)) {
    for (std::size_t j = 0; j < width; ++j)
      rows[j] = rows[j] / factor[j] + offset[j];
  }
}

ScaledRange scaled_range(const Scaler& scaler, const RowSource& rows) {
  check_columns(scaler, rows);
  const std::vector<float> factor = scaler.factor_for(rows);
  const auto columns = static_cast<std::size_t>(rows.columns());
  ScaledRange range;
  RangeCounts counts;
  if (rows.rows() == 0 || columns == 0) return range;
  if (rows.is_bytes()) {
    // 256 values a column at most: count them, then scale each once.
    using Histogram = std::array<std::int64_t, 256>;
    std::vector<Histogram> histograms(columns, Histogram{});
    for_host_blocks(rows, [&](std::int64_t, std::int64_t count, const void* values) {
      const auto* value = static_cast<const std::uint8_t*>(values);
      for (std::int64_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < columns; ++j)
          ++histograms[j][*value++];
      }
    });
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t v = 0; v < 256; ++v) {
        const std::int64_t count = histograms[j][v];
        if (count == 0) continue;
        counts.add((static_cast<float>(v) - scaler.offset[j]) * factor[j], count);
        if (count == rows.rows()) ++range.constant_columns;
      }
    }
  } else {
    std::vector<float> first_values(columns);
    rows.read(0, 1, first_values.data());
    std::vector<bool> varies(columns, false);
    for_host_blocks(rows, [&](std::int64_t, std::int64_t count, const void* values) {
      const auto* next = static_cast<const float*>(values);
      for (std::int64_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < columns; ++j) {
          const float value = *next++;
          counts.add((value - scaler.offset[j]) * factor[j], 1);
          if (value != first_values[j]) varies[j] = true;
        }
      }
    });
    for (const bool column_varies : varies)
      range.constant_columns += column_varies ? 0 : 1;
  }
  const double all = static_cast<double>(rows.rows()) * static_cast<double>(rows.columns());
  range.minimum = counts.minimum;
  range.maximum = counts.maximum;
  range.below_zero = static_cast<double>(counts.below_zero) / all;
  range.above_one = static_cast<double>(counts.above_one) / all;
  return range;
}

}  // namespace hourglass
