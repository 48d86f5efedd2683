#include "host/data/tar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "host/data/input_file.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

// A file is a header of 512 bytes and its content, padded to 512; fields are text, numbers octal
// (POSIX ustar).
constexpr std::size_t block_bytes = 512;
using Block = std::array<char, block_bytes>;

std::string_view text_field(const Block& header, std::size_t at, std::size_t length) {
  const std::string_view field(header.data() + at, length);
  return field.substr(0, field.find('\0'));
}

std::uint64_t octal_field(const InputFile& file, const Block& header, std::size_t at,
                          std::size_t length) {
  std::uint64_t value = 0;
  bool any = false;
  for (const char c : text_field(header, at, length)) {
    if (c == ' ') continue;
    if (c < '0' || c > '7') {
      throw InputError(fmt::format("{}: bad tar header before byte {}: byte {} is no octal number",
                                   file.path(), file.offset(), at));
    }
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
    any = true;
  }
  if (!any) {
    throw InputError(fmt::format("{}: bad tar header before byte {}: byte {} has no number",
                                 file.path(), file.offset(), at));
  }
  return value;
}

// The sum of all header bytes, those of the checksum itself counted as spaces.
std::uint64_t checksum(const Block& header) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block_bytes; ++i) {
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
  }
  return sum;
}

void skip(InputFile& file, std::uint64_t bytes) {
  std::array<char, 1 << 14> sink;
  while (bytes > 0) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, sink.size()));
    file.read_header(sink.data(), step, "the content of a tar archive");
    bytes -= step;
  }
}

}  // namespace

std::map<std::string, std::vector<std::uint8_t>> read_from_tar(const std::string& archive,
                                                               const std::set<std::string>& wanted,
                                                               std::uint64_t most_bytes) {
  InputFile file(archive);
  std::map<std::string, std::vector<std::uint8_t>> found;
  Block header;
  while (found.size() < wanted.size()) {
    file.read_header(header.data(), header.size(), "a tar header");
    if (std::all_of(header.begin(), header.end(), [](char c) { return c == '\0'; })) break;
    if (octal_field(file, header, 148, 8) != checksum(header)) {
      throw InputError(fmt::format("{}: the tar header before byte {} does not fit its checksum",
                                   archive, file.offset()));
    }
    std::string name(text_field(header, 0, 100));
    const std::string_view prefix = text_field(header, 345, 155);
    if (text_field(header, 257, 5) == "ustar" && !prefix.empty()) {
      name = fmt::format("{}/{}", prefix, name);
    }
    const std::uint64_t bytes = octal_field(file, header, 124, 12);
    const std::uint64_t padding = (block_bytes - bytes % block_bytes) % block_bytes;
    const bool regular = header[156] == '0' || header[156] == '\0';
    if (regular && wanted.contains(name)) {
      if (bytes > most_bytes) {
        throw InputError(fmt::format("{}: {} in it has {} bytes, expected at most {}", archive,
                                     name, bytes, most_bytes));
      }
      found[name] = file.read_elements<std::uint8_t>(bytes);
      skip(file, padding);
    } else {
      skip(file, bytes + padding);
    }
  }
  return found;
}

}  // namespace hourglass
