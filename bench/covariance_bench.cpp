// covariance: N D (D + 1) FLOPs, one triangle; in float64, but held against the rate of gemm in
// float32.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration covariance([](const Device& device) {
  for (const Shape shape : {Shape{10000, 32}, Shape{10000, 784}, Shape{60000, 784}}) {
    device.add("covariance", shape.name(), [shape](Backend& backend, Timer& timer) {
      Buffer<float> x = random_buffer(backend, shape.size());
      Buffer<double> mean(backend, shape.columns);
      Buffer<double> result(backend, shape.columns * shape.columns);
      mean.zero();
      const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.columns);
      timer.run({.bytes = 4.0 * n * d, .flops = n * d * (d + 1.0), .rate = Rate::gemm}, [&] {
        backend.covariance(x.matrix(shape.rows, shape.columns), std::as_const(mean).span(),
                           result.span());
      });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
