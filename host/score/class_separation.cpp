#include <cmath>
#include <limits>

#include "host/score/common.hpp"
#include "hourglass/scores.hpp"

namespace hourglass {
namespace {

double distance(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

}  // namespace

double ClassSeparation::ratio(std::int32_t a, std::int32_t b) const {
  const auto at = [](std::int32_t i) { return static_cast<std::size_t>(i); };
  const double between = centroid_distance[at(a) * at(classes) + at(b)];
  const double width = (spread[at(a)] + spread[at(b)]) / 2;
  return width > 0 ? between / width : 0.0;
}

ClassSeparation class_separation(const Matrix& x, Labels labels) {
  check_labels("class separation", x, labels);
  check_rows("class separation", x, 1);
  ClassSeparation result;
  result.classes = class_count("class separation", labels);
  const auto classes = static_cast<std::size_t>(result.classes);
  const auto d = static_cast<std::size_t>(x.columns);

  std::vector<std::int64_t> size(classes);
  std::vector<double> centroids(classes * d);
  std::vector<double> mean(d);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const auto c = static_cast<std::size_t>(labels[static_cast<std::size_t>(i)]);
    ++size[c];
    const std::span<const float> row = x.row(i);
    for (std::size_t j = 0; j < d; ++j) {
      centroids[c * d + j] += row[j];
      mean[j] += row[j];
    }
  }
  for (std::size_t c = 0; c < classes; ++c) {
    for (std::size_t j = 0; j < d; ++j)
      centroids[c * d + j] /= static_cast<double>(std::max<std::int64_t>(size[c], 1));
  }
  for (double& value : mean)
    value /= static_cast<double>(x.rows);

  result.spread.resize(classes);
  double squares = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const auto c = static_cast<std::size_t>(labels[static_cast<std::size_t>(i)]);
    const std::span<const float> row = x.row(i);
    for (std::size_t j = 0; j < d; ++j) {
      const double within = row[j] - centroids[c * d + j];
      const double overall = row[j] - mean[j];
      result.spread[c] += within * within;
      squares += overall * overall;
    }
  }
  result.radius = std::sqrt(squares / static_cast<double>(x.rows));

  std::int64_t present = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    if (size[c] == 0) continue;
    result.spread[c] = std::sqrt(result.spread[c] / static_cast<double>(size[c]));
    result.mean_spread += result.spread[c];
    ++present;
  }
  result.mean_spread /= static_cast<double>(present);

  result.centroid_distance.resize(classes * classes);
  std::int64_t pairs = 0;
  double gaps = 0;
  for (std::size_t a = 0; a < classes; ++a) {
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t b = 0; b < classes; ++b) {
      if (a == b || size[a] == 0 || size[b] == 0) continue;
      const double between = distance(&centroids[a * d], &centroids[b * d], x.columns);
      result.centroid_distance[a * classes + b] = between;
      nearest = std::min(nearest, between - result.spread[a] - result.spread[b]);
      if (a < b) {
        result.mean_ratio +=
            result.ratio(static_cast<std::int32_t>(a), static_cast<std::int32_t>(b));
        ++pairs;
      }
    }
    if (std::isfinite(nearest)) gaps += nearest;
  }
  if (pairs > 0) {
    result.mean_ratio /= static_cast<double>(pairs);
    result.mean_gap = gaps / static_cast<double>(present);
  }
  return result;
}

}  // namespace hourglass
