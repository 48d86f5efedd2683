// NumPy's .npy: 93 "NUMPY", a version, the length of a header, the header (a Python dictionary that
// gives element type, order and shape), then the elements. Versions 1 to 3, little-endian, C order.
#pragma once

#include <cstdint>
#include <string>

#include "host/data/array.hpp"

namespace hourglass {

/// The header of `file`, which is at its first byte and is then at the first element. Booleans are
/// read as uint8. Throws InputError that names the file, the place and what was expected; for
/// Fortran order, big-endian and other element types it says how to save the array so that it can
/// be read.
[[nodiscard]] ArrayHeader read_npy_header(InputFile& file);
/// The same errors, and those of read_array().
[[nodiscard]] Array read_npy(const std::string& path);

/// What a .npy file of float32 in C order begins with: version 1.0; the elements that follow lie at
/// a multiple of 64 bytes.
[[nodiscard]] std::string npy_header(std::int64_t rows, std::int64_t columns);

}  // namespace hourglass
