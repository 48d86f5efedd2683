// PCA. Two ways to the same components:
// - D <= N: eigenvectors of the D x D covariance.
// - D > N: eigenvectors u of the N x N Gram matrix of the centred rows; a component is then
//   v = Xc^T u / |Xc^T u|, of the same eigenvalue. Memory and time follow the smaller of both
//   sides, so that 2,000 rows of 50,000 features need 32 MB instead of 20 GB.
#include "hourglass/pca.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/embed/pca_internal.hpp"
#include "host/embed/symmetric_eigen.hpp"
#include "hourglass/error.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

// Rows of the float32 matrix that are centred at a time.
constexpr std::int64_t centred_rows = 4096;

double dot(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    sum += a[i] * b[i];
  return sum;
}

/// Makes the rows of `vectors` (count x n) orthonormal, in their order (modified Gram-Schmidt,
/// twice). A row that the rows before it span already, as `dependent` says or as the arithmetic
/// shows, becomes the unit vector that is furthest from that span, made orthogonal to it.
void orthonormalise(std::vector<double>& vectors, std::int64_t count, std::int64_t n,
                    const std::vector<bool>& dependent) {
  const auto row = [&](std::int64_t k) { return vectors.data() + k * n; };
  const auto remove_span = [&](std::int64_t k) {
    for (int pass = 0; pass < 2; ++pass) {
      for (std::int64_t j = 0; j < k; ++j) {
        const double projection = dot(row(k), row(j), n);
        for (std::int64_t i = 0; i < n; ++i)
          row(k)[i] -= projection * row(j)[i];
      }
    }
  };
  for (std::int64_t k = 0; k < count; ++k) {
    double length = 0;
    if (!dependent[static_cast<std::size_t>(k)]) {
      const double before = std::sqrt(dot(row(k), row(k), n));
      remove_span(k);
      length = std::sqrt(dot(row(k), row(k), n));
      if (length < 1e-3 * before) length = 0;
    }
    if (length == 0) {
      std::int64_t furthest = 0;
      double most = -1;
      for (std::int64_t i = 0; i < n; ++i) {
        double inside = 0;
        for (std::int64_t j = 0; j < k; ++j)
          inside += row(j)[i] * row(j)[i];
        if (1 - inside > most) {
          most = 1 - inside;
          furthest = i;
        }
      }
      std::fill_n(row(k), n, 0.0);
      row(k)[furthest] = 1;
      remove_span(k);
      length = std::sqrt(dot(row(k), row(k), n));
    }
    for (std::int64_t i = 0; i < n; ++i)
      row(k)[i] /= length;
  }
}

/// The largest absolute loading becomes positive. Loadings that differ by rounding alone count as
/// equal and the first of them decides, so that the sign does not hang on the last bit.
void fix_sign(double* component, std::int64_t n) {
  double largest = 0;
  for (std::int64_t i = 0; i < n; ++i)
    largest = std::max(largest, std::abs(component[i]));
  for (std::int64_t i = 0; i < n; ++i) {
    if (std::abs(component[i]) >= largest * (1 - 1e-9)) {
      if (component[i] < 0) {
        for (std::int64_t j = 0; j < n; ++j)
          component[j] = -component[j];
      }
      return;
    }
  }
}

double trace(const std::vector<double>& matrix, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    sum += matrix[static_cast<std::size_t>(i * n + i)];
  return sum;
}

void check_finite(double total_variance) {
  if (!std::isfinite(total_variance)) {
    throw InputError("PCA: the data holds NaN, infinite or too large values; expected finite ones");
  }
}

Eigenpairs from_covariance(Backend& backend, const Buffer<float>& x, std::int64_t rows,
                           std::int64_t columns, const Buffer<double>& mean, std::int64_t count,
                           double& total) {
  Buffer<double> covariance(backend, columns * columns);
  backend.covariance(x.matrix(rows, columns), mean.span(), covariance.span());
  std::vector<double> matrix = covariance.download();
  total = trace(matrix, columns);
  check_finite(total);
  return largest_eigenpairs(matrix, columns, count);
}

Eigenpairs from_gram(Backend& backend, const Matrix& x, const std::vector<double>& mean,
                     std::int64_t count, double& total) {
  const std::int64_t n = x.rows;
  const std::int64_t d = x.columns;
  std::vector<float> transposed(x.values.size());  // D x N, centred
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      transposed[static_cast<std::size_t>(j * n + i)] =
          static_cast<float>(static_cast<double>(x(i, j)) - mean[static_cast<std::size_t>(j)]);
    }
  }
  const Buffer<float> centred(backend, std::span<const float>(transposed));
  Buffer<double> zero(backend, n);
  zero.zero();
  Buffer<double> products(backend, n * n);
  backend.covariance(centred.matrix(d, n), zero.span(), products.span());
  std::vector<double> gram = products.download();
  // covariance() divided by its number of rows less one, D - 1; the variance wants N - 1.
  for (double& value : gram)
    value *= static_cast<double>(d - 1) / static_cast<double>(n - 1);
  total = trace(gram, n);
  check_finite(total);
  const Eigenpairs small = largest_eigenpairs(gram, n, count);

  const std::vector<float> weights(small.vectors.begin(), small.vectors.end());
  const Buffer<float> left(backend, std::span<const float>(weights));
  Buffer<float> components(backend, count * d);
  backend.gemm(Transpose::no, Transpose::yes, 1.0f, left.matrix(count, n), centred.matrix(d, n),
               0.0f, components.matrix(count, d));
  const std::vector<float> raw = components.download();

  Eigenpairs pairs;
  pairs.values = small.values;
  pairs.vectors.assign(raw.begin(), raw.end());
  // Centred rows have rank N - 1 at most; below this an eigenvalue is rounding of float32 sums.
  const double rounding = 1e-10 * std::max(small.values.front(), 0.0);
  std::vector<bool> dependent(static_cast<std::size_t>(count));
  for (std::size_t k = 0; k < dependent.size(); ++k)
    dependent[k] = !(small.values[k] > rounding);
  orthonormalise(pairs.vectors, count, d, dependent);
  return pairs;
}

}  // namespace

