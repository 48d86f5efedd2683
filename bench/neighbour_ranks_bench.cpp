// neighbour_ranks: a distance for each ordered pair of points, 3 D FLOPs; 12 neighbours, as for
// trustworthiness.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, Shape shape) {
  device.add("neighbour_ranks", shape.name(), [shape](Backend& backend, Timer& timer) {
    constexpr std::int64_t k = 12;
    Buffer<float> x(backend, std::span<const float>(clouds(shape, 2.0f)));
    Buffer<std::int32_t> neighbours(backend, shape.rows * k), rank(backend, shape.rows * k);
    Buffer<float> squared_distance(backend, shape.rows * k);
    const ConstMat points = std::as_const(x).matrix(shape.rows, shape.columns);
    // Neighbours in a map of the same clouds: near in the data, though not the nearest.
    Buffer<float> plane(backend, std::span<const float>(clouds({shape.rows, 2}, 2.0f)));
    const ConstMat map = std::as_const(plane).matrix(shape.rows, 2);
    backend.nearest_neighbours(map, map, true, neighbours.matrix(shape.rows, k),
                               squared_distance.matrix(shape.rows, k));
    const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.columns);
    timer.run({.bytes = 4.0 * n * d + 8.0 * n * k, .flops = 3.0 * d * n * n}, [&] {
      backend.neighbour_ranks(points, std::as_const(neighbours).matrix(shape.rows, k),
                              rank.matrix(shape.rows, k));
    });
  });
}

const Registration neighbour_ranks([](const Device& device) {
  add(device, {10000, 32});
  if (device.large()) {
    add(device, {10000, 784});
    add(device, {70000, 32});
  }
});

}  // namespace
}  // namespace hourglass::bench
