// The affinities P of a t-SNE in a file, so that maps can be made again without the search.
#pragma once

#include <string>

#include "host/embed/affinities.hpp"

namespace hourglass {

/// Writes a safetensors file: `offsets` (int64, N + 1), `columns` (int32) and `values` (float32),
/// one for each entry of P, with metadata `format` ("hourglass affinities"), `version` (1),
/// `perplexity`, `neighbours`, `method` and `recall`. Written beside the target, then renamed.
/// Throws InputError where it cannot be written.
void save_affinities(const std::string& path, const Affinities& affinities);

/// Throws InputError that names the file, and the row and the place of what is wrong: missing
/// tensors or metadata, another version, offsets that do not ascend from 0 to the number of
/// entries, columns of a row that do not ascend, are not 0 .. N - 1 or the row's own, values that
/// are negative or not finite, a sum of them that is not 1 within 1e-3. That P is symmetric is not
/// checked.
[[nodiscard]] Affinities load_affinities(const std::string& path, Backend& backend);

}  // namespace hourglass
