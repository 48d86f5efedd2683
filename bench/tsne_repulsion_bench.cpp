// tsne_repulsion: exact, 13 FLOPs an ordered pair, a reciprocal among them (a backend that computes
// a pair once for both its points does half of that); tree, work that depends on the map: its cost
// is not counted but for the points themselves.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, RepulsionMethod method, std::int64_t points) {
  const bool exact = method == RepulsionMethod::exact;
  device.add("tsne_repulsion", fmt::format("{}/{}", exact ? "exact" : "tree", points),
             [=](Backend& backend, Timer& timer) {
               const Buffer<float> y = map_buffer(backend, points);
               Buffer<float> force(backend, 2 * points);
               Buffer<double> partition(backend, 1);
               const auto repulsion = backend.make_repulsion(method, points);
               timer.run(repulsion_cost(method, points), [&] {
                 repulsion->evaluate(y.matrix(points, 2), force.matrix(points, 2),
                                     partition.data());
               });
             });
}

const Registration tsne_repulsion([](const Device& device) {
  for (const std::int64_t points : {1000, 10000})
    add(device, RepulsionMethod::exact, points);
  if (device.large()) add(device, RepulsionMethod::exact, 70000);
  // A backend that has a tree takes it for many points.
  if (device.backend().best_repulsion(1'000'000) == RepulsionMethod::tree) {
    for (const std::int64_t points : {1000, 10000, 70000})
      add(device, RepulsionMethod::tree, points);
  }
});

}  // namespace
}  // namespace hourglass::bench
