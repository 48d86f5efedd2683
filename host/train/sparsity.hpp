// Whether a penalty can be computed on a code.
#pragma once

#include "hourglass/autoencoder.hpp"
#include "hourglass/training.hpp"

namespace hourglass {

/// Throws UsageError for a weight or rho out of range, and, unless `force`, for KL on codes that
/// can leave (0, 1).
void check_sparsity(const Sparsity& sparsity, const AutoencoderSpec& spec, bool force);

}  // namespace hourglass
