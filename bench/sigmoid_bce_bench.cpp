// sigmoid_bce with gradient: reads 8 and writes 4 bytes an element; about 45 FLOPs (exponential 14,
// logarithm 18, division, clip, loss, gradient, column sum).
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, Shape shape, bool wants_gradient) {
  device.add("sigmoid_bce", (wants_gradient ? "gradient/" : "loss/") + shape.name(),
             [=](Backend& backend, Timer& timer) {
               Buffer<float> pre = random_buffer(backend, shape.size(), -6.0f, 6.0f);
               Buffer<float> targets = random_buffer(backend, shape.size(), 0.0f, 1.0f);
               Buffer<float> bias = random_buffer(backend, shape.columns);
               Buffer<float> gradient(backend, shape.size()), bias_gradient(backend, shape.columns);
               Buffer<double> loss(backend, 1);
               loss.zero();
               const auto n = static_cast<double>(shape.size());
               timer.run({.bytes = (wants_gradient ? 12.0 : 8.0) * n, .flops = 45.0 * n}, [&] {
                 backend.sigmoid_bce(
                     pre.matrix(shape.rows, shape.columns), std::as_const(bias).span(),
                     targets.matrix(shape.rows, shape.columns), 1e-7f,
                     wants_gradient ? gradient.matrix(shape.rows, shape.columns) : Mat{},
                     wants_gradient ? bias_gradient.span() : std::span<float>{}, loss.data());
               });
             });
}

const Registration sigmoid_bce([](const Device& device) {
  for (const Shape shape : {Shape{256, 784}, Shape{device.large() ? 65536 : 4096, 784}}) {
    add(device, shape, true);
    add(device, shape, false);
  }
});

}  // namespace
}  // namespace hourglass::bench
