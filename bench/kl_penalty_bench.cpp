// kl_penalty with gradient: reads 8 and writes 4 bytes an element, and 2 logarithms a code unit.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration kl_penalty([](const Device& device) {
  for (const Shape shape :
       {Shape{256, 32}, Shape{256, 256}, Shape{device.large() ? 65536 : 4096, 256}}) {
    device.add("kl_penalty", shape.name(), [shape](Backend& backend, Timer& timer) {
      Buffer<float> codes = random_buffer(backend, shape.size(), 0.01f, 0.3f);
      Buffer<float> gradient(backend, shape.size()), mean(backend, shape.columns);
      Buffer<double> penalty(backend, 1);
      gradient.zero();
      penalty.zero();
      timer.run({.bytes = 12.0 * static_cast<double>(shape.size())}, [&] {
        backend.kl_penalty(codes.matrix(shape.rows, shape.columns), 0.05f, 0.004f,
                           gradient.matrix(shape.rows, shape.columns), mean.span(), penalty.data());
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
