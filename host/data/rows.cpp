#include "hourglass/rows.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "host/data/array.hpp"
#include "host/data/datasets.hpp"
#include "host/data/feature_array.hpp"
#include "host/data/input_file.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

bool is_gzip(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  std::array<unsigned char, 2> start{};
  const bool read = pread(descriptor, start.data(), start.size(), 0) == 2;
  close(descriptor);
  return read && start[0] == 0x1f && start[1] == 0x8b;
}

bool is_regular(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

void check_rows(const std::string& name, std::int64_t rows, std::int64_t first,
                std::int64_t count) {
  if (first < 0 || count < 0 || first > rows || count > rows - first) {
    throw UsageError(fmt::format("{}: {} rows from row {} on do not exist, it has {}", name, count,
                                 first, rows));
  }
}

void check_index(const std::string& name, std::int64_t rows, std::span<const std::int32_t> index) {
  for (const std::int32_t row : index)
    check_rows(name, rows, row, 1);
}

/// The path of the file that holds the rows of `source`, a file or a named dataset.
std::string path_of(const std::string& source) {
  const auto part = parse_named_part(source);
  if (!part) return source;
  return fetch_dataset(part->dataset->name)[part->test ? 2 : 0].path;
}

}  // namespace

/// How one call reads.
struct RowFile::Reading {
  bool wait = true;        ///< for what is not in the system's cache
  bool can_refuse = true;  ///< false once the file system has said that it always waits
  std::vector<double> wide;
};

RowFile RowFile::open(const std::string& source) {
  RowFile rows;
  rows.name_ = source;
  rows.path_ = path_of(source);
  InputFile file(rows.path_);
  const char* instead = nullptr;
  if (format_of(rows.path_) == FileFormat::csv) {
    instead = "is text, whose rows cannot be read where they lie: save it as .npy";
  } else if (file.compressed()) {
    instead = "is gzip-compressed, so its rows cannot be read where they lie: decompress it";
  } else if (!file.seekable()) {
    instead = "is no regular file, so its rows cannot be read where they lie: save it as one";
  }
  if (instead != nullptr) throw InputError(fmt::format("{}: {}", source, instead));
  const ArrayHeader header = read_array_header(file);
  check_size(file, header);
  const FeatureShape shape = feature_shape(source, header.shape, header.type);
  rows.rows_ = shape.rows;
  rows.columns_ = shape.columns;
  rows.image_height_ = shape.image_height;
  rows.image_width_ = shape.image_width;
  rows.element_bytes_ = static_cast<std::int64_t>(bytes_of(header.type));
  rows.big_endian_ = header.order == ByteOrder::big;
  rows.data_offset_ = static_cast<std::int64_t>(file.offset());
  rows.descriptor_ = file.take_descriptor();
  return rows;
}

bool RowFile::can_open(const std::string& source) {
  if (parse_named_part(source)) return true;
  return format_of(source) != FileFormat::csv && is_regular(source) && !is_gzip(source);
}

RowFile::RowFile(RowFile&& other) noexcept {
  *this = std::move(other);
}

RowFile& RowFile::operator=(RowFile&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  data_offset_ = other.data_offset_;
  element_bytes_ = other.element_bytes_;
  big_endian_ = other.big_endian_;
  rows_ = other.rows_;
  columns_ = other.columns_;
  image_height_ = other.image_height_;
  image_width_ = other.image_width_;
  return *this;
}

RowFile::~RowFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void RowFile::fail_short(std::int64_t offset) const {
  const std::int64_t row = (offset - data_offset_) / (element_bytes_ * columns_);
  throw InputError(
      fmt::format("{}: ends at byte {}, within row {} (counted from 0), expected {} bytes as when "
                  "it was opened",
                  path_, offset, row, data_offset_ + rows_ * columns_ * element_bytes_));
}

