// NumPy's .npy: 93 "NUMPY", a version, the length of a header, the header (a Python dictionary that
// gives element type, order and shape), then the elements. Versions 1 to 3, little-endian, C order.
#pragma once

#include <string>

#include "host/data/array.hpp"
#include "hourglass/matrix.hpp"

namespace hourglass {

/// Booleans are read as uint8. Throws InputError that names the file, the place and what was
/// expected; for Fortran order, big-endian and other element types it says how to save the array so
/// that it can be read.
[[nodiscard]] Array read_npy(const std::string& path);

/// Version 1.0, float32, C order, 2-D; the elements begin at a multiple of 64 bytes. Written
/// atomically.
void write_npy(const std::string& path, const Matrix& matrix);

}  // namespace hourglass
