// symmetrise: reads 8 bytes a directed edge, writes 8 an entry of P and 8 a row.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

const Registration symmetrise([](const Device& device) {
  for (const std::int64_t points : {10000, device.large() ? 70000 : 20000}) {
    constexpr std::int64_t k = Neighbours::k;
    device.add("symmetrise", Shape{points, k}.name(), [points](Backend& backend, Timer& timer) {
      const Neighbours neighbours(backend, points);
      Buffer<float> conditional(backend, points * k), precision(backend, points);
      backend.perplexity_search(neighbours.distances(), Neighbours::perplexity,
                                conditional.matrix(points, k), precision.span());
      Buffer<std::int64_t> offsets(backend, points + 1);
      Buffer<std::int32_t> columns(backend, 2 * points * k);
      Buffer<float> probabilities(backend, 2 * points * k);
      const auto symmetrise = [&] {
        backend.symmetrise(
            neighbours.index.matrix(points, k), std::as_const(conditional).matrix(points, k),
            {offsets.data(), columns.data(), probabilities.data(), points, columns.size()});
      };
      symmetrise();
      std::int64_t entries = 0;
      backend.download(&entries, offsets.data() + points, sizeof entries);
      const auto edges = static_cast<double>(points * k);
      timer.run({.bytes = 8.0 * (edges + static_cast<double>(entries + points))}, symmetrise);
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
