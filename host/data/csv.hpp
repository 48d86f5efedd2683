// Tables of numbers as text: .csv (commas) and .tsv (tabs), raw or gzip-compressed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hourglass/matrix.hpp"

namespace hourglass {

/// One row a line. A first line with any field that is no number is a header and skipped. Fields
/// may be quoted and padded with spaces; lines may end in CR LF; blank lines may end the file.
/// Throws InputError that names line and column (both from 1): ragged lines, empty fields, text,
/// NaN or infinite values, values beyond float32. The delimiter is a tab where the name ends in
/// .tsv or .tsv.gz, else a comma.
[[nodiscard]] Matrix read_csv(const std::string& path);

/// One column of whole numbers within 32 bits; 3.0 counts as one.
[[nodiscard]] std::vector<std::int32_t> read_csv_labels(const std::string& path);

/// Rows of `columns` values as lines of text: the shortest decimals that give the same float32
/// back.
[[nodiscard]] std::string csv_lines(std::span<const float> values, std::int64_t columns,
                                    char delimiter);

}  // namespace hourglass
