// tsne_update: reads 40 bytes a point and writes 24; about 40 FLOPs.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

const Registration tsne_update([](const Device& device) {
  for (const std::int64_t points : {10000, device.large() ? 4194304 : 1048576}) {
    device.add("tsne_update", std::to_string(points), [points](Backend& backend, Timer& timer) {
      Buffer<float> attraction = random_buffer(backend, 2 * points);
      Buffer<float> repulsion = random_buffer(backend, 2 * points);
      Buffer<float> y = random_buffer(backend, 2 * points);
      Buffer<float> step(backend, 2 * points),
          gains = random_buffer(backend, 2 * points, 0.0f, 2.0f);
      step.zero();
      Buffer<double> partition(backend, std::vector<double>{1.0});
      const Buffer<TsneSchedule> schedule = still_schedule(backend);
      timer.run(update_cost(points), [&] {
        backend.tsne_update(attraction.matrix(points, 2), repulsion.matrix(points, 2),
                            partition.data(), schedule.data(), y.matrix(points, 2),
                            step.matrix(points, 2), gains.matrix(points, 2));
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
