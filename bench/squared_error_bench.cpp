// squared_error with gradient: reads 8 and writes 4 bytes an element.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration squared_error([](const Device& device) {
  for (const Shape shape : {Shape{256, 784}, Shape{device.large() ? 65536 : 4096, 784}}) {
    for (const Activation f : {Activation::linear, Activation::sigmoid}) {
      device.add(
          "squared_error", (f == Activation::linear ? "linear/" : "sigmoid/") + shape.name(),
          [f, shape](Backend& backend, Timer& timer) {
            Buffer<float> pre = random_buffer(backend, shape.size(), -6.0f, 6.0f);
            Buffer<float> targets = random_buffer(backend, shape.size(), 0.0f, 1.0f);
            Buffer<float> bias = random_buffer(backend, shape.columns);
            Buffer<float> gradient(backend, shape.size()), bias_gradient(backend, shape.columns);
            Buffer<double> loss(backend, 1);
            loss.zero();
            timer.run({.bytes = 12.0 * static_cast<double>(shape.size())}, [&] {
              backend.squared_error(
                  f, pre.matrix(shape.rows, shape.columns), std::as_const(bias).span(),
                  targets.matrix(shape.rows, shape.columns),
                  gradient.matrix(shape.rows, shape.columns), bias_gradient.span(), loss.data());
            });
          });
    }
  }
});

}  // namespace
}  // namespace hourglass::bench
