// shuffle_rows: writes 4 bytes a row; the keys that are sorted between, 8 or 16 bytes a row in each
// pass, are not counted.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, std::int64_t rows) {
  device.add("shuffle_rows", fmt::format("{}", rows), [=](Backend& backend, Timer& timer) {
    Buffer<std::int32_t> order(backend, rows);
    std::uint32_t epoch = 0;
    timer.run({.bytes = 4.0 * static_cast<double>(rows)},
              [&] { backend.shuffle_rows(1, epoch++, order.span()); });
  });
}

const Registration shuffle_rows([](const Device& device) {
  add(device, 60000);
  add(device, device.large() ? 10000000 : 1000000);
});

}  // namespace
}  // namespace hourglass::bench
