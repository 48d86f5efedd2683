// The steps of PCA without the check that they fit into memory, for work whose own plan has them.
#pragma once

#include <cstdint>

#include "hourglass/memory.hpp"
#include "hourglass/pca.hpp"
#include "kernels/backend.hpp"

namespace hourglass {

/// Throws UsageError where x has not so many principal components.
void check_components(const DataShape& x, std::int64_t components);

/// Pca::fit() of a number of components that check_components() accepts.
Pca fit_pca(Backend& backend, const Matrix& x, std::int64_t components);

/// Pca::transform() of rows as wide as the components.
Matrix transform_by_pca(Backend& backend, const Pca& pca, const Matrix& x);

}  // namespace hourglass
