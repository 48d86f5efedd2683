// A matrix as a file whose rows are read in place; removed at the end.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "hourglass/dataset.hpp"
#include "hourglass/rows.hpp"

namespace hourglass::testing_support {

class TemporaryRows {
 public:
  explicit TemporaryRows(const Matrix& matrix)
      : path_((std::filesystem::temp_directory_path() /
               ("hourglass-rows-" + std::to_string(getpid()) + "-" + std::to_string(made_++) +
                ".npy"))
                  .string()) {
    save_matrix(path_, matrix);
  }
  TemporaryRows(const TemporaryRows&) = delete;
  TemporaryRows& operator=(const TemporaryRows&) = delete;
  ~TemporaryRows() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  [[nodiscard]] RowFile open() const { return RowFile::open(path_); }

 private:
  static inline int made_ = 0;
  std::string path_;
};

}  // namespace hourglass::testing_support
