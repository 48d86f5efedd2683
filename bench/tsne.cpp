#include "bench/tsne.hpp"

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

Buffer<float> map_buffer(Backend& backend, std::int64_t points) {
  std::vector<float> y = clouds({points, 2}, map_spread);
  for (float& coordinate : y)
    coordinate *= map_cloud;
  return {backend, std::span<const float>(y)};
}

Buffer<TsneSchedule> still_schedule(Backend& backend) {
  TsneSchedule schedule;
  schedule.learning_rate = 0.0f;
  schedule.momentum = 0.0f;
  return {backend, std::span<const TsneSchedule>(&schedule, 1)};
}

Cost attraction_cost(const Affinities& affinities) {
  const auto entries = static_cast<double>(affinities.entries);
  return {.bytes = 8.0 * entries + 24.0 * static_cast<double>(affinities.points),
          .flops = 13.0 * entries};
}

Cost repulsion_cost(RepulsionMethod method, std::int64_t points) {
  const auto n = static_cast<double>(points);
  return {.bytes = 16.0 * n,
          .flops = method == RepulsionMethod::exact ? 13.0 * n * (n - 1.0) : 0.0};
}

Cost update_cost(std::int64_t points) {
  const auto n = static_cast<double>(points);
  return {.bytes = 64.0 * n, .flops = 40.0 * n};
}

Cost operator+(const Cost& a, const Cost& b) {
  return {.bytes = a.bytes + b.bytes,
          .flops = a.flops + b.flops,
          .rate = a.rate,
          .working_set = a.working_set + b.working_set};
}

}  // namespace hourglass::bench
