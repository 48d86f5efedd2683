// Reading a data file from its first byte to its last, raw or gzip-compressed. Compression is told
// by the content (1f 8b), never by the name, so a renamed file still opens.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace hourglass {

class InputFile {
 public:
  /// Throws InputError where the file is missing, a directory, or not readable.
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Reads `bytes` bytes of data (uncompressed ones), fewer only where the data ends. Throws
  /// InputError on read errors and on a cut or corrupt gzip stream.
  std::size_t read(void* out, std::size_t bytes);

  /// As read(), but throws InputError where fewer bytes are left: "<what>" says what they are.
  void read_header(void* out, std::size_t bytes, const char* what);

  /// `count` elements as they lie in the file. A lying `count` costs no memory: it is checked
  /// against the size of the file, or, where that is unknown, the vector grows only as data
  /// arrives. Throws InputError where the data ends early or does not fit in the machine's memory.
  template <class T>
  std::vector<T> read_elements(std::uint64_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    check_available(count, sizeof(T));
    std::vector<T> values;
    std::uint64_t have = 0;
    while (have < count) {
      const std::uint64_t next = next_size(have, count, sizeof(T));
      values.resize(static_cast<std::size_t>(next));
      const auto wanted = static_cast<std::size_t>(next - have) * sizeof(T);
      const std::size_t got = read(values.data() + have, wanted);
      if (got < wanted) fail_cut(count * sizeof(T), have * sizeof(T) + got);
      have = next;
    }
    return values;
  }

  /// The rest of the data as text.
  std::string read_text();

  /// Throws InputError where data is left: `expected` bytes should have been all.
  void expect_end(std::uint64_t expected);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool compressed() const { return compressed_; }
  /// Where the next byte lies in the (uncompressed) data.
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  /// The size of the data, where it is known beforehand: raw regular files.
  [[nodiscard]] std::optional<std::uint64_t> size() const;
  /// Where the data lies in the file as it is read, byte for byte, and its size is known: a raw
  /// regular file.
  [[nodiscard]] bool seekable() const { return !compressed_ && file_size_.has_value(); }
  /// The open file, which the caller is to close from now on. Nothing can be read here any more.
  [[nodiscard]] int take_descriptor();

 private:
  bool refill();
  std::size_t read_raw(void* out, std::size_t bytes);
  std::size_t read_compressed(void* out, std::size_t bytes);
  std::size_t read_descriptor(void* out, std::size_t bytes);
  [[noreturn]] void fail_corrupt(const char* reason);
  void check_available(std::uint64_t count, std::size_t element_bytes) const;
  [[nodiscard]] std::uint64_t next_size(std::uint64_t have, std::uint64_t count,
                                        std::size_t element_bytes) const;
  [[noreturn]] void fail_cut(std::uint64_t wanted, std::uint64_t got) const;

  std::string path_;
  int descriptor_ = -1;
  bool compressed_ = false;
  bool stream_ended_ = false;  // between the members of a gzip file
  std::optional<std::uint64_t> file_size_;
  std::uint64_t offset_ = 0;          // of the data
  std::uint64_t file_offset_ = 0;     // of the file
  std::vector<std::uint8_t> buffer_;  // bytes of the file
  std::size_t buffer_begin_ = 0;
  std::size_t buffer_end_ = 0;
  z_stream stream_{};
};

/// The extension of `path` in lower case with its dot, a final ".gz" left out: "a/Map.CSV.gz" gives
/// ".csv".
[[nodiscard]] std::string data_extension(const std::string& path);

}  // namespace hourglass
