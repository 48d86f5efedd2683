// sgd: 12 bytes read and 8 written a parameter, 5 FLOPs.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration sgd([](const Device& device) {
  for (const std::int64_t size : {50992, 402192, device.large() ? 67108864 : 16777216}) {
    device.add("sgd", std::to_string(size), [size](Backend& backend, Timer& timer) {
      Buffer<float> parameters = random_buffer(backend, size);
      Buffer<float> gradients = random_buffer(backend, size, -1e-3f, 1e-3f);
      Buffer<float> velocity(backend, size);
      velocity.zero();
      Buffer<OptimiserState> state(backend, std::vector<OptimiserState>(1));
      const auto n = static_cast<double>(size);
      timer.run({.bytes = 20.0 * n, .flops = 5.0 * n}, [&] {
        backend.sgd(parameters.span(), std::as_const(gradients).span(), velocity.span(), 0.9f,
                    state.data(), {});
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
