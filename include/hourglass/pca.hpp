// Principal component analysis by eigendecomposition of the covariance in float64.
#pragma once

#include <cstdint>
#include <vector>

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"

namespace hourglass {

struct Pca {
  std::vector<double> mean;                ///< D
  Matrix components;                       ///< K x D, orthonormal rows, by falling variance
  std::vector<double> explained_variance;  ///< K, with N - 1
  std::vector<double> explained_ratio;     ///< K, of the total variance

  /// The sign of a component: its largest absolute loading is positive. Throws UsageError where K
  /// is not in 1 .. min(N, D).
  static Pca fit(Device& device, const Matrix& x, std::int64_t components);
  [[nodiscard]] Matrix transform(Device& device, const Matrix& x) const;              ///< N x K
  [[nodiscard]] Matrix inverse_transform(Device& device, const Matrix& codes) const;  ///< N x D
};

}  // namespace hourglass
