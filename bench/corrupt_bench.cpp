// corrupt: reads and writes 4 bytes an element. 256x784 is a batch of digits.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration corrupt([](const Device& device) {
  for (const Shape shape : {Shape{256, 784}, Shape{device.large() ? 65536 : 4096, 784}}) {
    for (const Noise noise : {Noise{Noise::Kind::gaussian, 0.5f}, Noise{Noise::Kind::mask, 0.3f}}) {
      const char* kind = noise.kind == Noise::Kind::gaussian ? "gaussian" : "mask";
      device.add("corrupt", fmt::format("{}/{}", kind, shape.name()),
                 [=](Backend& backend, Timer& timer) {
                   Buffer<float> clean = random_buffer(backend, shape.size(), 0.0f, 1.0f);
                   Buffer<float> noisy(backend, shape.size());
                   Buffer<std::int64_t> step(backend, std::vector<std::int64_t>(1));
                   timer.run({.bytes = 8.0 * static_cast<double>(shape.size())}, [&] {
                     backend.corrupt(clean.matrix(shape.rows, shape.columns), noise, {0.0f, 1.0f},
                                     1, step.data(), noisy.matrix(shape.rows, shape.columns));
                   });
                 });
    }
  }
});

}  // namespace
}  // namespace hourglass::bench
