#include "hourglass/scaler.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <limits>

#include "host/train/features.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

constexpr float byte_factor = 1.0f / 255.0f;

void check_columns(const Scaler& scaler, const Dataset& data) {
  if (data.columns != scaler.columns()) {
    throw InputError(fmt::format("{}: {} columns; expected {}, as the scaler was fitted on",
                                 data.name, data.columns, scaler.columns()));
  }
}

/// Throws unless every float is finite and, where asked, in [0, 1].
void check_values(const Dataset& data, bool unit) {
  if (data.is_bytes()) return;
  const auto& values = std::get<std::vector<float>>(data.values);
  const float low = unit ? 0.0f : -FLT_MAX;
  const float high = unit ? 1.0f : FLT_MAX;
  for (std::int64_t i = 0; i < data.rows; ++i) {
    const float* row = values.data() + i * data.columns;
    bool good = true;
    for (std::int64_t j = 0; j < data.columns; ++j)
      good &= row[j] >= low && row[j] <= high;
    if (good) continue;
    for (std::int64_t j = 0; j < data.columns; ++j) {
      if (!std::isfinite(row[j])) {
        throw InputError(fmt::format("{}: row {}, column {} is {}; expected a finite number",
                                     data.name, i, j, row[j]));
      }
      if (!(row[j] >= low && row[j] <= high)) {
        throw InputError(fmt::format(
            "{}: row {}, column {} is {}; scaling 'unit' expects floats in [0, 1]: use 'standard' "
            "or 'none'",
            data.name, i, j, row[j]));
      }
    }
  }
}

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

Scaler Scaler::fit(Device& device, const Dataset& data, Scaling scaling) {
  if (data.rows < 1) throw InputError(fmt::format("{}: no rows to fit a scaler on", data.name));
  check_values(data, scaling == Scaling::unit);
  const auto columns = static_cast<std::size_t>(data.columns);
  Scaler scaler;
  scaler.scaling = scaling;
  scaler.offset.assign(columns, 0.0f);
  scaler.factor.assign(columns, scaling == Scaling::unit && data.is_bytes() ? byte_factor : 1.0f);
  if (scaling != Scaling::standard) return scaler;

  scaler_fit_memory(device.info(), data, scaling).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "fit scaler");
  FeatureBuffer features(backend, data, data.rows);
  Buffer<double> mean(backend, data.columns);
  Buffer<double> deviation(backend, data.columns);
  backend.column_statistics(features.load(data, 0, data.rows), mean.span(), deviation.span());
  const std::vector<double> means = mean.download();
  const std::vector<double> deviations = deviation.download();
  const auto rows = static_cast<double>(data.rows);
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  for (std::size_t j = 0; j < columns; ++j) {
    // A constant column may show a tiny deviation. Its bound is scikit-learn's: the rounding error
    // of the two-pass variance (Chan, Golub and LeVeque 1983), n eps var + (n mean eps)^2.
    const double variance = deviations[j] * deviations[j];
    const double rounding = rows * means[j] * epsilon;
    const bool constant = variance <= rows * epsilon * variance + rounding * rounding;
    scaler.offset[j] = static_cast<float>(means[j]);
    scaler.factor[j] = constant ? 1.0f : static_cast<float>(1.0 / deviations[j]);
    if (!std::isfinite(scaler.offset[j]) || !std::isfinite(scaler.factor[j])) {
      throw InputError(fmt::format(
          "{}: column {} has mean {} and deviation {}, beyond what float32 can be scaled with",
          data.name, j, means[j], deviations[j]));
    }
  }
  return scaler;
}

std::vector<float> Scaler::factor_for(const Dataset& data) const {
  if (scaling != Scaling::unit) return factor;
  return std::vector<float>(factor.size(), data.is_bytes() ? byte_factor : 1.0f);
}

void Scaler::check(const Dataset& data) const {
  check_columns(*this, data);
  check_values(data, scaling == Scaling::unit);
}

Matrix Scaler::transform(Device& device, const Dataset& data) const {
  check(data);
  scaler_transform_memory(device.info(), data).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "scale");
  const DeviceScaler scaler(backend, *this, data);
  const std::int64_t rows = block_rows(data.columns);
  Buffer<float> block(backend, std::min(rows, data.rows) * data.columns);
  Matrix scaled(data.rows, data.columns);
  for_blocks(backend, data, rows, [&](std::int64_t first, std::int64_t count, FeatureView source) {
    scaler.gather(backend, source, nullptr, 0, block.matrix(count, data.columns));
    backend.download(scaled.row(first).data(), block.data(),
                     static_cast<std::size_t>(count * data.columns) * sizeof(float));
  });
  return scaled;
}

Matrix Scaler::inverse_transform(const Matrix& scaled) const {
  if (scaled.columns != columns()) {
    throw InputError(fmt::format("{} columns; expected {}, as the scaler was fitted on",
                                 scaled.columns, columns()));
  }
  Matrix original(scaled.rows, scaled.columns);
  for (std::int64_t i = 0; i < scaled.rows; ++i) {
    for (std::size_t j = 0; j < factor.size(); ++j) {
      original.row(i)[j] = scaled.row(i)[j] / factor[j] + offset[j];
    }
  }
  return original;
}

ScaledRange scaled_range(const Scaler& scaler, const Dataset& data) {
  check_columns(scaler, data);
  const std::vector<float> factor = scaler.factor_for(data);
  const auto columns = static_cast<std::size_t>(data.columns);
  ScaledRange range;
  RangeCounts counts;
  if (data.rows == 0 || columns == 0) return range;
  if (data.is_bytes()) {
    // 256 values a column at most: count them, then scale each once.
    using Histogram = std::array<std::int64_t, 256>;
    std::vector<Histogram> histograms(columns, Histogram{});
    const std::uint8_t* value = std::get<0>(data.values).data();
    for (std::int64_t i = 0; i < data.rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j)
        ++histograms[j][*value++];
    }
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t v = 0; v < 256; ++v) {
        const std::int64_t count = histograms[j][v];
        if (count == 0) continue;
        counts.add((static_cast<float>(v) - scaler.offset[j]) * factor[j], count);
        if (count == data.rows) ++range.constant_columns;
      }
    }
  } else {
    const auto& values = std::get<1>(data.values);
    std::vector<bool> varies(columns, false);
    for (std::size_t i = 0; i < static_cast<std::size_t>(data.rows); ++i) {
      for (std::size_t j = 0; j < columns; ++j) {
        const float value = values[i * columns + j];
        counts.add((value - scaler.offset[j]) * factor[j], 1);
        if (value != values[j]) varies[j] = true;
      }
    }
    for (const bool column_varies : varies)
      range.constant_columns += column_varies ? 0 : 1;
  }
  const double all = static_cast<double>(data.rows) * static_cast<double>(data.columns);
  range.minimum = counts.minimum;
  range.maximum = counts.maximum;
  range.below_zero = static_cast<double>(counts.below_zero) / all;
  range.above_one = static_cast<double>(counts.above_one) / all;
  return range;
}

}  // namespace hourglass
