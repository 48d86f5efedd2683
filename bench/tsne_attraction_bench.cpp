// tsne_attraction: 8 bytes and 13 FLOPs an entry of P, 24 bytes a point.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

const Registration tsne_attraction([](const Device& device) {
  for (const std::int64_t points : {10000, device.large() ? 70000 : 20000}) {
    device.add("tsne_attraction", std::to_string(points), [points](Backend& backend, Timer& timer) {
      const Affinities affinities(backend, points);
      Buffer<float> force(backend, 2 * points);
      timer.run(attraction_cost(affinities), [&] {
        backend.tsne_attraction(affinities.view(), affinities.map.matrix(points, 2),
                                force.matrix(points, 2));
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
