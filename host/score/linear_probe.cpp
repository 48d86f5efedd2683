// Multinomial logistic regression on codes or maps: how much of the labels a linear readout finds.
#include <cblas.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "host/score/common.hpp"
#include "host/score/lbfgs.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/scores.hpp"
#include "kernels/backend.hpp"

namespace hourglass {
namespace {

constexpr double penalty = 1e-4;
// Rows whose logits and gradient are computed while they lie in the cache.
constexpr std::int64_t block_rows = 256;

/// Standardised columns and a column of ones for the bias, float64.
struct Features {
  std::vector<double> mean;
  std::vector<double> factor;

  explicit Features(const Matrix& train)
      : mean(static_cast<std::size_t>(train.columns)),
        factor(static_cast<std::size_t>(train.columns)) {
    const auto rows = static_cast<double>(train.rows);
    for (std::int64_t i = 0; i < train.rows; ++i) {
      for (std::size_t j = 0; j < mean.size(); ++j)
        mean[j] += train.row(i)[j] / rows;
    }
    for (std::int64_t i = 0; i < train.rows; ++i) {
      for (std::size_t j = 0; j < mean.size(); ++j) {
        const double d = train.row(i)[j] - mean[j];
        factor[j] += d * d / rows;
      }
    }
    for (double& f : factor)
      f = f > 0 ? 1.0 / std::sqrt(f) : 1.0;
  }

  [[nodiscard]] std::int64_t width() const { return static_cast<std::int64_t>(mean.size()) + 1; }

  [[nodiscard]] std::vector<double> of(const Matrix& x) const {
    std::vector<double> rows(static_cast<std::size_t>(x.rows * width()));
    for (std::int64_t i = 0; i < x.rows; ++i) {
      double* row = rows.data() + i * width();
      for (std::size_t j = 0; j < mean.size(); ++j)
        row[j] = (x.row(i)[j] - mean[j]) * factor[j];
      row[mean.size()] = 1.0;
    }
    return rows;
  }
};

/// out (rows x classes) = features (rows x width) weights (width x classes).
void logits(const double* features, const double* weights, std::int64_t rows, std::int64_t width,
            std::int64_t classes, double* out) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows),
              static_cast<int>(classes), static_cast<int>(width), 1.0, features,
              static_cast<int>(width), weights, static_cast<int>(classes), 0.0, out,
              static_cast<int>(classes));
}

/// Replaces the logits of one row by softmax - onehot(label); returns the row's cross-entropy.
double cross_entropy(double* row, std::int64_t classes, std::int32_t label) {
  const double largest = *std::max_element(row, row + classes);
  const double own = row[label];
  double sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    row[c] = std::exp(row[c] - largest);
    sum += row[c];
  }
  for (std::int64_t c = 0; c < classes; ++c)
    row[c] /= sum;
  row[label] -= 1.0;
  return std::log(sum) + largest - own;
}

}  // namespace

double linear_probe_accuracy(Device& device, const Matrix& train, Labels train_labels,
                             const Matrix& test, Labels test_labels) {
  constexpr const char* name = "linear probe";
  check_train_and_test(name, train, train_labels, test, test_labels);
  if (train.columns >= std::numeric_limits<int>::max()) {
    throw UsageError(fmt::format("{}: {} columns are too many", name, train.columns));
  }
  // Classes by their place among the labels seen in training: a label that was not is never right.
  std::vector<std::int32_t> seen(train_labels.begin(), train_labels.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  std::vector<std::int32_t> target;
  target.reserve(train_labels.size());
  for (const std::int32_t label : train_labels) {
    target.push_back(static_cast<std::int32_t>(std::lower_bound(seen.begin(), seen.end(), label) -
                                               seen.begin()));
  }

  linear_probe_memory(device.info(), train, test, static_cast<std::int64_t>(seen.size()))
      .check(device);
  const Range range(device.backend(), "linear probe");
  const Features features(train);
  const std::int64_t n = train.rows;
  const std::int64_t width = features.width();
  const auto classes = static_cast<std::int64_t>(seen.size());
  const std::vector<double> x = features.of(train);
  std::vector<double> residual(static_cast<std::size_t>(block_rows * classes));

  const Objective objective = [&](const std::vector<double>& weights,
                                  std::vector<double>& gradient) {
    std::fill(gradient.begin(), gradient.end(), 0.0);
    double loss = 0;
    for (std::int64_t first = 0; first < n; first += block_rows) {
      const std::int64_t count = std::min(block_rows, n - first);
      const double* rows = x.data() + first * width;
      logits(rows, weights.data(), count, width, classes, residual.data());
      for (std::int64_t i = 0; i < count; ++i) {
        loss += cross_entropy(residual.data() + i * classes, classes,
                              target[static_cast<std::size_t>(first + i)]);
      }
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(width),
                  static_cast<int>(classes), static_cast<int>(count), 1.0 / static_cast<double>(n),
                  rows, static_cast<int>(width), residual.data(), static_cast<int>(classes), 1.0,
                  gradient.data(), static_cast<int>(classes));
    }
    double squares = 0;
    for (std::int64_t j = 0; j < (width - 1) * classes; ++j) {  // the bias is free
      const auto at = static_cast<std::size_t>(j);
      squares += weights[at] * weights[at];
      gradient[at] += penalty * weights[at];
    }
    return loss / static_cast<double>(n) + penalty / 2 * squares;
  };
  std::vector<double> weights(static_cast<std::size_t>(width * classes));
  if (classes > 1) minimise_lbfgs(objective, weights);

  const std::vector<double> scored = features.of(test);
  std::vector<double> out(static_cast<std::size_t>(test.rows * classes));
  logits(scored.data(), weights.data(), test.rows, width, classes, out.data());
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < test.rows; ++i) {
    const double* row = out.data() + i * classes;
    const auto best = std::max_element(row, row + classes) - row;
    right += seen[static_cast<std::size_t>(best)] == test_labels[static_cast<std::size_t>(i)];
  }
  return static_cast<double>(right) / static_cast<double>(test.rows);
}

double linear_probe_split_accuracy(Device& device, const Matrix& x, Labels labels) {
  check_labels("linear probe", x, labels);
  check_rows("linear probe", x, 2);
  const std::int64_t half = x.rows / 2;
  const auto split = static_cast<std::size_t>(half);
  return linear_probe_accuracy(device, rows_of(x, 0, half), labels.first(split),
                               rows_of(x, half, x.rows - half), labels.subspan(split));
}

double pair_accuracy(Device& device, const Matrix& x, Labels labels, std::int32_t a,
                     std::int32_t b) {
  check_labels("pair accuracy", x, labels);
  std::vector<std::int32_t> pair_labels;
  Matrix rows(0, x.columns);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const std::int32_t label = labels[static_cast<std::size_t>(i)];
    if (label != a && label != b) continue;
    pair_labels.push_back(label);
    rows.values.insert(rows.values.end(), x.row(i).begin(), x.row(i).end());
    ++rows.rows;
  }
  check_rows("pair accuracy", rows, 2);
  return linear_probe_split_accuracy(device, rows, pair_labels);
}

}  // namespace hourglass
