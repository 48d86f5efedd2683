// gradient_norm: reads 4 bytes a gradient.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration gradient_norm([](const Device& device) {
  for (const std::int64_t size : {50992, 402192, device.large() ? 67108864 : 16777216}) {
    device.add("gradient_norm", std::to_string(size), [size](Backend& backend, Timer& timer) {
      Buffer<float> gradients = random_buffer(backend, size);
      Buffer<OptimiserState> state(backend, std::vector<OptimiserState>(1));
      timer.run({.bytes = 4.0 * static_cast<double>(size)}, [&] {
        backend.gradient_norm(std::as_const(gradients).span(), 1.0f, state.data());
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
