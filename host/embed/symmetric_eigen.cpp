#include "host/embed/symmetric_eigen.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "hourglass/error.hpp"

// LAPACK's Fortran interface; every argument goes by address.
extern "C" void dsyevr_(const char* jobz, const char* range, const char* uplo, const int* n,
                        double* a, const int* lda, const double* vl, const double* vu,
                        const int* il, const int* iu, const double* abstol, int* m, double* w,
                        double* z, const int* ldz, int* isuppz, double* work, const int* lwork,
                        int* iwork, const int* liwork, int* info);

namespace hourglass {

Eigenpairs largest_eigenpairs(std::vector<double>& matrix, std::int64_t n, std::int64_t count) {
  if (n > std::numeric_limits<int>::max() / 64) {
    throw UsageError(fmt::format("eigendecomposition: {} rows are more than LAPACK can take", n));
  }
  const int size = static_cast<int>(n);
  const int first = static_cast<int>(n - count + 1);  // from 1, by rising value
  const double unused = 0.0;
  const double tolerance = 0.0;  // LAPACK's default
  int found = 0;
  int info = 0;
  std::vector<double> values(static_cast<std::size_t>(n));
  std::vector<double> vectors(static_cast<std::size_t>(n * count));
  std::vector<int> support(2 * static_cast<std::size_t>(count));

  const auto solve = [&](double* work, int work_size, int* integers, int integers_size) {
    dsyevr_("V", "I", "L", &size, matrix.data(), &size, &unused, &unused, &first, &size, &tolerance,
            &found, values.data(), vectors.data(), &size, support.data(), work, &work_size,
            integers, &integers_size, &info);
  };
  double best_work = 0;
  int best_integers = 0;
  solve(&best_work, -1, &best_integers, -1);  // asks for the sizes
  std::vector<double> work(static_cast<std::size_t>(best_work));
  std::vector<int> integers(static_cast<std::size_t>(best_integers));
  solve(work.data(), static_cast<int>(work.size()), integers.data(), best_integers);
  if (info != 0 || found != static_cast<int>(count)) {
    throw NumericsError(
        fmt::format("eigendecomposition of a {} x {} matrix failed: dsyevr returned {}, {} of {} "
                    "eigenvectors",
                    n, n, info, found, count));
  }

  Eigenpairs pairs;
  pairs.values.resize(static_cast<std::size_t>(count));
  pairs.vectors.resize(vectors.size());
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t rising = count - 1 - k;
    pairs.values[static_cast<std::size_t>(k)] = values[static_cast<std::size_t>(rising)];
    // Column `rising` of the column-major result is contiguous.
    std::copy_n(vectors.begin() + rising * n, n, pairs.vectors.begin() + k * n);
  }
  return pairs;
}

}  // namespace hourglass
