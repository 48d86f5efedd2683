// The report's page and the tables that the command prints, from what the run found.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/article/claims.hpp"
#include "host/article/phases.hpp"
#include "host/article/pictures.hpp"
#include "host/report/html.hpp"
#include "hourglass/article.hpp"

namespace hourglass::article {

/// What a scaling does to the values.
struct ScalingEffect {
  ScaledRange train;
  ScaledRange test;
};

struct Findings {
  std::int64_t inputs = 0;  ///< pixels of a digit
  std::vector<Experiment> experiments;
  std::vector<Run> runs;
  std::vector<Claim> claims;
  std::map<std::string, ScalingEffect> scalings;  ///< by name
  std::vector<Picture> pictures;
  std::vector<PhaseTime> phases;
  int lanes = 1;             ///< on which runs went on side by side
  double total_seconds = 0;  ///< of the clock on the wall
};

/// What the phases took on all lanes together, by the clock on the wall: on average so many lanes
/// were at work.
double overlap(const Findings& findings);

report::Report make_page(const Findings& findings, const ArticleOptions& options,
                         const DeviceInfo& device);

/// Key figures by experiment and scaling, then the claims.
std::vector<ArticleTable> make_tables(const Findings& findings);

/// The seeds of a run in words: "seed 0", "seeds 0 to 2".
std::string seeds_text(const ArticleOptions& options);

}  // namespace hourglass::article
