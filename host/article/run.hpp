// One experiment with one scaling and one seed: what it measured.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/matrix.hpp"
#include "hourglass/training.hpp"

namespace hourglass::article {

/// Figures by name, such as "code_one_nn"; figure_info() says what each one is.
using Figures = std::map<std::string, double, std::less<>>;

struct Run {
  std::string experiment;
  std::string scaling;
  std::uint64_t seed = 0;
  Figures figures;
  History history;  ///< of an autoencoder
  Figures seconds;  ///< by phase: apart, since they alone differ from run to run
  Matrix map;       ///< N x 2: the code itself or its t-SNE map; empty without one
};

/// What a figure measures and how it is shown.
struct FigureInfo {
  std::string_view name;
  std::string_view label;
  std::string_view column;   ///< shorter, where a table's caption says the rest
  std::string_view meaning;  ///< one sentence
  int decimals = 3;
  bool percent = false;
};
/// All of them, in the order of tables.
std::span<const FigureInfo> all_figure_info();
/// Throws std::out_of_range for a name that is not among them.
const FigureInfo& figure_info(std::string_view name);

/// Mean and spread over the seeds.
struct Statistic {
  std::size_t count = 0;
  double mean = std::numeric_limits<double>::quiet_NaN();
  double deviation = std::numeric_limits<double>::quiet_NaN();  ///< with n - 1; NaN for one seed
};
Statistic statistic(std::span<const double> values);

/// "0.951 ± 0.002", "95.1 ± 0.2 %"; without the spread where there is one seed; "-" for none.
std::string format_statistic(const Statistic& value, const FigureInfo& info);

/// The runs of one experiment and scaling, by rising seed.
std::vector<const Run*> runs_of(std::span<const Run> runs, std::string_view experiment,
                                std::string_view scaling);
/// One figure of these runs, a value a seed; those that lack it are left out.
std::vector<double> values_of(std::span<const Run* const> runs, std::string_view figure);

}  // namespace hourglass::article
