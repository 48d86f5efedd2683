// The subcommands. Each add_*() describes its options to the parser and returns what is to be run
// once they are parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "session.hpp"

namespace hourglass::command {

struct Command {
  CLI::App* app = nullptr;
  std::function<void(Session&)> run;
};

Command add_article(CLI::App& parent);
Command add_train(CLI::App& parent);
Command add_encode(CLI::App& parent);
Command add_reconstruct(CLI::App& parent);
Command add_decode(CLI::App& parent);
Command add_pca(CLI::App& parent);
Command add_tsne(CLI::App& parent);
Command add_place(CLI::App& parent);
Command add_score(CLI::App& parent);
Command add_devices(CLI::App& parent);
Command add_data(CLI::App& parent);

inline constexpr const char* data_help =
    "IDX (raw or .gz), .npy, .csv, .tsv, mnist:train, mnist:test, fashion-mnist:train or "
    "fashion-mnist:test";

/// The rows of `data` as pca, tsne and score see them: `scale` is "none", "unit", "standard" or
/// "auto", which scales bytes by 1/255 and takes floats as they are.
Matrix features(Device& device, const Dataset& data, const std::string& scale);
inline constexpr const char* scale_help =
    "none, unit, standard, or auto: bytes by 1/255, floats as they are";

}  // namespace hourglass::command
