// permute_affinities: reads and writes 8 bytes an entry of P, and 20 a point.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

const Registration permute_affinities([](const Device& device) {
  for (const std::int64_t points : {10000, device.large() ? 70000 : 20000}) {
    device.add("permute_affinities", std::to_string(points),
               [points](Backend& backend, Timer& timer) {
                 const Affinities affinities(backend, points);
                 Buffer<std::int32_t> order(backend, points);
                 backend.locality_order(affinities.map.matrix(points, 2), order.span());
                 Buffer<std::int64_t> offsets(backend, points + 1);
                 Buffer<std::int32_t> columns(backend, affinities.entries);
                 Buffer<float> values(backend, affinities.entries);
                 const CsrView permuted{offsets.data(), columns.data(), values.data(), points,
                                        affinities.entries};
                 timer.run({.bytes = 16.0 * static_cast<double>(affinities.entries) +
                                     20.0 * static_cast<double>(points)},
                           [&] {
                             backend.permute_affinities(affinities.view(),
                                                        std::as_const(order).span(), permuted);
                           });
               });
  }
});

}  // namespace
}  // namespace hourglass::bench
