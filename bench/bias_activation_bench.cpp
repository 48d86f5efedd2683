// bias_activation reads and writes 4 bytes an element in place; its backward pass reads 8 and
// writes 4 (gelu: reads 12, and writes 8 forward, since it needs its input again).
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

constexpr struct {
  Activation activation;
  const char* name;
} activations[] = {{Activation::relu, "relu"},
                   {Activation::elu, "elu"},
                   {Activation::gelu, "gelu"},
                   {Activation::tanh, "tanh"},
                   {Activation::sigmoid, "sigmoid"}};

/// The article's layers, and for its activations a layer that fills the device.
std::vector<Shape> shapes_of(const Device& device, Activation f) {
  if (f == Activation::relu || f == Activation::sigmoid) {
    return {{256, 2}, {256, 32}, {256, 256}, {device.large() ? 65536 : 4096, 784}};
  }
  return {{256, 256}, {device.large() ? 65536 : 4096, 784}};
}

const Registration forward([](const Device& device) {
  for (const auto [f, name] : activations) {
    for (const Shape shape : shapes_of(device, f)) {
      device.add("bias_activation", fmt::format("{}/{}", name, shape.name()),
                 [f = f, shape](Backend& backend, Timer& timer) {
                   Buffer<float> pre = random_buffer(backend, shape.size());
                   Buffer<float> out(backend, shape.size()), bias(backend, shape.columns);
                   bias.zero();
                   const bool in_place = derivative_from_output(f);
                   const Mat x = pre.matrix(shape.rows, shape.columns);
                   const Mat y = in_place ? x : out.matrix(shape.rows, shape.columns);
                   timer.run({.bytes = (in_place ? 8.0 : 12.0) * static_cast<double>(shape.size())},
                             [&] { backend.bias_activation(f, std::as_const(bias).span(), x, y); });
                 });
    }
  }
});

const Registration backward([](const Device& device) {
  for (const auto [f, name] : activations) {
    for (const Shape shape : shapes_of(device, f)) {
      device.add("bias_activation_backward", fmt::format("{}/{}", name, shape.name()),
                 [f = f, shape](Backend& backend, Timer& timer) {
                   Buffer<float> out = random_buffer(backend, shape.size(), 0.0f, 1.0f);
                   const Buffer<float> start = random_buffer(backend, shape.size());
                   Buffer<float> gradient(backend, shape.size());
                   Buffer<float> bias_gradient(backend, shape.columns);
                   const Mat y = out.matrix(shape.rows, shape.columns);
                   const double bytes = derivative_from_output(f) ? 12.0 : 16.0;
                   // Each call multiplies the gradient by f' again; it must not fade to subnormal
                   // numbers.
                   timer.run(
                       {.bytes = bytes * static_cast<double>(shape.size())},
                       [&] {
                         backend.bias_activation_backward(
                             f, y, y, gradient.matrix(shape.rows, shape.columns),
                             bias_gradient.span());
                       },
                       [&] {
                         backend.copy(gradient.data(), start.data(),
                                      static_cast<std::size_t>(shape.size()) * sizeof(float));
                       });
                 });
    }
  }
});

}  // namespace
}  // namespace hourglass::bench
