// The driver of t-SNE: affinities once, then attraction, repulsion and update in turn. Everything
// that an iteration needs stays in device memory; the host waits only at the end of an interval,
// where it reports progress and looks for NaN.
#include "hourglass/tsne.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "host/embed/affinities.hpp"
#include "host/embed/pca_internal.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "kernels/buffer.hpp"
#include "kernels/philox.hpp"

namespace hourglass {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double start_deviation = 1e-4;
// Of a jitter that separates equal points, as a share of the start's deviation.
constexpr double jitter_share = 1e-2;
constexpr double report_seconds = 0.2;
constexpr int longest_interval = 100;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void require(bool holds, const char* option, double value, const char* expected) {
  if (!holds)
    throw UsageError(fmt::format("t-SNE: {} is {}; expected {}", option, value, expected));
}

void check_options(const TsneOptions& options, std::int64_t points) {
  check_perplexity("t-SNE", points, options.perplexity);
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
}

double column_deviation(const Matrix& y, std::int64_t column) {
  double sum = 0;
  for (std::int64_t i = 0; i < y.rows; ++i)
    sum += y(i, column);
  const double mean = sum / static_cast<double>(y.rows);
  double squares = 0;
  for (std::int64_t i = 0; i < y.rows; ++i) {
    const double d = y(i, column) - mean;
    squares += d * d;
  }
  return std::sqrt(squares / static_cast<double>(y.rows));
}

void add_normal(std::span<float> row, std::uint64_t seed, RandomStream stream, std::int64_t i,
                double deviation) {
  const Philox4 random =
      philox4x32(seed, static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(stream), 0);
  float first = 0;
  float second = 0;
  normal_pair(random.v[0], random.v[1], first, second);
  row[0] += static_cast<float>(deviation) * first;
  row[1] += static_cast<float>(deviation) * second;
}

Matrix random_start(std::int64_t points, std::uint64_t seed) {
  Matrix y(points, 2);
  for (std::int64_t i = 0; i < points; ++i)
    add_normal(y.row(i), seed, RandomStream::tsne_start, i, start_deviation);
  return y;
}

Matrix pca_start(Backend& backend, const Matrix& x, std::uint64_t seed) {
  const std::int64_t components = std::min<std::int64_t>({2, x.rows, x.columns});
  if (components == 0) return random_start(x.rows, seed);
  const Matrix scores = transform_by_pca(backend, fit_pca(backend, x, components), x);
  const double deviation = column_deviation(scores, 0);
  if (!(deviation > 0) || !std::isfinite(deviation)) return random_start(x.rows, seed);
  const double factor = start_deviation / deviation;
  Matrix y(x.rows, 2);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t c = 0; c < components; ++c)
      y(i, c) = static_cast<float>(factor * scores(i, c));
    // Equal points would start, and stay, in one place.
    add_normal(y.row(i), seed, RandomStream::tsne_jitter, i, jitter_share * start_deviation);
  }
  return y;
}

/// Moves every row that equals an earlier one by a jitter: no force ever parts points in one place.
/// Says whether there was such a row.
bool part_equal_rows(Matrix& y, std::uint64_t seed) {
  const double deviation = std::max(column_deviation(y, 0), column_deviation(y, 1));
  const double jitter = jitter_share * (deviation > 0 ? deviation : start_deviation);
  std::vector<std::int64_t> order(static_cast<std::size_t>(y.rows));
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](std::int64_t i) { return std::pair(y(i, 0), y(i, 1)); };
  std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return std::pair(key(a), a) < std::pair(key(b), b);
  });
  std::vector<std::int64_t> equal;
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (key(order[i]) == key(order[i - 1])) equal.push_back(order[i]);
  }
  for (const std::int64_t i : equal)
    add_normal(y.row(i), seed, RandomStream::tsne_jitter, i, jitter);
  return !equal.empty();
}

