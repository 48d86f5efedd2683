// The pictures of the report: what is drawn from which run, and under which name it is kept.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/article/experiment_run.hpp"
#include "host/report/figure.hpp"

namespace hourglass::article {

struct Picture {
  std::string name;        ///< of its files in figures/, without the extension: "simple-unit-map"
  std::string experiment;  ///< whose section it belongs to; empty: an overview
  std::string scaling;     ///< empty: of both
  std::string alt;         ///< what it shows, for whoever does not see it
  std::string caption;     ///< markup of the report
  enum class Width { half, page } width = Width::half;  ///< of its place in the report
  std::shared_ptr<const report::RenderedFigure> image;
};

/// Those of one run: its map or plane, reconstructions, filters and activations.
std::vector<Picture> pictures_of(const Experiment& experiment, const ExperimentRun& result,
                                 const Dataset& test);

/// The loss by epoch over the seeds of one experiment and scaling.
Picture loss_picture(const Experiment& experiment, std::span<const Run* const> runs);

/// Pictures that hold experiments against each other: planes and maps side by side, figures as
/// bars. `first_runs` are those of the first seed.
std::vector<Picture> overview_pictures(std::span<const Run> runs,
                                       std::span<const Run* const> first_runs, const Dataset& test);

}  // namespace hourglass::article
