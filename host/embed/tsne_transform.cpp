// New points in a t-SNE map that stands still.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <vector>

#include "host/embed/affinities.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/tsne.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* who = "t-SNE transform";

void check(const Matrix& reference, const Matrix& map, const Matrix& x,
           const TsneTransformOptions& options) {
  if (map.rows != reference.rows || (map.columns != 2 && map.columns != 3)) {
    throw InputError(fmt::format("{}: the map is {} x {}; expected {} x 2 or 3", who, map.rows,
                                 map.columns, reference.rows));
  }
  if (x.columns != reference.columns) {
    throw InputError(fmt::format("{}: the new points have {} columns; expected {}, as the map's",
                                 who, x.columns, reference.columns));
  }
  const double largest = std::max(1.0, static_cast<double>(reference.rows) / 3.0);
  if (!(options.perplexity >= 1.0) || !(options.perplexity <= largest)) {
    throw UsageError(fmt::format("{}: perplexity {}; among {} points expected 1 to {:g}", who,
                                 options.perplexity, reference.rows, std::floor(largest)));
  }
  if (options.iterations < 0 || !(options.learning_rate > 0) ||
      !std::isfinite(options.learning_rate) || !(options.momentum >= 0) ||
      !(options.momentum < 1)) {
    throw UsageError(
        fmt::format("{}: {} iterations, learning rate {}, momentum {}; expected 0 or "
                    "more, above 0, and 0 or more below 1",
                    who, options.iterations, options.learning_rate, options.momentum));
  }
  for (const Matrix* m : {&reference, &map, &x}) {
    for (std::size_t i = 0; i < m->values.size(); ++i) {
      if (std::isfinite(m->values[i])) continue;
      const auto place = static_cast<std::int64_t>(i);
      throw InputError(fmt::format("{}: row {}, column {} of the {} is {}; expected finite values",
                                   who, place / m->columns, place % m->columns,
                                   m == &x ? "new points" : (m == &map ? "map" : "map's data"),
                                   m->values[i]));
    }
  }
}

}  // namespace

Matrix tsne_transform(Device& device, const Matrix& reference, const Matrix& map, const Matrix& x,
                      const TsneTransformOptions& options) {
  check(reference, map, x, options);
  tsne_transform_memory(device.info(), {reference.rows, reference.columns}, x.rows, map.columns,
                        options.perplexity)
      .check(device);
  Backend& backend = device.backend();
  const Range whole(backend, "tsne transform");
  const std::int64_t n = reference.rows, m = x.rows, dims = map.columns;
  Matrix result(m, dims);
  if (m == 0) return result;
  const std::int64_t k =
      std::min(n, std::max<std::int64_t>(1, static_cast<std::int64_t>(3.0 * options.perplexity)));

  // p_j|i over the k nearest reference points: each row sums to 1.
  Buffer<std::int32_t> index(backend, m * k);
  Buffer<float> conditional(backend, m * k);
  {
    const Buffer<float> old_points(backend, std::span<const float>(reference.values));
    const Buffer<float> new_points(backend, std::span<const float>(x.values));
    Buffer<float> distance(backend, m * k);
    Buffer<float> precision(backend, m);
    backend.nearest_neighbours(new_points.matrix(m, x.columns),
                               old_points.matrix(n, reference.columns), false, index.matrix(m, k),
                               distance.matrix(m, k));
    backend.perplexity_search(distance.matrix(m, k), static_cast<float>(options.perplexity),
                              conditional.matrix(m, k), precision.span());
    backend.synchronize();
  }

  const std::vector<std::int32_t> neighbours = index.download();
  const std::vector<float> weights = conditional.download();
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t c = 0; c < dims; ++c) {
      double place = 0;
      for (std::int64_t a = i * k; a < (i + 1) * k; ++a) {
        const auto at = static_cast<std::size_t>(a);
        place += static_cast<double>(weights[at]) * map(neighbours[at], c);
      }
      result(i, c) = static_cast<float>(place);
    }
  }

  std::vector<std::int64_t> rows(static_cast<std::size_t>(m + 1));
  for (std::int64_t i = 0; i <= m; ++i)
    rows[static_cast<std::size_t>(i)] = i * k;
  const Buffer<std::int64_t> offsets(backend, std::span<const std::int64_t>(rows));
  const Buffer<float> sources(backend, std::span<const float>(map.values));
  Buffer<float> maps[2] = {Buffer<float>(backend, std::span<const float>(result.values)),
                           Buffer<float>(backend, m * dims)};
  Buffer<float> step(backend, m * dims), field(backend, m * dims);
  Buffer<float> gains(backend,
                      std::span<const float>(std::vector<float>(result.values.size(), 1.0f)));
  step.zero();
  TsneSchedule schedule;
  schedule.exaggeration = 1.0f;
  schedule.learning_rate = static_cast<float>(options.learning_rate);
  schedule.momentum = static_cast<float>(options.momentum);
  schedule.recentre = false;
  const Buffer<TsneSchedule> device_schedule(backend, std::span<const TsneSchedule>(&schedule, 1));
  const double one = 1.0;  // the field is over each point's own partition already
  const Buffer<double> partition(backend, std::span<const double>(&one, 1));
  const ConstCsrView affinities{offsets.data(), index.data(), conditional.data(), m, m * k};

  const Clock::time_point start = Clock::now();
  for (int i = 0; i < options.iterations; ++i) {
    const ConstMat y = maps[i % 2].matrix(m, dims);
    backend.tsne_field(y, sources.matrix(n, dims), field.matrix(m, dims));
    backend.tsne_step(affinities, sources.matrix(n, dims), field.matrix(m, dims), partition.data(),
                      device_schedule.data(), y, maps[1 - i % 2].matrix(m, dims),
                      step.matrix(m, dims), gains.matrix(m, dims));
    if (!options.progress) continue;
    backend.synchronize();
    TsneProgress progress;
    progress.iteration = i + 1;
    progress.iterations = options.iterations;
    progress.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (!options.progress(progress)) {
      throw Interrupted(
          fmt::format("{}: interrupted after {} of {} iterations", who, i + 1, options.iterations));
    }
  }
  result.values = maps[options.iterations % 2].download();
  for (const float value : result.values) {
    if (!std::isfinite(value)) {
      throw NumericsError(
          fmt::format("{}: the places stopped being finite; a smaller learning "
                      "rate than {:g} may help",
                      who, options.learning_rate));
    }
  }
  return result;
}

}  // namespace hourglass
