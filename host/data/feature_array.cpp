#include "host/data/feature_array.hpp"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "host/data/idx.hpp"
#include "host/data/npy.hpp"
#include "hourglass/error.hpp"

namespace hourglass {

FileFormat format_of(const std::string& path) {
  const std::string extension = data_extension(path);
  if (extension == ".npy") return FileFormat::npy;
  if (extension == ".csv" || extension == ".tsv") return FileFormat::csv;
  return FileFormat::idx;
}

ArrayHeader read_array_header(InputFile& file) {
  return format_of(file.path()) == FileFormat::npy ? read_npy_header(file) : read_idx_header(file);
}

FeatureShape feature_shape(const std::string& name, const std::vector<std::int64_t>& shape,
                           ElementType type) {
  if (shape.size() < 2) {
    throw InputError(fmt::format(
        "{}: has one dimension of {} elements, expected rows of features: two dimensions or more",
        name, shape[0]));
  }
  if (type != ElementType::u8 && type != ElementType::f32 && type != ElementType::f64) {
    throw InputError(fmt::format(
        "{}: holds {} elements, expected uint8, float32 or float64: save them as one of these",
        name, name_of(type)));
  }
  FeatureShape features;
  features.rows = shape[0];
  features.columns =
      std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>());
  if (shape.size() >= 3 && shape[1] * shape[2] == features.columns) {
    features.image_height = shape[1];
    features.image_width = shape[2];
  }
  return features;
}

void narrow(const std::string& name, std::span<const double> values, std::int64_t first,
            std::int64_t columns, float* out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i] = static_cast<float>(values[i]);
    if (std::isfinite(values[i]) && !std::isfinite(out[i])) {
      const std::int64_t at = first + static_cast<std::int64_t>(i);
      throw InputError(fmt::format(
          "{}: row {}, column {} (counted from 0) is {}, expected values within float32's range",
          name, at / columns, at % columns, values[i]));
    }
  }
}

}  // namespace hourglass
