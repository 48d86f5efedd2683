// Checks that the scores share.
#pragma once

#include <fmt/format.h>

#include <algorithm>

#include "hourglass/error.hpp"
#include "hourglass/scores.hpp"

namespace hourglass {

inline void check_labels(const char* score, const Matrix& x, Labels labels) {
  if (static_cast<std::int64_t>(labels.size()) != x.rows) {
    throw UsageError(fmt::format("{}: {} labels for {} rows", score, labels.size(), x.rows));
  }
}

inline void check_rows(const char* score, const Matrix& x, std::int64_t least) {
  if (x.rows < least) {
    throw UsageError(fmt::format("{}: {} rows; at least {} are needed", score, x.rows, least));
  }
}

/// Two sets of labelled rows of one width, neither of them empty.
inline void check_train_and_test(const char* score, const Matrix& train, Labels train_labels,
                                 const Matrix& test, Labels test_labels) {
  check_labels(score, train, train_labels);
  check_labels(score, test, test_labels);
  check_rows(score, train, 1);
  check_rows(score, test, 1);
  if (train.columns != test.columns) {
    throw UsageError(fmt::format("{}: {} columns to learn from, {} to score", score, train.columns,
                                 test.columns));
  }
}

inline void check_same_rows(const char* score, const Matrix& x, const Matrix& map) {
  if (x.rows != map.rows) {
    throw UsageError(fmt::format("{}: {} rows of data, {} rows of a map", score, x.rows, map.rows));
  }
}

inline void check_trustworthiness(std::int64_t rows, int neighbours) {
  // Beyond N / 2 the normalisation no longer bounds the sum.
  if (neighbours < 1 || 2 * std::int64_t{neighbours} >= rows) {
    throw UsageError(fmt::format(
        "trustworthiness: {} neighbours of {} rows; expected 1 or more, below half the rows",
        neighbours, rows));
  }
}

inline void check_preservation(std::int64_t rows, int neighbours) {
  if (neighbours < 1 || neighbours >= rows) {
    throw UsageError(
        fmt::format("neighbour preservation: {} neighbours of {} rows; expected 1 to {}",
                    neighbours, rows, rows - 1));
  }
}

/// map_figures() in blocks: so many rows of the sample against so many of all.
inline constexpr std::int64_t figure_queries = 1024;
inline constexpr std::int64_t figure_references = 512;
inline constexpr int figure_neighbours = 30;

inline std::int64_t figure_sample(std::int64_t rows, std::int64_t sample) {
  if (sample < 0) {
    throw UsageError(fmt::format("map figures: a sample of {} rows; expected 0 or more", sample));
  }
  if (sample == 0) sample = rows <= most_rows_of_full_figures ? rows : rows_of_a_figure_sample;
  return std::min(sample, rows);
}

/// Labels as numbers of classes: 0 <= label < classes. Throws UsageError for a negative label.
inline std::int32_t class_count(const char* score, Labels labels) {
  std::int32_t classes = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) {
      throw UsageError(
          fmt::format("{}: label {} of row {}; expected 0 or more", score, labels[i], i));
    }
    classes = labels[i] >= classes ? labels[i] + 1 : classes;
  }
  return classes;
}

/// Rows [first, first + count).
inline Matrix rows_of(const Matrix& x, std::int64_t first, std::int64_t count) {
  Matrix part(count, x.columns);
  std::copy_n(x.values.begin() + first * x.columns, count * x.columns, part.values.begin());
  return part;
}

}  // namespace hourglass
