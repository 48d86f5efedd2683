// A whole iteration of t-SNE, recorded as the driver records it: repulsion by the method that is
// the fastest here, and the step. With the learning rate 0 the map stays, so that every iteration
// is the same work.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, std::int64_t points) {
  device.add_whole(
      "tsne_iteration", std::to_string(points), [points](Backend& backend, Timer& timer) {
        const Affinities affinities(backend, points);
        const Buffer<float> y = map_buffer(backend, points);
        Buffer<float> next(backend, 2 * points), repulsive(backend, 2 * points);
        Buffer<float> step(backend, 2 * points),
            gains = random_buffer(backend, 2 * points, 0.0f, 2.0f);
        step.zero();
        Buffer<double> partition(backend, 1);
        const Buffer<TsneSchedule> schedule = still_schedule(backend);
        const MapBounds bounds = map_bounds();
        const RepulsionMethod method =
            backend.best_repulsion(points, 2, static_cast<double>(bounds.span()));
        const auto repulsion = backend.make_repulsion(method, points, 2);
        repulsion->prepare(bounds);
        const ConstMat map = y.matrix(points, 2);
        const auto iteration = [&] {
          repulsion->evaluate(map, repulsive.matrix(points, 2), partition.data());
          backend.tsne_step(affinities.view(), map, repulsive.matrix(points, 2), partition.data(),
                            schedule.data(), map, next.matrix(points, 2), step.matrix(points, 2),
                            gains.matrix(points, 2));
        };
        iteration();
        const auto sequence = backend.record(iteration);
        timer.run(repulsion_cost(method, points) +
                      step_cost(static_cast<double>(affinities.entries), points),
                  [&] {
                    const Range range(backend, "iteration");
                    sequence->run(1);
                  });
      });
}

const Registration tsne_iteration([](const Device& device) {
  for (const std::int64_t points : {1000, 10000})
    add(device, points);
  if (device.large()) add(device, 70000);
});

}  // namespace
}  // namespace hourglass::bench
