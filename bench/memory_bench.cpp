// upload, download, copy, fill: a batch of float32, and more than the caches hold. A copy reads and
// writes; the others move their bytes once, over the bus to a GPU where one end is the host.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration memory([](const Device& device) {
  for (const std::int64_t size : {std::int64_t{256 * 784 * 4}, std::int64_t{1} << 27}) {
    const auto bytes = static_cast<std::size_t>(size);
    const auto once = static_cast<double>(size);
    device.add("upload", std::to_string(size), [=](Backend& backend, Timer& timer) {
      const std::vector<unsigned char> host(bytes, 1);
      Buffer<unsigned char> to(backend, size);
      timer.run({.bytes = once, .working_set = 2.0 * once},
                [&] { backend.upload(to.data(), host.data(), bytes); });
    });
    device.add("download", std::to_string(size), [=](Backend& backend, Timer& timer) {
      std::vector<unsigned char> host(bytes);
      Buffer<unsigned char> from(backend, size);
      from.zero();
      timer.run({.bytes = once, .working_set = 2.0 * once},
                [&] { backend.download(host.data(), from.data(), bytes); });
    });
    device.add("copy", std::to_string(size), [=](Backend& backend, Timer& timer) {
      Buffer<unsigned char> from(backend, size), to(backend, size);
      from.zero();
      timer.run({.bytes = 2.0 * once}, [&] { backend.copy(to.data(), from.data(), bytes); });
    });
    device.add("fill", std::to_string(size), [=](Backend& backend, Timer& timer) {
      Buffer<unsigned char> to(backend, size);
      timer.run({.bytes = once}, [&] { backend.fill(to.data(), 1, bytes); });
    });
  }
});

}  // namespace
}  // namespace hourglass::bench
