// A whole iteration of t-SNE: attraction, repulsion by the method that is the fastest here, update.
// With the learning rate 0 the map stays, so that every iteration is the same work.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, std::int64_t points) {
  device.add_whole(
      "tsne_iteration", std::to_string(points), [points](Backend& backend, Timer& timer) {
        const Affinities affinities(backend, points);
        Buffer<float> y = map_buffer(backend, points);
        Buffer<float> attraction(backend, 2 * points), repulsive(backend, 2 * points);
        Buffer<float> step(backend, 2 * points),
            gains = random_buffer(backend, 2 * points, 0.0f, 2.0f);
        step.zero();
        Buffer<double> partition(backend, 1);
        const Buffer<TsneSchedule> schedule = still_schedule(backend);
        const RepulsionMethod method = backend.best_repulsion(points);
        const auto repulsion = backend.make_repulsion(method, points);
        const Mat map = y.matrix(points, 2);
        timer.run(
            attraction_cost(affinities) + repulsion_cost(method, points) + update_cost(points),
            [&] {
              const Range range(backend, "iteration");
              backend.tsne_attraction(affinities.view(), map, attraction.matrix(points, 2));
              repulsion->evaluate(map, repulsive.matrix(points, 2), partition.data());
              backend.tsne_update(attraction.matrix(points, 2), repulsive.matrix(points, 2),
                                  partition.data(), schedule.data(), map, step.matrix(points, 2),
                                  gains.matrix(points, 2));
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
