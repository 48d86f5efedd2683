// tsne_repulsion: exact, 13 FLOPs an ordered pair (18 in three dimensions), a reciprocal among them
// (a backend that computes a pair once for both its points does half of that); fft, 11.25 n^2 log2
// n of the transforms of n x n nodes, the padding's rows left out, and 150 a point; tree, work that
// depends on the map: its cost is not counted but for the points themselves.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, RepulsionMethod method, std::int64_t points,
         std::int64_t dimensions) {
  device.add("tsne_repulsion", fmt::format("{}/{}x{}", name_of(method), points, dimensions),
             [=](Backend& backend, Timer& timer) {
               const Buffer<float> y = map_buffer(backend, points, dimensions);
               Buffer<float> force(backend, points * dimensions);
               Buffer<double> partition(backend, 1);
               const auto repulsion = backend.make_repulsion(method, points, dimensions);
               repulsion->prepare(map_bounds(dimensions));
               timer.run(repulsion_cost(method, points, dimensions), [&] {
                 repulsion->evaluate(y.matrix(points, dimensions), force.matrix(points, dimensions),
                                     partition.data());
               });
             });
}

const Registration tsne_repulsion([](const Device& device) {
  for (const std::int64_t points : {1000, 10000})
    add(device, RepulsionMethod::exact, points, 2);
  add(device, RepulsionMethod::exact, 10000, 3);
  if (device.large()) add(device, RepulsionMethod::exact, 70000, 2);
  for (const std::int64_t points : {1000, 10000, 70000})
    add(device, RepulsionMethod::fft, points, 2);
  if (device.large()) add(device, RepulsionMethod::fft, 1000000, 2);
  if (device.backend().info().tree) {
    for (const std::int64_t points : {1000, 10000, 70000})
      add(device, RepulsionMethod::tree, points, 2);
    add(device, RepulsionMethod::tree, 10000, 3);
  }
});

}  // namespace
}  // namespace hourglass::bench
