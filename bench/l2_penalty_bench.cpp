// l2_penalty with gradient: reads 8 and writes 4 bytes a weight.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration l2_penalty([](const Device& device) {
  for (const std::int64_t size : {50992, 402192, device.large() ? 67108864 : 16777216}) {
    device.add("l2_penalty", std::to_string(size), [size](Backend& backend, Timer& timer) {
      Buffer<float> weights = random_buffer(backend, size);
      Buffer<float> gradient(backend, size);
      Buffer<double> penalty(backend, 1);
      gradient.zero();
      penalty.zero();
      timer.run({.bytes = 12.0 * static_cast<double>(size)}, [&] {
        backend.l2_penalty(std::as_const(weights).span(), 1e-4f, 256, gradient.span(),
                           penalty.data());
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
