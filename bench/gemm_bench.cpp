// gemm: 2 M N K FLOPs. The five products of a training step at batch 256, for 784-32-784,
// 784-256-784 and 784-2-784, the layers of 784-128-64-2, and large products.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

/// c (m x n) = op(a) op(b), k terms.
void add(const Device& device, const char* what, Transpose ta, Transpose tb, std::int64_t m,
         std::int64_t n, std::int64_t k) {
  device.add("gemm", fmt::format("{}/{}x{}x{}", what, m, n, k),
             [=](Backend& backend, Timer& timer) {
               Buffer<float> a = random_buffer(backend, m * k), b = random_buffer(backend, k * n);
               Buffer<float> c(backend, m * n);
               const Mat x = ta == Transpose::yes ? a.matrix(k, m) : a.matrix(m, k);
               const Mat y = tb == Transpose::yes ? b.matrix(n, k) : b.matrix(k, n);
               timer.run({.bytes = 4.0 * static_cast<double>(m * k + k * n + m * n),
                          .flops = 2.0 * static_cast<double>(m * n * k),
                          .rate = Rate::gemm},
                         [&] { backend.gemm(ta, tb, 1.0f, x, y, 0.0f, c.matrix(m, n)); });
             });
}

/// Forward and both backward products of a layer of fan_in x fan_out.
void add_layer(const Device& device, std::int64_t fan_in, std::int64_t fan_out, bool first) {
  constexpr std::int64_t batch = 256;
  add(device, "forward", Transpose::no, Transpose::no, batch, fan_out, fan_in);
  add(device, "weights", Transpose::yes, Transpose::no, fan_in, fan_out, batch);
  if (!first) add(device, "input", Transpose::no, Transpose::yes, batch, fan_in, fan_out);
}

const Registration gemm([](const Device& device) {
  for (const std::int64_t code : {2, 32, 256}) {
    add_layer(device, 784, code, true);
    add_layer(device, code, 784, false);
  }
  add_layer(device, 784, 128, true);
  add_layer(device, 128, 64, false);
  add_layer(device, 64, 2, false);
  add(device, "large", Transpose::no, Transpose::no, 2048, 2048, 2048);
  if (device.large()) {
    add(device, "large", Transpose::no, Transpose::no, 8192, 8192, 8192);
    // What a training step of wide layers and large batches asks for.
    add(device, "forward", Transpose::no, Transpose::no, 16384, 2048, 784);
    add(device, "weights", Transpose::yes, Transpose::no, 784, 2048, 16384);
    add(device, "input", Transpose::no, Transpose::yes, 16384, 784, 2048);
  }
});

}  // namespace
}  // namespace hourglass::bench
