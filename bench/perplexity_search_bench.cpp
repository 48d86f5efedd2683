// perplexity_search: 8 bytes an entry; about six evaluations of an exponential (14 FLOPs) and two
// sums in float64.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

const Registration perplexity_search([](const Device& device) {
  for (const std::int64_t points : {10000, device.large() ? 70000 : 20000}) {
    constexpr std::int64_t k = Neighbours::k;
    device.add("perplexity_search", Shape{points, k}.name(),
               [points](Backend& backend, Timer& timer) {
                 const Neighbours neighbours(backend, points);
                 Buffer<float> conditional(backend, points * k), precision(backend, points);
                 const auto entries = static_cast<double>(points * k);
                 timer.run({.bytes = 8.0 * entries, .flops = 108.0 * entries}, [&] {
                   backend.perplexity_search(neighbours.distances(), Neighbours::perplexity,
                                             conditional.matrix(points, k), precision.span());
                 });
               });
  }
});

}  // namespace
}  // namespace hourglass::bench
