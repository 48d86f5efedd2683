// A typed array as a file holds it, before it becomes rows of features or labels.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "host/data/input_file.hpp"

namespace hourglass {

using ArrayValues =
    std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                 std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                 std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<float>,
                 std::vector<double>>;

/// The alternatives of ArrayValues, in their order.
enum class ElementType { u8, i8, u16, i16, u32, i32, u64, i64, f32, f64 };

struct Array {
  std::vector<std::int64_t> shape;  ///< one or more dimensions, each at least 1
  ArrayValues values;               ///< row-major (C order), in the machine's byte order

  [[nodiscard]] ElementType type() const { return static_cast<ElementType>(values.index()); }
};

enum class ByteOrder { little, big };

/// What the header of a file says of the elements that follow it.
struct ArrayHeader {
  std::vector<std::int64_t> shape;  ///< one or more dimensions
  ElementType type = ElementType::u8;
  ByteOrder order = ByteOrder::little;
};

[[nodiscard]] const char* name_of(ElementType type);
[[nodiscard]] std::size_t bytes_of(ElementType type);

/// "60000 x 28 x 28"
[[nodiscard]] std::string shape_text(const std::vector<std::int64_t>& shape);

/// The number of elements of `shape`. Throws InputError, naming `path`, where a dimension is 0, or
/// the bytes of the elements overflow.
[[nodiscard]] std::uint64_t element_count(const std::string& path,
                                          const std::vector<std::int64_t>& shape, ElementType type);

/// Throws InputError where the size of `file`, whose header has just been read, is known and not
/// what the header promises, or element_count() does. Gives the size that the data must have.
std::uint64_t check_size(const InputFile& file, const ArrayHeader& header);

/// The rest of `file` as the elements that its header promises; throws InputError where the file
/// holds fewer or more.
[[nodiscard]] Array read_array(InputFile& file, ArrayHeader header);

/// In place: from one byte order to the other.
void swap_bytes(std::span<float> values);
void swap_bytes(std::span<double> values);

}  // namespace hourglass
