// fma_chain: 2 FLOPs a turn, 8 bytes a value. Few values do not fill the device; the longest case
// is the ceiling itself.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration fma_chain([](const Device& device) {
  for (const std::int64_t size : {1024, 262144, device.large() ? 16777216 : 1048576}) {
    constexpr int terms = 1024;
    device.add("fma_chain", fmt::format("{}x{}", size, terms),
               [size](Backend& backend, Timer& timer) {
                 Buffer<float> values = random_buffer(backend, size);
                 const auto n = static_cast<double>(size);
                 timer.run({.bytes = 8.0 * n, .flops = 2.0 * terms * n},
                           [&] { backend.fma_chain(0.5f, 0.25f, terms, values.span()); });
               });
  }
});

}  // namespace
}  // namespace hourglass::bench
