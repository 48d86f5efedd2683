// output_layer: the three products, 6 B K D FLOPs, and what sigmoid_bce counts, 20 FLOPs a logit;
// batch 256, 784 outputs.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

constexpr std::int64_t batch = 256, outputs = 784;

void add(const Device& device, std::int64_t units) {
  device.add("output_layer", fmt::format("{}x{}x{}", batch, outputs, units),
             [=](Backend& backend, Timer& timer) {
               Buffer<float> input = random_buffer(backend, batch * units, 0.0f, 1.0f);
               Buffer<float> weights = random_buffer(backend, units * outputs, -0.1f, 0.1f);
               Buffer<float> bias = random_buffer(backend, outputs);
               Buffer<float> targets = random_buffer(backend, batch * outputs, 0.0f, 1.0f);
               Buffer<float> work(backend, batch * outputs), delta(backend, batch * units);
               Buffer<float> gradient(backend, units * outputs), bias_gradient(backend, outputs);
               Buffer<double> loss(backend, 1);
               loss.zero();
               timer.run({.bytes = 4.0 * static_cast<double>(batch * outputs + 2 * batch * units +
                                                             2 * units * outputs),
                          .flops = static_cast<double>(batch * outputs * (6 * units + 20)),
                          .rate = Rate::gemm},
                         [&] {
                           backend.output_layer(
                               {}, input.matrix(batch, units), weights.matrix(units, outputs),
                               std::as_const(bias).span(), targets.matrix(batch, outputs),
                               work.matrix(batch, outputs), delta.matrix(batch, units),
                               gradient.matrix(units, outputs), bias_gradient.span(), loss.data());
                         });
             });
}

const Registration output_layer([](const Device& device) {
  for (const std::int64_t units : {2, 32, 128, 256})
    add(device, units);
});

}  // namespace
}  // namespace hourglass::bench
