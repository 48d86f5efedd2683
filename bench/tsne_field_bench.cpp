// tsne_field: 13 FLOPs a pair of a new point and one of the map (18 in three dimensions), a
// reciprocal among them.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, std::int64_t targets, std::int64_t sources,
         std::int64_t dimensions) {
  device.add(
      "tsne_field", fmt::format("{}x{}x{}", targets, sources, dimensions),
      [=](Backend& backend, Timer& timer) {
        const Buffer<float> map = map_buffer(backend, sources, dimensions);
        const Buffer<float> points = random_buffer(backend, targets * dimensions, -50.0f, 50.0f);
        Buffer<float> force(backend, targets * dimensions);
        const auto t = static_cast<double>(targets), s = static_cast<double>(sources),
                   d = static_cast<double>(dimensions);
        timer.run({.bytes = 4.0 * d * (2.0 * t + s), .flops = (5.0 * d + 3.0) * t * s}, [&] {
          backend.tsne_field(points.matrix(targets, dimensions), map.matrix(sources, dimensions),
                             force.matrix(targets, dimensions));
        });
      });
}

const Registration tsne_field([](const Device& device) {
  add(device, 1000, 10000, 2);
  add(device, 1000, 10000, 3);
  if (device.large()) add(device, 10000, 70000, 2);
});

}  // namespace
}  // namespace hourglass::bench
