// sparse_gemm: the first layer's two products at batch 256 on images that are mostly 0, in [0, 1]
// and standardised. Counted are the FLOPs of the dense products, 2 M N K, so that a share above 1
// says how much was passed over.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

constexpr std::int64_t batch = 256, inputs = 784;

void add(const Device& device, Transpose transpose, std::int64_t units, float offset) {
  const bool turned = transpose == Transpose::yes;
  const std::int64_t m = turned ? inputs : batch, k = turned ? batch : inputs;
  device.add("sparse_gemm",
             fmt::format("{}/{}/{}x{}x{}", turned ? "weights" : "forward",
                         offset == 0.0f ? "unit" : "standard", m, units, k),
             [=](Backend& backend, Timer& timer) {
               std::vector<float> rows;
               for (const std::uint8_t pixel : strokes(batch))
                 rows.push_back(static_cast<float>(pixel) / 255.0f - offset);
               Buffer<float> a(backend, rows);
               const Buffer<float> zero(backend, std::vector<float>(inputs, -offset));
               Buffer<float> b = random_buffer(backend, k * units), c(backend, m * units);
               timer.run({.bytes = 4.0 * static_cast<double>(m * k + k * units + m * units),
                          .flops = 2.0 * static_cast<double>(m * units * k),
                          .rate = Rate::gemm},
                         [&] {
                           backend.sparse_gemm(transpose, a.matrix(batch, inputs), zero.span(),
                                               b.matrix(k, units), 0.0f, c.matrix(m, units));
                         });
             });
}

const Registration sparse_gemm([](const Device& device) {
  for (const std::int64_t units : {32, 128, 256, 1024}) {
    for (const float offset : {0.0f, 0.13f}) {
      add(device, Transpose::no, units, offset);
      add(device, Transpose::yes, units, offset);
    }
  }
});

}  // namespace
}  // namespace hourglass::bench
