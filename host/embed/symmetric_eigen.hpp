// The largest eigenpairs of a real symmetric matrix, float64, by LAPACK's dsyevr (Dhillon, Parlett
// and Vömel 2006: multiple relatively robust representations).
#pragma once

#include <cstdint>
#include <vector>

namespace hourglass {

struct Eigenpairs {
  std::vector<double> values;   ///< K, falling
  std::vector<double> vectors;  ///< K x n, orthonormal rows, in the order of the values
};

/// `matrix` is n x n with both triangles filled; it is overwritten. 1 <= count <= n. Throws
/// NumericsError where LAPACK does not converge.
Eigenpairs largest_eigenpairs(std::vector<double>& matrix, std::int64_t n, std::int64_t count);

}  // namespace hourglass
