// Datasets as files whose rows are read in place.
#pragma once

#include <cstdint>
#include <string>

#include "hourglass/dataset.hpp"
#include "tests/data/scratch.hpp"

namespace hourglass::testing_support {

/// `data` as IDX where it holds bytes, else as .npy.
inline std::string write_rows(const testing::Scratch& scratch, const std::string& name,
                              const Dataset& data) {
  if (!data.is_bytes()) {
    const std::string path = scratch.path(name + ".npy");
    MatrixWriter writer(path, data.rows, data.columns);
    writer.write(std::get<1>(data.values));
    writer.commit();
    return path;
  }
  const auto& values = std::get<0>(data.values);
  return scratch.file(name + ".idx", std::string("\0\0\x08\x02", 4) +
                                         testing::big32(static_cast<std::uint32_t>(data.rows)) +
                                         testing::big32(static_cast<std::uint32_t>(data.columns)) +
                                         std::string(values.begin(), values.end()));
}

}  // namespace hourglass::testing_support
