// locality_order: reads 8 bytes a point (12 in three dimensions) and writes 4; the sort between
// moves 16 a pass, which are not counted.
#include "bench/fixture.hpp"
#include "bench/tsne.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, std::int64_t points, std::int64_t dimensions) {
  device.add("locality_order", fmt::format("{}x{}", points, dimensions),
             [=](Backend& backend, Timer& timer) {
               const Buffer<float> y = map_buffer(backend, points, dimensions);
               Buffer<std::int32_t> order(backend, points);
               const auto n = static_cast<double>(points), d = static_cast<double>(dimensions);
               timer.run({.bytes = (4.0 * d + 4.0) * n, .flops = 4.0 * d * n}, [&] {
                 backend.locality_order(y.matrix(points, dimensions), order.span());
               });
             });
}

const Registration locality_order([](const Device& device) {
  add(device, 10000, 2);
  add(device, 10000, 3);
  add(device, device.large() ? 1000000 : 100000, 2);
});

}  // namespace
}  // namespace hourglass::bench
