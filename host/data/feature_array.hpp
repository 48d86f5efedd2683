// Which arrays are rows of features, the same for a dataset in memory and for rows that are read
// where they lie in a file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/data/array.hpp"

namespace hourglass {

enum class FileFormat { idx, npy, csv };
/// By the name; csv stands for .tsv too, and idx for every name that is no other's.
[[nodiscard]] FileFormat format_of(const std::string& path);

/// The header of an IDX or .npy file, told apart by the name.
[[nodiscard]] ArrayHeader read_array_header(InputFile& file);

struct FeatureShape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t image_height = 0;  ///< 0 where a row is not one image
  std::int64_t image_width = 0;
};

/// Throws InputError that names the data where the array has one dimension, or elements other than
/// uint8, float32 and float64.
[[nodiscard]] FeatureShape feature_shape(const std::string& name,
                                         const std::vector<std::int64_t>& shape, ElementType type);

/// float64 to float32. Throws InputError for a finite value beyond float32's range, which is
/// another mistake than an infinite one. `first` is the number of values[0] within the data, whose
/// rows have `columns` values.
void narrow(const std::string& name, std::span<const double> values, std::int64_t first,
            std::int64_t columns, float* out);

}  // namespace hourglass
