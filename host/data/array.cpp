#include "host/data/array.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the readers swap bytes for little-endian machines only");

template <class T>
void reverse_bytes(std::span<T> values) {
  for (T& value : values) {
    std::array<std::uint8_t, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &value, sizeof(T));
    std::reverse(bytes.begin(), bytes.end());
    std::memcpy(&value, bytes.data(), sizeof(T));
  }
}

template <class T>
ArrayValues read_values(InputFile& file, std::uint64_t count, ByteOrder order) {
  std::vector<T> values = file.read_elements<T>(count);
  if (order == ByteOrder::big && sizeof(T) > 1) reverse_bytes(std::span(values));
  return values;
}

struct ElementTraits {
  const char* name;
  std::size_t bytes;
  ArrayValues (*read)(InputFile&, std::uint64_t, ByteOrder);
};

// In the order of ElementType.
constexpr std::array<ElementTraits, 10> element_traits{{
    {"uint8", 1, read_values<std::uint8_t>},
    {"int8", 1, read_values<std::int8_t>},
    {"uint16", 2, read_values<std::uint16_t>},
    {"int16", 2, read_values<std::int16_t>},
    {"uint32", 4, read_values<std::uint32_t>},
    {"int32", 4, read_values<std::int32_t>},
    {"uint64", 8, read_values<std::uint64_t>},
    {"int64", 8, read_values<std::int64_t>},
    {"float32", 4, read_values<float>},
    {"float64", 8, read_values<double>},
}};

const ElementTraits& traits_of(ElementType type) {
  return element_traits[static_cast<std::size_t>(type)];
}

}  // namespace

const char* name_of(ElementType type) {
  return traits_of(type).name;
}

std::size_t bytes_of(ElementType type) {
  return traits_of(type).bytes;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape)
    text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

std::uint64_t element_count(const std::string& path, const std::vector<std::int64_t>& shape,
                            ElementType type) {
  std::uint64_t bytes = bytes_of(type);
  for (const std::int64_t size : shape) {
    if (size <= 0) {
      throw InputError(fmt::format("{}: its shape is {}, expected every size to be at least 1",
                                   path, shape_text(shape)));
    }
    // Signed sizes elsewhere (rows, columns, offsets): the whole must fit in 63 bits.
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes) ||
        bytes > static_cast<std::uint64_t>(INT64_MAX)) {
      throw InputError(fmt::format("{}: its shape is {}, more bytes of {} than 64 bits can count",
                                   path, shape_text(shape), name_of(type)));
    }
  }
  return bytes / bytes_of(type);
}

std::uint64_t check_size(const InputFile& file, const ArrayHeader& header) {
  const std::uint64_t count = element_count(file.path(), header.shape, header.type);
  const std::uint64_t expected = file.offset() + count * bytes_of(header.type);
  if (const auto size = file.size(); size && *size != expected) {
    throw InputError(fmt::format("{}: has {} bytes, expected {}: {} of header and {} of {}",
                                 file.path(), *size, expected, file.offset(),
                                 shape_text(header.shape), name_of(header.type)));
  }
  return expected;
}

Array read_array(InputFile& file, ArrayHeader header) {
  const std::uint64_t expected = check_size(file, header);
  const std::uint64_t count = (expected - file.offset()) / bytes_of(header.type);
  Array array;
  array.values = traits_of(header.type).read(file, count, header.order);
  array.shape = std::move(header.shape);
  file.expect_end(expected);
  return array;
}

void swap_bytes(std::span<float> values) {
  reverse_bytes(values);
}

void swap_bytes(std::span<double> values) {
  reverse_bytes(values);
}

}  // namespace hourglass
