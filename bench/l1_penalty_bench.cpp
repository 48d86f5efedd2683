// l1_penalty with gradient: reads 8 and writes 4 bytes an element.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration l1_penalty([](const Device& device) {
  for (const Shape shape :
       {Shape{256, 32}, Shape{256, 256}, Shape{device.large() ? 65536 : 4096, 256}}) {
    device.add("l1_penalty", shape.name(), [shape](Backend& backend, Timer& timer) {
      Buffer<float> codes = random_buffer(backend, shape.size());
      Buffer<float> gradient(backend, shape.size());
      Buffer<double> penalty(backend, 1);
      gradient.zero();
      penalty.zero();
      timer.run({.bytes = 12.0 * static_cast<double>(shape.size())}, [&] {
        backend.l1_penalty(codes.matrix(shape.rows, shape.columns), 1e-4f,
                           gradient.matrix(shape.rows, shape.columns), penalty.data());
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
