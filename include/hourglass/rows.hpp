// Rows of features wherever they lie: in memory, or in a file that is larger than it. What takes a
// RowSource takes a Dataset as well as a RowFile, and gives the same bits for the same values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "hourglass/dataset.hpp"

namespace hourglass {

/// The rows of a .npy file (uint8, float32 or float64; C order, two dimensions or more), an
/// uncompressed IDX file of these types, or a named dataset ("mnist:train"), opened to be read
/// where they lie. The file is never held in memory; the system's cache of it is.
///
/// Only the header is looked at when the file is opened: whether the values are finite is found by
/// the work that reads them (Scaler::check()). A file must not be changed while it is open; one
/// that becomes shorter meanwhile is an InputError of the next read beyond its end.
class RowFile {
 public:
  /// Throws what load_dataset() throws for the same header or a size that does not fit it, and
  /// InputError that says what to do for a file that cannot be read in place: text, gzip, a pipe.
  static RowFile open(const std::string& source);
  /// Whether open() can read a file of this kind: not text, not compressed, no pipe. The header is
  /// not looked at, so open() may still throw; false where there is no file at all.
  static bool can_open(const std::string& source);

  RowFile(RowFile&& other) noexcept;
  RowFile& operator=(RowFile&& other) noexcept;
  RowFile(const RowFile&) = delete;
  RowFile& operator=(const RowFile&) = delete;
  ~RowFile();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }            ///< features a row
  [[nodiscard]] std::int64_t image_height() const { return image_height_; }  ///< 0: no images
  [[nodiscard]] std::int64_t image_width() const { return image_width_; }
  /// Values are read as bytes where true, else as float32, of which float64 is rounded.
  [[nodiscard]] bool is_bytes() const { return element_bytes_ == 1; }
  /// Of a value in the file: 1, 4 or 8.
  [[nodiscard]] std::int64_t element_bytes() const { return element_bytes_; }

  /// Rows [first, first + count) into `out`, row after row. May be called from several threads at a
  /// time, as gather() may. Throws UsageError outside the rows; InputError with the place where the
  /// file has become shorter or cannot be read, or a float64 lies beyond float32's range.
  void read(std::int64_t first, std::int64_t count, void* out) const;
  /// The rows that `index` names, in its order. What is not in the system's cache is asked for all
  /// at once before the first of it is waited for.
  void gather(std::span<const std::int32_t> index, void* out) const;

 private:
  friend class RowSource;
  struct Reading;

  RowFile() = default;
  void gather(std::int64_t first, std::int64_t rows, std::span<const std::int32_t> index,
              void* out) const;
  bool read_values(std::int64_t first, std::int64_t count, void* out, Reading& reading) const;
  bool read_bytes(std::int64_t offset, std::size_t bytes, void* out, Reading& reading) const;
  [[noreturn]] void fail_short(std::int64_t offset) const;

  std::string name_;
  std::string path_;
  int descriptor_ = -1;
  std::int64_t data_offset_ = 0;  // of the first value in the file
  std::int64_t element_bytes_ = 1;
  bool big_endian_ = false;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::int64_t image_height_ = 0;
  std::int64_t image_width_ = 0;
};

/// Rows of a Dataset or of a RowFile, which must outlive it and stay where it is: a few words that
/// are copied freely, made where a function takes rows. Labels are left behind.
class RowSource {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a dataset is a source of rows
  RowSource(const Dataset& data);
  // NOLINTNEXTLINE(google-explicit-constructor): so is a file
  RowSource(const RowFile& file);

  /// Rows [first, first + count) of these. Throws UsageError outside them.
  [[nodiscard]] RowSource slice(std::int64_t first, std::int64_t count) const;

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }  ///< features a row
  [[nodiscard]] bool is_bytes() const { return bytes_; }           ///< uint8, else float32
  [[nodiscard]] std::int64_t image_height() const;                 ///< 0 where rows are no images
  [[nodiscard]] std::int64_t image_width() const;
  /// The number that row 0 has in the whole of which this is a slice; messages name rows by it.
  [[nodiscard]] std::int64_t first_row() const { return first_; }
  /// Of a row as read() gives it.
  [[nodiscard]] std::int64_t row_bytes() const {
    return columns_ * static_cast<std::int64_t>(bytes_ ? 1 : sizeof(float));
  }

  [[nodiscard]] bool in_memory() const { return dataset_ != nullptr; }
  /// Row 0 in memory; null for a file.
  [[nodiscard]] const void* data() const;

  /// As RowFile's, for either.
  void read(std::int64_t first, std::int64_t count, void* out) const;
  void gather(std::span<const std::int32_t> index, void* out) const;

 private:
  const Dataset* dataset_ = nullptr;
  const RowFile* file_ = nullptr;
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  bool bytes_ = false;
};

}  // namespace hourglass