void check_components(const DataShape& x, std::int64_t components) {
  if (x.rows < 2) {
    throw UsageError(fmt::format("PCA: {} row, at least 2 are needed for a variance", x.rows));
  }
  const std::int64_t most = std::min(x.rows, x.columns);
  if (components < 1 || components > most) {
    throw UsageError(fmt::format("PCA: {} components of {} x {} data; expected 1 to {}", components,
                                 x.rows, x.columns, most));
  }
}

Pca Pca::fit(Device& device, const Matrix& x, std::int64_t components) {
  pca_fit_memory(device.info(), x, components).check(device);
  return fit_pca(device.backend(), x, components);
}

Pca fit_pca(Backend& backend, const Matrix& x, std::int64_t components) {
  const Range range(backend, "pca fit");
  const Buffer<float> rows(backend, std::span<const float>(x.values));
  Buffer<double> mean(backend, x.columns);
  Buffer<double> deviation(backend, x.columns);
  backend.column_statistics({rows.data(), false, x.rows, x.columns}, mean.span(), deviation.span());

  Pca pca;
  pca.mean = mean.download();
  double total = 0;
  Eigenpairs pairs = x.columns <= x.rows ? from_covariance(backend, rows, x.rows, x.columns, mean,
                                                           components, total)
                                         : from_gram(backend, x, pca.mean, components, total);
  pca.components = Matrix(components, x.columns);
  for (std::int64_t k = 0; k < components; ++k) {
    double* component = pairs.vectors.data() + k * x.columns;
    fix_sign(component, x.columns);
    std::transform(component, component + x.columns, pca.components.row(k).begin(),
                   [](double loading) { return static_cast<float>(loading); });
    // Rounding can leave the eigenvalue of a constant direction just below 0.
    const double variance = std::max(pairs.values[static_cast<std::size_t>(k)], 0.0);
    pca.explained_variance.push_back(variance);
    pca.explained_ratio.push_back(total > 0 ? variance / total : 0.0);
  }
  return pca;
}

Matrix Pca::transform(Device& device, const Matrix& x) const {
  if (x.columns != components.columns) {
    throw InputError(fmt::format("PCA: the data has {} columns, the components have {}", x.columns,
                                 components.columns));
  }
  if (x.rows > 0) pca_transform_memory(device.info(), x, components.rows).check(device);
  return transform_by_pca(device.backend(), *this, x);
}

Matrix transform_by_pca(Backend& backend, const Pca& pca, const Matrix& x) {
  const Matrix& components = pca.components;
  const std::vector<double>& mean = pca.mean;
  Matrix codes(x.rows, components.rows);
  if (x.rows == 0) return codes;
  const Range range(backend, "pca transform");
  const std::int64_t d = x.columns;
  const std::int64_t k = components.rows;
  const Buffer<float> rows(backend, std::span<const float>(x.values));
  const Buffer<float> loadings(backend, std::span<const float>(components.values));
  const std::vector<float> offset(mean.begin(), mean.end());
  const std::vector<float> ones(mean.size(), 1.0f);
  const Buffer<float> offsets(backend, std::span<const float>(offset));
  const Buffer<float> factors(backend, std::span<const float>(ones));
  Buffer<float> centred(backend, std::min(centred_rows, x.rows) * d);
  Buffer<float> out(backend, x.rows * k);
  for (std::int64_t first = 0; first < x.rows; first += centred_rows) {
    const std::int64_t count = std::min(centred_rows, x.rows - first);
    backend.gather_rows({rows.data(), false, x.rows, d}, nullptr, first, offsets.span(),
                        factors.span(), centred.matrix(count, d));
    backend.gemm(Transpose::no, Transpose::yes, 1.0f, centred.matrix(count, d),
                 loadings.matrix(k, d), 0.0f, out.matrix(x.rows, k).row_range(first, count));
  }
  backend.download(codes.values.data(), out.data(), codes.values.size() * sizeof(float));
  return codes;
}

Matrix Pca::inverse_transform(Device& device, const Matrix& codes) const {
  if (codes.columns != components.rows) {
    throw InputError(fmt::format("PCA: the codes have {} columns, there are {} components",
                                 codes.columns, components.rows));
  }
  if (codes.rows > 0) {
    pca_inverse_memory(device.info(), {codes.rows, components.columns}, components.rows)
        .check(device);
  }
  Matrix x(codes.rows, components.columns);
  if (codes.rows == 0) return x;
  Backend& backend = device.backend();
  const Range range(backend, "pca inverse transform");
  const Buffer<float> in(backend, std::span<const float>(codes.values));
  const Buffer<float> loadings(backend, std::span<const float>(components.values));
  Buffer<float> out(backend, x.rows * x.columns);
  backend.gemm(Transpose::no, Transpose::no, 1.0f, in.matrix(codes.rows, codes.columns),
               loadings.matrix(components.rows, components.columns), 0.0f,
               out.matrix(x.rows, x.columns));
  backend.download(x.values.data(), out.data(), x.values.size() * sizeof(float));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.columns; ++j) {
      x(i, j) =
          static_cast<float>(static_cast<double>(x(i, j)) + mean[static_cast<std::size_t>(j)]);
    }
  }
  return x;
}

}  // namespace hourglass