Matrix given_start(const Matrix& given, std::int64_t points, std::uint64_t seed) {
  if (given.rows != points || given.columns != 2) {
    throw InputError(fmt::format("t-SNE: the start is {} x {}; expected {} x 2", given.rows,
                                 given.columns, points));
  }
  for (const float value : given.values) {
    if (!std::isfinite(value))
      throw InputError("t-SNE: the start holds NaN or infinite values; expected finite ones");
  }
  Matrix y = given;
  part_equal_rows(y, seed);
  return y;
}

Matrix make_start(Backend& backend, const Matrix& x, const TsneOptions& options) {
  switch (options.start) {
    case TsneStart::random:
      return random_start(x.rows, options.seed);
    case TsneStart::given:
      return given_start(options.given_start, x.rows, options.seed);
    case TsneStart::pca:
      break;
  }
  return pca_start(backend, x, options.seed);
}

double effective_rate(const TsneOptions& options, std::int64_t points, double exaggeration) {
  if (options.learning_rate > 0) return options.learning_rate;
  return std::max(static_cast<double>(points) / exaggeration, 50.0);
}

RepulsionMethod repulsion_method(const Backend& backend, TsneMethod method, std::int64_t points) {
  if (method == TsneMethod::exact) return RepulsionMethod::exact;
  if (method == TsneMethod::tree) return RepulsionMethod::tree;
  return backend.best_repulsion(points);
}

double span_of(const Matrix& y) {
  double span = 0;
  for (std::int64_t c = 0; c < 2; ++c) {
    float low = y(0, c);
    float high = low;
    for (std::int64_t i = 1; i < y.rows; ++i) {
      low = std::min(low, y(i, c));
      high = std::max(high, y(i, c));
    }
    span = std::max(span, static_cast<double>(high) - low);
  }
  return span;
}

/// sum p log(p / q) with a partition that is known: O(entries of P).
double kl_with_partition(const Affinities& affinities, const Matrix& y, double partition) {
  const std::vector<std::int64_t> offsets = affinities.offsets.download();
  const std::int64_t entries = offsets.back();
  const std::vector<std::int32_t> columns = affinities.columns.download(entries);
  const std::vector<float> values = affinities.values.download(entries);
  double kl = 0;
  for (std::int64_t i = 0; i < y.rows; ++i) {
    double row = 0;
    for (std::int64_t e = offsets[static_cast<std::size_t>(i)];
         e < offsets[static_cast<std::size_t>(i + 1)]; ++e) {
      const double p = values[static_cast<std::size_t>(e)];
      const std::int64_t j = columns[static_cast<std::size_t>(e)];
      const double dx = static_cast<double>(y(i, 0)) - y(j, 0);
      const double dy = static_cast<double>(y(i, 1)) - y(j, 1);
      // log(p / q) with q = 1 / ((1 + d^2) Z)
      if (p > 0) row += p * (std::log(p) + std::log1p(dx * dx + dy * dy) + std::log(partition));
    }
    kl += row;
  }
  return kl;
}

}  // namespace

TsneMethod parse_tsne_method(std::string_view name) {
  if (name == "auto") return TsneMethod::automatic;
  if (name == "exact") return TsneMethod::exact;
  if (name == "tree") return TsneMethod::tree;
  throw UsageError(fmt::format("t-SNE: method \"{}\"; expected auto, exact or tree", name));
}

std::string_view name_of(TsneMethod method) {
  switch (method) {
    case TsneMethod::exact:
      return "exact";
    case TsneMethod::tree:
      return "tree";
    case TsneMethod::automatic:
      break;
  }
  return "auto";
}

