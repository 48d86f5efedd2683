// nearest_neighbours: 2 Q R D FLOPs of products and 3 Q R of selection; k = 90 for t-SNE at
// perplexity 30, k = 1 for the accuracy of a nearest neighbour. The CPU multiplies each pair of
// rows once and so does half of the FLOPs that are counted: its share of the ceiling may be
// above 1.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, Shape shape, std::int64_t k) {
  device.add(
      "nearest_neighbours", fmt::format("{}/k{}", shape.name(), k),
      [shape, k](Backend& backend, Timer& timer) {
        Buffer<float> x(backend, std::span<const float>(clouds(shape, 2.0f)));
        Buffer<std::int32_t> index(backend, shape.rows * k);
        Buffer<float> squared_distance(backend, shape.rows * k);
        const ConstMat points = std::as_const(x).matrix(shape.rows, shape.columns);
        const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.columns);
        timer.run({.bytes = 4.0 * n * d + 8.0 * n * static_cast<double>(k),
                   .flops = (2.0 * d + 3.0) * n * n,
                   .rate = Rate::gemm},
                  [&] {
                    backend.nearest_neighbours(points, points, true, index.matrix(shape.rows, k),
                                               squared_distance.matrix(shape.rows, k));
                  });
      });
}

const Registration nearest_neighbours([](const Device& device) {
  add(device, {10000, 2}, 1);
  add(device, {10000, 32}, 90);
  if (device.large()) {
    add(device, {70000, 50}, 90);
    add(device, {70000, 784}, 90);
  }
});

}  // namespace
}  // namespace hourglass::bench
