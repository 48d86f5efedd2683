// Reading single files out of a tar archive (ustar), raw or gzip-compressed.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace hourglass {

/// The contents of those regular files in `archive` that are named in `wanted`, by name; a name
/// that is not there is not in the result. Throws InputError for a cut or damaged archive and for a
/// wanted file beyond `most_bytes`.
[[nodiscard]] std::map<std::string, std::vector<std::uint8_t>> read_from_tar(
    const std::string& archive, const std::set<std::string>& wanted, std::uint64_t most_bytes);

}  // namespace hourglass
