#include "bench/tsne.hpp"

#include <cmath>

#include "kernels/fft_grid.hpp"

namespace hourglass::bench {
namespace {

constexpr float codes_spread = 2.0f;
constexpr float map_spread = 4.0f;
constexpr float map_cloud = 10.0f;  // half the width of a cloud

}  // namespace

Neighbours::Neighbours(Backend& backend, std::int64_t point_count)
    : points(point_count),
      codes(backend, std::span<const float>(clouds({points, units}, codes_spread))),
      index(backend, points * k),
      squared_distance(backend, points * k) {
  const ConstMat x = std::as_const(codes).matrix(points, units);
  backend.nearest_neighbours(x, x, true, index.matrix(points, k),
                             squared_distance.matrix(points, k));
}

Affinities::Affinities(Backend& backend, std::int64_t point_count)
    : points(point_count),
      offsets(backend, points + 1),
      columns(backend, 2 * points * Neighbours::k),
      probabilities(backend, 2 * points * Neighbours::k),
      map(map_buffer(backend, points)) {
  constexpr std::int64_t k = Neighbours::k;
  const Neighbours neighbours(backend, points);
  Buffer<float> conditional(backend, points * k), precision(backend, points);
  backend.perplexity_search(neighbours.distances(), Neighbours::perplexity,
                            conditional.matrix(points, k), precision.span());
  backend.symmetrise(
      neighbours.index.matrix(points, k), std::as_const(conditional).matrix(points, k),
      {offsets.data(), columns.data(), probabilities.data(), points, columns.size()});
  backend.download(&entries, offsets.data() + points, sizeof entries);
}

Buffer<float> map_buffer(Backend& backend, std::int64_t points, std::int64_t dimensions) {
  std::vector<float> y = clouds({points, dimensions}, map_spread);
  for (float& coordinate : y)
    coordinate *= map_cloud;
  return {backend, std::span<const float>(y)};
}

MapBounds map_bounds(std::int64_t dimensions) {
  MapBounds bounds;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(dimensions); ++axis) {
    bounds.high[axis] = map_cloud * (map_spread + 1.0f);
    bounds.low[axis] = -bounds.high[axis];
  }
  return bounds;
}

Buffer<TsneSchedule> still_schedule(Backend& backend) {
  TsneSchedule schedule;
  schedule.learning_rate = 0.0f;
  schedule.momentum = 0.0f;
  return {backend, std::span<const TsneSchedule>(&schedule, 1)};
}

const char* name_of(RepulsionMethod method) {
  switch (method) {
    case RepulsionMethod::exact:
      return "exact";
    case RepulsionMethod::tree:
      return "tree";
    case RepulsionMethod::fft:
      break;
  }
  return "fft";
}

Cost step_cost(double entries, std::int64_t points, std::int64_t dimensions) {
  const auto n = static_cast<double>(points), d = static_cast<double>(dimensions);
  return {.bytes = 8.0 * entries + (8.0 + 28.0 * d) * n,
          .flops = (5.0 * d + 3.0) * entries + 20.0 * d * n};
}

Cost repulsion_cost(RepulsionMethod method, std::int64_t points, std::int64_t dimensions) {
  const auto n = static_cast<double>(points), d = static_cast<double>(dimensions);
  Cost cost{.bytes = 8.0 * d * n};
  if (method == RepulsionMethod::exact) cost.flops = (5.0 * d + 3.0) * n * (n - 1.0);
  if (method == RepulsionMethod::fft) {
    const auto nodes = static_cast<double>(FftGrid::around(map_bounds()).nodes);
    cost.flops = 11.25 * nodes * nodes * std::log2(nodes) + 150.0 * n;
  }
  return cost;
}

Cost operator+(const Cost& a, const Cost& b) {
  return {.bytes = a.bytes + b.bytes,
          .flops = a.flops + b.flops,
          .rate = a.rate,
          .working_set = a.working_set + b.working_set};
}

}  // namespace hourglass::bench