TsneResult tsne(Device& device, const Matrix& x, const TsneOptions& options) {
  const Clock::time_point start = Clock::now();
  const std::int64_t n = x.rows;
  check_options(options, n);
  tsne_memory(device.info(), x, options).check(device);
  Backend& backend = device.backend();
  const Range whole(backend, "tsne");
  const Affinities affinities = compute_affinities("t-SNE", backend, x, options.perplexity);

  TsneResult result;
  result.map = make_start(backend, x, options);
  result.neighbours = affinities.neighbours;
  result.neighbours_seconds = affinities.neighbours_seconds;
  result.affinities_seconds = affinities.affinities_seconds;
  result.iterations = options.iterations;
  result.early_learning_rate = effective_rate(options, n, options.early_exaggeration);
  result.learning_rate = effective_rate(options, n, 1.0);

  const RepulsionMethod method = repulsion_method(backend, options.method, n);
  result.method = method == RepulsionMethod::tree ? TsneMethod::tree : TsneMethod::exact;
  const std::unique_ptr<Repulsion> repulsion = backend.make_repulsion(method, n);

  const auto as_float = [](double value) { return static_cast<float>(value); };
  const std::vector<TsneSchedule> phases = {
      {as_float(options.early_exaggeration), as_float(result.early_learning_rate),
       as_float(options.early_momentum), as_float(options.max_step)},
      {1.0f, as_float(result.learning_rate), as_float(options.momentum),
       as_float(options.max_step)}};
  const std::vector<float> ones(static_cast<std::size_t>(2 * n), 1.0f);
  const Buffer<TsneSchedule> schedule(backend, std::span<const TsneSchedule>(phases));
  Buffer<float> map(backend, std::span<const float>(result.map.values));
  Buffer<float> step(backend, 2 * n);
  step.zero();
  Buffer<float> gains(backend, std::span<const float>(ones));
  Buffer<float> attraction(backend, 2 * n);
  Buffer<float> repulsive(backend, 2 * n);
  Buffer<double> partition(backend, 1);
  const Mat y = map.matrix(n, 2);

  std::optional<Range> optimise(std::in_place, backend, "optimise");
  const Clock::time_point optimisation = Clock::now();
  const int early = std::min(options.exaggeration_iterations, options.iterations);
  int interval = 10;
  for (int done = 0; done < options.iterations;) {
    const Clock::time_point interval_start = Clock::now();
    const bool exaggerated = done < early;
    const int until = std::min(done + interval, exaggerated ? early : options.iterations);
    const int count = until - done;
    for (; done < until; ++done) {
      const Range iteration(backend, "iteration");
      backend.tsne_attraction(affinities.view(), y, attraction.matrix(n, 2));
      repulsion->evaluate(y, repulsive.matrix(n, 2), partition.data());
      backend.tsne_update(attraction.matrix(n, 2), repulsive.matrix(n, 2), partition.data(),
                          schedule.data() + (exaggerated ? 0 : 1), y, step.matrix(n, 2),
                          gains.matrix(n, 2));
    }
    result.map.values = map.download();
    if (!std::all_of(result.map.values.begin(), result.map.values.end(),
                     [](float value) { return std::isfinite(value); })) {
      throw NumericsError(fmt::format(
          "t-SNE: the map stopped being finite in iterations {} to {}; a smaller learning rate "
          "than {:g} may help",
          done - count + 1, done, exaggerated ? result.early_learning_rate : result.learning_rate));
    }
    // Exaggeration draws points of equal neighbourhoods together until float32 cannot tell them
    // apart; the second phase is to part them again.
    if (exaggerated && done == early && part_equal_rows(result.map, options.seed))
      map.upload(result.map.values);
    const double seconds = seconds_since(interval_start);
    interval = std::clamp(static_cast<int>(count * report_seconds / std::max(seconds, 1e-6)), 1,
                          longest_interval);
    if (options.progress &&
        !options.progress({done, options.iterations, seconds_since(optimisation)})) {
      throw Interrupted(
          fmt::format("t-SNE: interrupted after {} of {} iterations", done, options.iterations));
    }
  }
  result.optimisation_seconds = seconds_since(optimisation);
  optimise.reset();

  const Range divergence(backend, "kl divergence");
  result.span = span_of(result.map);
  result.exact_partition = n <= most_points_of_exact_kl;
  if (result.exact_partition) {
    Buffer<double> kl(backend, 1);
    backend.tsne_kl(affinities.view(), y, kl.data());
    result.kl_divergence = kl.download().front();
  } else {
    repulsion->evaluate(y, repulsive.matrix(n, 2), partition.data());
    result.kl_divergence = kl_with_partition(affinities, result.map, partition.download().front());
  }
  result.total_seconds = seconds_since(start);
  return result;
}

}  // namespace hourglass
