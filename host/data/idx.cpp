#include "host/data/idx.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr int most_dimensions = 8;

ElementType element_type(const std::string& path, std::uint8_t code) {
  switch (code) {
    case 0x08:
      return ElementType::u8;
    case 0x09:
      return ElementType::i8;
    case 0x0B:
      return ElementType::i16;
    case 0x0C:
      return ElementType::i32;
    case 0x0D:
      return ElementType::f32;
    case 0x0E:
      return ElementType::f64;
    default:
      throw InputError(fmt::format(
          "{}: byte 2 is {:02x}, expected an IDX type: 08 (uint8), 09, 0b, 0c, 0d (float32) or 0e",
          path, code));
  }
}

}  // namespace

ArrayHeader read_idx_header(InputFile& file) {
  std::array<std::uint8_t, 4> magic{};
  file.read_header(magic.data(), magic.size(), "the IDX magic number");
  if (magic[0] != 0 || magic[1] != 0) {
    throw InputError(
        fmt::format("{}: begins with {:02x} {:02x}, expected an IDX file (00 00, a type, the "
                    "number of dimensions), "
                    "or a name that ends in .npy, .csv or .tsv",
                    file.path(), magic[0], magic[1]));
  }
  const ElementType type = element_type(file.path(), magic[2]);
  const int dimensions = magic[3];
  if (dimensions < 1 || dimensions > most_dimensions) {
    throw InputError(fmt::format("{}: byte 3 is {}, expected the number of dimensions, 1 to {}",
                                 file.path(), dimensions, most_dimensions));
  }
  std::vector<std::int64_t> shape;
  for (int i = 0; i < dimensions; ++i) {
    std::array<std::uint8_t, 4> size{};
    file.read_header(size.data(), size.size(), "the size of an IDX dimension");
    shape.push_back(static_cast<std::int64_t>(size[0]) << 24 |
                    static_cast<std::int64_t>(size[1]) << 16 |
                    static_cast<std::int64_t>(size[2]) << 8 | static_cast<std::int64_t>(size[3]));
  }
  return {std::move(shape), type, ByteOrder::big};
}

Array read_idx(const std::string& path) {
  InputFile file(path);
  ArrayHeader header = read_idx_header(file);
  return read_array(file, std::move(header));
}

}  // namespace hourglass
