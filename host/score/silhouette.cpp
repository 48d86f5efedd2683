#include <cmath>
#include <limits>

#include "host/score/common.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/scores.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

Silhouette silhouette(Device& device, const Matrix& x, Labels labels) {
  check_labels("silhouette", x, labels);
  check_rows("silhouette", x, 1);
  const std::int32_t classes = class_count("silhouette", labels);
  silhouette_memory(device.info(), x, classes).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "silhouette");
  const Buffer<float> rows(backend, std::span<const float>(x.values));
  const Buffer<std::int32_t> device_labels(backend, labels);
  Buffer<double> device_sums(backend, x.rows * classes);
  backend.class_distance_sums(rows.matrix(x.rows, x.columns), device_labels.span(),
                              device_sums.matrix(x.rows, classes));
  const std::vector<double> sums = device_sums.download();

  std::vector<std::int64_t> size(static_cast<std::size_t>(classes));
  for (const std::int32_t label : labels)
    ++size[static_cast<std::size_t>(label)];

  Silhouette result;
  result.by_class.resize(static_cast<std::size_t>(classes));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const auto own = static_cast<std::size_t>(labels[static_cast<std::size_t>(i)]);
    if (size[own] < 2) continue;
    const double* sum = sums.data() + i * classes;
    const double a = sum[own] / static_cast<double>(size[own] - 1);
    double b = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < size.size(); ++c) {
      if (c != own && size[c] > 0) b = std::min(b, sum[c] / static_cast<double>(size[c]));
    }
    const double larger = std::max(a, b);
    const double s = std::isinf(b) || larger == 0 ? 0.0 : (b - a) / larger;
    result.by_class[own] += s;
    result.mean += s;
  }
  result.mean /= static_cast<double>(x.rows);
  for (std::size_t c = 0; c < size.size(); ++c) {
    if (size[c] > 0) result.by_class[c] /= static_cast<double>(size[c]);
  }
  return result;
}

}  // namespace hourglass
