// tsne_step: 8 bytes and 13 FLOPs (18 in three dimensions) an entry of P; 64 (92) bytes and some 40
// (60) FLOPs a point.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, std::int64_t points, std::int64_t dimensions) {
  device.add(
      "tsne_step", fmt::format("{}x{}", points, dimensions), [=](Backend& backend, Timer& timer) {
        const Affinities affinities(backend, points);
        const std::int64_t size = points * dimensions;
        const Buffer<float> y = map_buffer(backend, points, dimensions);
        const Buffer<float> repulsion = random_buffer(backend, size);
        Buffer<float> next(backend, size), step(backend, size),
            gains = random_buffer(backend, size, 0.0f, 2.0f);
        step.zero();
        const Buffer<double> partition(backend, std::vector<double>{1.0});
        const Buffer<TsneSchedule> schedule = still_schedule(backend);
        timer.run(step_cost(static_cast<double>(affinities.entries), points, dimensions), [&] {
          backend.tsne_step(affinities.view(), y.matrix(points, dimensions),
                            repulsion.matrix(points, dimensions), partition.data(), schedule.data(),
                            y.matrix(points, dimensions), next.matrix(points, dimensions),
                            step.matrix(points, dimensions), gains.matrix(points, dimensions));
        });
      });
}

const Registration tsne_step([](const Device& device) {
  for (const std::int64_t points : {10000, device.large() ? 70000 : 20000})
    add(device, points, 2);
  add(device, 10000, 3);
});

}  // namespace
}  // namespace hourglass::bench
