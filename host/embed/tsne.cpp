// t-SNE as its callers see it: options, the affinities once, the optimisation, the figures of
// truth.
#include "hourglass/tsne.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "host/embed/affinities.hpp"
#include "host/embed/affinity_file.hpp"
#include "host/embed/tsne_optimiser.hpp"
#include "host/embed/tsne_start.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"

namespace hourglass {
namespace {

using Clock = std::chrono::steady_clock;

/// Points at which the forces of the end are compared with those of every pair.
constexpr std::int64_t most_force_samples = 300;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void require(bool holds, const char* option, double value, const char* expected) {
  if (!holds)
    throw UsageError(fmt::format("t-SNE: {} is {}; expected {}", option, value, expected));
}

std::vector<double> perplexities_of(const TsneOptions& options) {
  if (!options.perplexities.empty()) return options.perplexities;
  return {options.perplexity};
}

void check_options(const TsneOptions& options, std::int64_t points) {
  // Affinities that are loaded have their own.
  for (const double perplexity : perplexities_of(options)) {
    if (options.load_affinities.empty()) check_perplexity("t-SNE", points, perplexity);
  }
  require(options.dimensions == 2 || options.dimensions == 3, "dimensions", options.dimensions,
          "2 or 3");
  if (options.method == TsneMethod::fft && options.dimensions != 2)
    throw UsageError("t-SNE: method fft makes maps of 2 dimensions; expected exact or tree for 3");
  require(options.iterations >= 0, "iterations", options.iterations, "0 or more");
  require(options.exaggeration_iterations >= 0, "exaggeration iterations",
          options.exaggeration_iterations, "0 or more");
  require(options.early_exaggeration > 0 && std::isfinite(options.early_exaggeration),
          "early exaggeration", options.early_exaggeration, "a number above 0");
  require(options.early_momentum >= 0 && options.early_momentum < 1, "early momentum",
          options.early_momentum, "0 or more, below 1");
  require(options.momentum >= 0 && options.momentum < 1, "momentum", options.momentum,
          "0 or more, below 1");
  require(options.learning_rate >= 0 && std::isfinite(options.learning_rate), "learning rate",
          options.learning_rate, "a number above 0, or 0 for auto");
  require(options.max_step > 0, "longest step", options.max_step, "above 0");
  require(options.stop_below >= 0 && options.stop_below < 1, "stop below", options.stop_below,
          "0 or more, below 1");
  require(options.snapshot_every > 0 && options.snapshot_every % tsne_interval == 0,
          "snapshot every", options.snapshot_every, "a multiple of 50");
}

Affinities make_affinities(Backend& backend, const Matrix& x, const TsneOptions& options) {
  const char* who = "t-SNE";
  if (!options.load_affinities.empty()) {
    Affinities loaded = load_affinities(options.load_affinities, backend);
    if (loaded.rows != x.rows) {
      throw InputError(fmt::format("{}: affinities of {} points; the data have {}",
                                   options.load_affinities, loaded.rows, x.rows));
    }
    return loaded;
  }
  const std::vector<double> perplexities = perplexities_of(options);
  const double largest = *std::max_element(perplexities.begin(), perplexities.end());
  const std::int64_t k = affinity_neighbours(x.rows, largest);
  NeighbourOptions search = options.neighbours;
  search.seed = options.seed;
  if (options.given_neighbours && options.given_neighbours->rows != x.rows) {
    throw InputError(fmt::format("t-SNE: neighbours of {} points; the data have {}",
                                 options.given_neighbours->rows, x.rows));
  }
  Neighbours neighbours = options.given_neighbours
                              ? given_neighbours(who, backend, *options.given_neighbours, k)
                              : find_neighbours(who, backend, x, k, search);
  return affinities_from_neighbours(who, backend, std::move(neighbours), perplexities);
}

/// A state that a run of these options can go on from.
void check_state(const TsneState& state, const TsneOptions& options, std::int64_t points) {
  const auto fits = [&](const Matrix& m) {
    return m.rows == points && m.columns == options.dimensions;
  };
  if (!fits(state.map) || !fits(state.step) || !fits(state.gains)) {
    throw InputError(fmt::format("t-SNE: the state is of {} x {}; expected {} x {}", state.map.rows,
                                 state.map.columns, points, options.dimensions));
  }
  for (const Matrix* m : {&state.map, &state.step, &state.gains}) {
    for (const float value : m->values) {
      if (!std::isfinite(value))
        throw InputError("t-SNE: the state holds NaN or infinite values; expected finite ones");
    }
  }
  std::vector<bool> seen(static_cast<std::size_t>(points), false);
  for (const std::int32_t i : state.order) {
    if (i < 0 || i >= points || seen[static_cast<std::size_t>(i)]) {
      throw InputError(fmt::format("t-SNE: the state's order holds {} twice or out of range", i));
    }
    seen[static_cast<std::size_t>(i)] = true;
  }
  if (static_cast<std::int64_t>(state.order.size()) != points) {
    throw InputError(fmt::format("t-SNE: the state's order has {} points; expected {}",
                                 state.order.size(), points));
  }
  const bool at_interval =
      state.iteration % tsne_interval == 0 || state.iteration == options.exaggeration_iterations;
  if (state.iteration < 0 || state.iteration > options.iterations ||
      (!at_interval && state.iteration < options.iterations)) {
    throw InputError(
        fmt::format("t-SNE: the state is of iteration {}; expected a multiple of {} up "
                    "to {}",
                    state.iteration, tsne_interval, options.iterations));
  }
}

}  // namespace

TsneMethod parse_tsne_method(std::string_view name) {
  for (const TsneMethod method :
       {TsneMethod::automatic, TsneMethod::exact, TsneMethod::tree, TsneMethod::fft}) {
    if (name == name_of(method)) return method;
  }
  throw UsageError(fmt::format("t-SNE: method \"{}\"; expected auto, exact, tree or fft", name));
}

std::string_view name_of(TsneMethod method) {
  switch (method) {
    case TsneMethod::exact:
      return "exact";
    case TsneMethod::tree:
      return "tree";
    case TsneMethod::fft:
      return "fft";
    case TsneMethod::automatic:
      break;
  }
  return "auto";
}

TsneResult tsne(Device& device, const Matrix& x, const TsneOptions& options) {
  const Clock::time_point start = Clock::now();
  const std::int64_t n = x.rows;
  check_options(options, n);
  if (options.resume) check_state(*options.resume, options, n);
  tsne_memory(device.info(), x, options).check(device);
  Backend& backend = device.backend();
  const Range whole(backend, "tsne");
  Affinities affinities = make_affinities(backend, x, options);
  if (!options.save_affinities.empty()) save_affinities(options.save_affinities, affinities);

  TsneResult result;
  result.neighbours = affinities.neighbours;
  result.neighbour_method = affinities.method;
  result.recall = affinities.recall;
  result.neighbours_seconds = affinities.neighbours_seconds;
  result.affinities_seconds = affinities.affinities_seconds;
  result.early_learning_rate = effective_learning_rate(options, n, options.early_exaggeration);
  result.learning_rate = effective_learning_rate(options, n, 1.0);

  const Clock::time_point optimisation = Clock::now();
  Matrix first_map = options.resume ? Matrix() : make_tsne_start(backend, x, options);
  TsneOptimiser optimiser(backend, std::move(affinities), std::move(first_map), options);
  {
    const Range optimise(backend, "optimise");
    optimiser.run(result);
  }
  result.optimisation_seconds = seconds_since(optimisation);

  const Range divergence(backend, "kl divergence");
  result.exact_partition = n <= most_points_of_exact_kl;
  result.kl_divergence = optimiser.kl_divergence(result.exact_partition);
  result.force_sample = std::min(n, most_force_samples);
  result.force_error = optimiser.force_error(result.force_sample);
  result.total_seconds = seconds_since(start);
  return result;
}

}  // namespace hourglass
