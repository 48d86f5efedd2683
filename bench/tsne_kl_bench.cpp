// tsne_kl, float64: 8 FLOPs and a division an unordered pair; 8 bytes and some 40 FLOPs an entry of
// P, a logarithm among them.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, std::int64_t points) {
  device.add("tsne_kl", std::to_string(points), [points](Backend& backend, Timer& timer) {
    const Affinities affinities(backend, points);
    Buffer<double> kl(backend, 1);
    const auto n = static_cast<double>(points), entries = static_cast<double>(affinities.entries);
    timer.run(
        {.bytes = 16.0 * n + 8.0 * entries, .flops = 4.5 * n * (n - 1.0) + 40.0 * entries}, [&] {
          backend.tsne_kl(affinities.view(), affinities.map.matrix(points, 2), nullptr, kl.data());
        });
  });
}

const Registration tsne_kl([](const Device& device) {
  add(device, 10000);
  if (device.large()) add(device, 70000);
});

}  // namespace
}  // namespace hourglass::bench
