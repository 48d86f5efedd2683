// contractive_penalty with both gradients: reads 8 and writes 4 bytes a code, reads 8 (the weights
// twice) and writes 4 bytes a weight.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration contractive_penalty([](const Device& device) {
  for (const std::int64_t units : {32, 256}) {
    for (const std::int64_t rows : {256, device.large() ? 65536 : 4096}) {
      constexpr std::int64_t inputs = 784;
      device.add("contractive_penalty", fmt::format("{}x{}-{}", rows, inputs, units),
                 [=](Backend& backend, Timer& timer) {
                   Buffer<float> weights = random_buffer(backend, inputs * units);
                   Buffer<float> codes = random_buffer(backend, rows * units, 0.0f, 1.0f);
                   Buffer<float> gradient(backend, rows * units);
                   Buffer<float> weights_gradient(backend, inputs * units);
                   Buffer<double> penalty(backend, 1);
                   gradient.zero();
                   penalty.zero();
                   const ConstMat h = codes.matrix(rows, units);
                   timer.run({.bytes = 12.0 * static_cast<double>((rows + inputs) * units)}, [&] {
                     backend.contractive_penalty(Activation::sigmoid, weights.matrix(inputs, units),
                                                 h, h, 1e-4f, 0.0f, gradient.matrix(rows, units),
                                                 weights_gradient.matrix(inputs, units),
                                                 penalty.data());
                   });
                 });
    }
  }
});

}  // namespace
}  // namespace hourglass::bench
