// IDX, the format of the MNIST files: 00 00, a type byte, the number of dimensions, the sizes as
// big-endian 32-bit numbers, then the elements, big-endian, row-major.
#pragma once

#include <string>

#include "host/data/array.hpp"

namespace hourglass {

/// The header of `file`, which is at its first byte and is then at the first element: types 08
/// (uint8), 09 (int8), 0B (int16), 0C (int32), 0D (float32), 0E (float64); 1 to 8 dimensions.
/// Throws InputError that names the file, the byte and what was expected.
[[nodiscard]] ArrayHeader read_idx_header(InputFile& file);
/// Raw or gzip-compressed. The file must hold exactly the elements that its sizes promise. The same
/// errors, and those of read_array().
[[nodiscard]] Array read_idx(const std::string& path);

}  // namespace hourglass
