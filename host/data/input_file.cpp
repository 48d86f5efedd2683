#include "host/data/input_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr std::size_t buffer_bytes = 1 << 16;
constexpr std::uint64_t first_growth_bytes = 1 << 24;

std::uint64_t physical_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return UINT64_MAX;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
}

}  // namespace

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  if (path_.empty()) throw InputError("cannot read a file with an empty name");
  struct stat status {};
  if (stat(path_.c_str(), &status) != 0) {
    throw InputError(fmt::format("{}: cannot be opened: {}", path_, std::strerror(errno)));
  }
  if (S_ISDIR(status.st_mode)) {
    throw InputError(fmt::format("{}: is a directory, expected a file", path_));
  }
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) {
    throw InputError(fmt::format("{}: cannot be opened: {}", path_, std::strerror(errno)));
  }
  if (S_ISREG(status.st_mode)) file_size_ = static_cast<std::uint64_t>(status.st_size);
  try {
    buffer_.resize(buffer_bytes);
    refill();
    compressed_ = buffer_end_ >= 2 && buffer_[0] == 0x1f && buffer_[1] == 0x8b;
    // 15 bits of window, + 16: a gzip wrapper, with its CRC and length checked.
    if (compressed_ && inflateInit2(&stream_, 15 + 16) != Z_OK) {
      compressed_ = false;
      throw InputError(fmt::format("{}: no memory to decompress it", path_));
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

InputFile::~InputFile() {
  if (compressed_) inflateEnd(&stream_);
  if (descriptor_ >= 0) close(descriptor_);
}

std::optional<std::uint64_t> InputFile::size() const {
  return compressed_ ? std::nullopt : file_size_;
}

int InputFile::take_descriptor() {
  buffer_begin_ = buffer_end_ = 0;
  return std::exchange(descriptor_, -1);
}

std::size_t InputFile::read_descriptor(void* out, std::size_t bytes) {
  auto* next = static_cast<std::uint8_t*>(out);
  std::size_t got = 0;
  while (got < bytes) {
    const ssize_t count = ::read(descriptor_, next + got, bytes - got);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw InputError(fmt::format("{}: cannot be read at byte {}: {}", path_, file_offset_ + got,
                                   std::strerror(errno)));
    }
    if (count == 0) break;
    got += static_cast<std::size_t>(count);
  }
  file_offset_ += got;
  return got;
}

bool InputFile::refill() {
  buffer_begin_ = 0;
  buffer_end_ = read_descriptor(buffer_.data(), buffer_.size());
  return buffer_end_ > 0;
}

std::size_t InputFile::read_raw(void* out, std::size_t bytes) {
  const std::size_t held = std::min(bytes, buffer_end_ - buffer_begin_);
  if (held > 0) std::memcpy(out, buffer_.data() + buffer_begin_, held);
  buffer_begin_ += held;
  return held + read_descriptor(static_cast<std::uint8_t*>(out) + held, bytes - held);
}

void InputFile::fail_corrupt(const char* reason) {
  throw InputError(fmt::format("{}: the gzip stream is {} near byte {} of the file", path_, reason,
                               file_offset_ - (buffer_end_ - buffer_begin_)));
}

std::size_t InputFile::read_compressed(void* out, std::size_t bytes) {
  auto* next = static_cast<std::uint8_t*>(out);
  std::size_t got = 0;
  while (got < bytes) {
    if (buffer_begin_ == buffer_end_ && !refill()) {
      if (stream_ended_) return got;
      fail_corrupt("cut off");
    }
    if (stream_ended_) {  // more bytes after a member: only another member may follow
      if (inflateReset(&stream_) != Z_OK) fail_corrupt("corrupt");
      stream_ended_ = false;
    }
    constexpr std::size_t most = 1U << 30;
    stream_.next_in = buffer_.data() + buffer_begin_;
    stream_.avail_in = static_cast<uInt>(buffer_end_ - buffer_begin_);
    stream_.next_out = next + got;
    stream_.avail_out = static_cast<uInt>(std::min(bytes - got, most));
    const std::size_t room = stream_.avail_out;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    buffer_begin_ = buffer_end_ - stream_.avail_in;
    got += room - stream_.avail_out;
    if (result == Z_STREAM_END) {
      stream_ended_ = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      fail_corrupt(stream_.total_out == 0 && offset_ + got > 0 ? "followed by something else"
                                                               : "corrupt");
    }
  }
  return got;
}

std::size_t InputFile::read(void* out, std::size_t bytes) {
  const std::size_t got = compressed_ ? read_compressed(out, bytes) : read_raw(out, bytes);
  offset_ += got;
  return got;
}

void InputFile::read_header(void* out, std::size_t bytes, const char* what) {
  const std::size_t got = read(out, bytes);
  if (got == bytes) return;
  if (offset_ == 0) throw InputError(fmt::format("{}: is empty, expected {}", path_, what));
  throw InputError(fmt::format("{}: ends at byte {}, expected {} ({} bytes from byte {})", path_,
                               offset_, what, bytes, offset_ - got));
}

std::string InputFile::read_text() {
  const std::optional<std::uint64_t> whole = size();
  std::string text;
  while (true) {
    const std::size_t have = text.size();
    const auto step = static_cast<std::size_t>(
        whole && *whole > offset_ ? *whole - offset_ + 1
                                  : std::max<std::uint64_t>(first_growth_bytes, have / 2));
    check_available(have + step, 1);
    text.resize(have + step);
    const std::size_t got = read(text.data() + have, step);
    text.resize(have + got);
    if (got < step) return text;
  }
}

void InputFile::expect_end(std::uint64_t expected) {
  std::uint8_t extra = 0;
  if (read(&extra, 1) == 0) return;
  throw InputError(fmt::format("{}: goes on at byte {}, expected it to end after {} bytes", path_,
                               offset_ - 1, expected));
}

void InputFile::check_available(std::uint64_t count, std::size_t element_bytes) const {
  static const std::uint64_t memory = physical_memory();
  if (count > memory / element_bytes) {
    throw InputError(
        fmt::format("{}: {} elements of {} bytes do not fit in the {} MB of this machine", path_,
                    count, element_bytes, memory >> 20));
  }
}

std::uint64_t InputFile::next_size(std::uint64_t have, std::uint64_t count,
                                   std::size_t element_bytes) const {
  const std::uint64_t left = count - have;
  if (const auto whole = size(); whole) {
    if (*whole < offset_ || (*whole - offset_) / element_bytes < left) {
      fail_cut(count * element_bytes, *whole - std::min(*whole, offset_));
    }
    return count;
  }
  return have + std::min(left, std::max(first_growth_bytes / element_bytes, have));
}

void InputFile::fail_cut(std::uint64_t wanted, std::uint64_t got) const {
  throw InputError(
      fmt::format("{}: ends {} bytes into its data, expected {} bytes of it", path_, got, wanted));
}

std::string data_extension(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).filename();
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  if (lower(name.extension().string()) == ".gz") name = name.stem();
  return lower(name.extension().string());
}

}  // namespace hourglass
