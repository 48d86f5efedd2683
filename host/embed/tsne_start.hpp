// Where the points of a t-SNE map start.
#pragma once

#include <cstdint>

#include "hourglass/tsne.hpp"
#include "kernels/backend.hpp"

namespace hourglass {

/// N x options.dimensions. Throws InputError where a given start does not fit.
Matrix make_tsne_start(Backend& backend, const Matrix& x, const TsneOptions& options);

/// Moves every row that equals an earlier one by a jitter: no force ever parts points in one place.
/// Says whether there was such a row.
bool part_equal_rows(Matrix& y, std::uint64_t seed);

}  // namespace hourglass