/// False where it would have to wait and is not to.
bool RowFile::read_bytes(std::int64_t offset, std::size_t bytes, void* out,
                         Reading& reading) const {
  auto* next = static_cast<char*>(out);
  while (bytes > 0) {
    const iovec part{next, bytes};
    const ssize_t got = preadv2(descriptor_, &part, 1, offset, reading.wait ? 0 : RWF_NOWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 && !reading.wait) {
      if (got < 0 && errno != EAGAIN) reading.can_refuse = false;
      return false;
    }
    if (got < 0) {
      throw InputError(
          fmt::format("{}: cannot be read at byte {}: {}", path_, offset, std::strerror(errno)));
    }
    if (got == 0) fail_short(offset);
    next += got;
    offset += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

bool RowFile::read_values(std::int64_t first, std::int64_t count, void* out,
                          Reading& reading) const {
  constexpr std::size_t most_wide = 8192;
  const auto values = static_cast<std::size_t>(count);
  const std::int64_t offset = data_offset_ + first * element_bytes_;
  if (element_bytes_ != sizeof(double)) {
    if (!read_bytes(offset, values * static_cast<std::size_t>(element_bytes_), out, reading)) {
      return false;
    }
    if (big_endian_ && element_bytes_ > 1) swap_bytes({static_cast<float*>(out), values});
    return true;
  }
  reading.wide.resize(std::max(reading.wide.size(), std::min(values, most_wide)));
  for (std::size_t done = 0; done < values;) {
    const std::size_t part = std::min(values - done, reading.wide.size());
    const std::span<double> wide(reading.wide.data(), part);
    const auto at = static_cast<std::int64_t>(done);
    if (!read_bytes(offset + at * element_bytes_, wide.size_bytes(), wide.data(), reading)) {
      return false;
    }
    if (big_endian_) swap_bytes(wide);
    narrow(name_, wide, first + at, columns_, static_cast<float*>(out) + done);
    done += part;
  }
  return true;
}

void RowFile::read(std::int64_t first, std::int64_t count, void* out) const {
  check_rows(name_, rows_, first, count);
  Reading reading;
  read_values(first * columns_, count * columns_, out, reading);
}

void RowFile::gather(std::span<const std::int32_t> index, void* out) const {
  gather(0, rows_, index, out);
}

/// Rows `index` of the slice [first, first + rows).
void RowFile::gather(std::int64_t first, std::int64_t rows, std::span<const std::int32_t> index,
                     void* out) const {
  check_index(name_, rows, index);
  const std::int64_t out_bytes = columns_ * static_cast<std::int64_t>(is_bytes() ? 1 : 4);
  // Rows that follow one another in the file as they do in the index: one read.
  struct Run {
    std::int64_t row;
    std::int64_t count;
    char* out;
  };
  std::vector<Run> late;
  Reading reading;
  reading.wait = false;
  for (std::size_t begin = 0; begin < index.size();) {
    std::size_t end = begin + 1;
    while (end < index.size() && index[end] == index[end - 1] + 1)
      ++end;
    const Run run{first + index[begin], static_cast<std::int64_t>(end - begin),
                  static_cast<char*>(out) + static_cast<std::int64_t>(begin) * out_bytes};
    begin = end;
    if (reading.can_refuse &&
        read_values(run.row * columns_, run.count * columns_, run.out, reading)) {
      continue;
    }
    // Not in memory: ask for it, and for all others of its kind, before waiting for any. The disk
    // then has many requests at a time; one after the other takes three times as long.
    const std::int64_t row_bytes = columns_ * element_bytes_;
    posix_fadvise(descriptor_, data_offset_ + run.row * row_bytes, run.count * row_bytes,
                  POSIX_FADV_WILLNEED);
    late.push_back(run);
  }
  reading.wait = true;
  for (const Run& run : late)
    read_values(run.row * columns_, run.count * columns_, run.out, reading);
}

RowSource::RowSource(const Dataset& data)
    : dataset_(&data), rows_(data.rows), columns_(data.columns), bytes_(data.is_bytes()) {}

RowSource::RowSource(const RowFile& file)
    : file_(&file), rows_(file.rows()), columns_(file.columns()), bytes_(file.is_bytes()) {}

RowSource RowSource::slice(std::int64_t first, std::int64_t count) const {
  check_rows(name(), rows_, first, count);
  RowSource part = *this;
  part.first_ += first;
  part.rows_ = count;
  return part;
}

const std::string& RowSource::name() const {
  return in_memory() ? dataset_->name : file_->name();
}

std::int64_t RowSource::image_height() const {
  return in_memory() ? dataset_->image_height : file_->image_height();
}

std::int64_t RowSource::image_width() const {
  return in_memory() ? dataset_->image_width : file_->image_width();
}

const void* RowSource::data() const {
  if (!in_memory()) return nullptr;
  return static_cast<const char*>(dataset_->data()) + first_ * row_bytes();
}

void RowSource::read(std::int64_t first, std::int64_t count, void* out) const {
  check_rows(name(), rows_, first, count);
  if (!in_memory()) {
    file_->read(first_ + first, count, out);
  } else if (count > 0) {
    std::memcpy(out, static_cast<const char*>(data()) + first * row_bytes(),
                static_cast<std::size_t>(count * row_bytes()));
  }
}

void RowSource::gather(std::span<const std::int32_t> index, void* out) const {
  if (!in_memory()) return file_->gather(first_, rows_, index, out);
  check_index(name(), rows_, index);
  const auto bytes = static_cast<std::size_t>(row_bytes());
  const auto* rows = static_cast<const char*>(data());
  auto* next = static_cast<char*>(out);
  for (const std::int32_t row : index) {
    std::memcpy(next, rows + row * row_bytes(), bytes);
    next += bytes;
  }
}

}  // namespace hourglass
