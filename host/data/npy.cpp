#include "host/data/npy.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
// NumPy itself refuses headers beyond 10,000 bytes; structured types, which are refused here, make
// the long ones.
constexpr std::uint32_t longest_header = 1 << 16;

struct Header {
  std::optional<ElementType> type;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

// The header is a literal of Python: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
 public:
  HeaderParser(const std::string& path, std::string_view text, std::uint64_t offset)
      : path_(path), text_(text), offset_(offset) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::size_t key_at = next_;
      const std::string_view key = string();
      expect(':');
      if (key == "descr" && !header.type) {
        header.type = element_type();
      } else if (key == "fortran_order" && !header.fortran_order) {
        header.fortran_order = boolean();
      } else if (key == "shape" && !header.shape) {
        header.shape = tuple();
      } else {
        fail(key_at, "one each of 'descr', 'fortran_order' and 'shape'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (next_ != text_.size()) fail(next_, "the end of the header");
    if (!header.type) fail(next_, "a 'descr' in the header");
    if (!header.fortran_order) fail(next_, "a 'fortran_order' in the header");
    if (!header.shape) fail(next_, "a 'shape' in the header");
    return header;
  }

 private:
  [[noreturn]] void fail(std::size_t at, std::string_view expected) const {
    throw InputError(
        fmt::format("{}: bad .npy header at byte {}: expected {}", path_, offset_ + at, expected));
  }

  void skip_space() {
    while (next_ < text_.size() && std::strchr(" \t\r\n", text_[next_]) && text_[next_] != '\0') {
      ++next_;
    }
  }

  bool accept(char c) {
    skip_space();
    if (next_ == text_.size() || text_[next_] != c) return false;
    ++next_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(next_, fmt::format("'{}'", c));
  }

  std::string_view string() {
    skip_space();
    const std::size_t begin = next_;
    if (begin == text_.size() || (text_[begin] != '\'' && text_[begin] != '"')) {
      fail(begin, "a quoted string");
    }
    const std::size_t end = text_.find(text_[begin], begin + 1);
    if (end == std::string_view::npos) fail(begin, "a closing quote");
    next_ = end + 1;
    return text_.substr(begin + 1, end - begin - 1);
  }

  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"False", false},
                                      std::pair<std::string_view, bool>{"True", true}}) {
      if (text_.substr(next_).starts_with(word)) {
        next_ += word.size();
        return value;
      }
    }
    fail(next_, "True or False");
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t size = 0;
      const auto [end, error] =
          std::from_chars(text_.data() + next_, text_.data() + text_.size(), size);
      if (error != std::errc{} || size < 0)
        fail(next_, "a size, a whole number of at most 63 bits");
      next_ = static_cast<std::size_t>(end - text_.data());
      sizes.push_back(size);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  ElementType element_type() {
    skip_space();
    if (next_ < text_.size() && text_[next_] == '[') {
      throw InputError(fmt::format(
          "{}: holds records of several fields, expected numbers: save one field, as float32",
          path_));
    }
    const std::string_view descr = string();
    if (descr.size() > 2 && descr[0] == '>') {
      throw InputError(
          fmt::format("{}: holds big-endian elements ('{}'), expected little-endian ones: save "
                      "array.astype('<{}')",
                      path_, descr, descr.substr(1)));
    }
    static constexpr std::array<std::pair<std::string_view, ElementType>, 13> types{
        {{"|u1", ElementType::u8},
         {"<u1", ElementType::u8},
         {"|b1", ElementType::u8},
         {"|i1", ElementType::i8},
         {"<i1", ElementType::i8},
         {"<u2", ElementType::u16},
         {"<i2", ElementType::i16},
         {"<u4", ElementType::u32},
         {"<i4", ElementType::i32},
         {"<u8", ElementType::u64},
         {"<i8", ElementType::i64},
         {"<f4", ElementType::f32},
         {"<f8", ElementType::f64}}};
    for (const auto& [name, type] : types) {
      if (descr == name) return type;
    }
    throw InputError(fmt::format(
        "{}: holds elements of the type '{}', expected float32, float64 or integers: save "
        "array.astype('float32')",
        path_, descr));
  }

  const std::string& path_;
  std::string_view text_;
  std::uint64_t offset_;
  std::size_t next_ = 0;
};

}  // namespace

ArrayHeader read_npy_header(InputFile& file) {
  const std::string& path = file.path();
  std::array<char, 8> start{};
  file.read_header(start.data(), start.size(), "the .npy magic number and version");
  if (std::string_view(start.data(), magic.size()) != magic) {
    throw InputError(
        fmt::format("{}: does not begin with 93 \"NUMPY\", expected a .npy file", path));
  }
  const int major = static_cast<unsigned char>(start[6]);
  if (major < 1 || major > 3) {
    throw InputError(fmt::format("{}: is of .npy version {}, expected 1, 2 or 3", path, major));
  }
  std::array<std::uint8_t, 4> length_bytes{};
  file.read_header(length_bytes.data(), major == 1 ? 2 : 4, "the length of the .npy header");
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    length |= static_cast<std::uint32_t>(length_bytes[i]) << (8 * i);
  }
  if (length > longest_header) {
    throw InputError(
        fmt::format("{}: its header is {} bytes long by bytes 8 on, expected at most {}", path,
                    length, longest_header));
  }
  const std::uint64_t header_at = file.offset();
  std::string text(length, '\0');
  file.read_header(text.data(), text.size(), "the .npy header");
  Header header = HeaderParser(path, text, header_at).parse();
  if (header.shape->empty()) {
    throw InputError(fmt::format("{}: holds a single number, expected an array", path));
  }
  if (*header.fortran_order && header.shape->size() > 1) {
    throw InputError(fmt::format(
        "{}: is in Fortran order, expected C order: save numpy.ascontiguousarray(array)", path));
  }
  return {std::move(*header.shape), *header.type, ByteOrder::little};
}

Array read_npy(const std::string& path) {
  InputFile file(path);
  ArrayHeader header = read_npy_header(file);
  return read_array(file, std::move(header));
}

std::string npy_header(std::int64_t rows, std::int64_t columns) {
  std::string dictionary =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
  constexpr std::size_t prefix = 10;  // magic, version, length
  const std::size_t total = (prefix + dictionary.size() + 1 + 63) / 64 * 64;
  dictionary.resize(total - prefix - 1, ' ');
  dictionary += '\n';

  std::string header(magic);
  header += {1, 0, static_cast<char>(dictionary.size() & 0xff),
             static_cast<char>(dictionary.size() >> 8)};
  return header + dictionary;
}

}  // namespace hourglass
