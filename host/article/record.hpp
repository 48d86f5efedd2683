// The run as JSON: every figure, without and with the times.
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "host/article/claims.hpp"
#include "host/article/experiments.hpp"
#include "host/article/phases.hpp"
#include "host/article/run.hpp"
#include "hourglass/scaler.hpp"

namespace hourglass::article {

using Json = nlohmann::ordered_json;

/// One run: experiment, scaling, seed, figures, history by epoch. Times are apart (seconds_json).
Json run_json(const Run& run);
Json seconds_json(const Run& run);
/// Seconds over all lanes and on the wall, and the share of the former.
Json phases_json(std::span<const PhaseTime> phases);

/// Mean and deviation of every figure, by experiment and scaling.
Json summary_json(std::span<const Run> runs);
Json claims_json(std::span<const Claim> claims);
Json experiment_json(const Experiment& experiment);
Json range_json(const ScaledRange& range);
/// Name, label and meaning of every figure.
Json figures_json();

}  // namespace hourglass::article
