// adam: 16 bytes read, 12 written and 12 FLOPs a parameter. 50,992 are 784-32-784's, 402,192
// 784-256-784's.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration adam([](const Device& device) {
  for (const std::int64_t size : {50992, 402192, device.large() ? 67108864 : 16777216}) {
    device.add("adam", std::to_string(size), [size](Backend& backend, Timer& timer) {
      Buffer<float> parameters = random_buffer(backend, size);
      Buffer<float> gradients = random_buffer(backend, size, -1e-3f, 1e-3f);
      Buffer<float> m(backend, size), v(backend, size);
      m.zero();
      v.zero();
      Buffer<OptimiserState> state(backend, std::vector<OptimiserState>(1));
      const auto n = static_cast<double>(size);
      timer.run({.bytes = 28.0 * n, .flops = 12.0 * n}, [&] {
        backend.adam(parameters.span(), std::as_const(gradients).span(), m.span(), v.span(), size,
                     {}, state.data(), {});
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
