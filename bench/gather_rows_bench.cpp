// gather_rows: reads 1 byte (or 4) and writes 4 an element. Rows are drawn from 60,000, all of
// which come up in turn: they are in main memory, as in training.
#include <algorithm>

#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

constexpr std::int64_t source_rows = 60000;

void add(const Device& device, Shape shape, bool bytes) {
  device.add("gather_rows", (bytes ? "bytes/" : "floats/") + shape.name(),
             [shape, bytes](Backend& backend, Timer& timer) {
               const std::int64_t size = source_rows * shape.columns;
               Buffer<std::uint8_t> source(backend, size * (bytes ? 1 : 4));
               backend.fill(source.data(), 0, static_cast<std::size_t>(source.size()));
               // A multiplier without common factors with 60,000 steps through all rows in an order
               // that no prefetcher follows.
               std::vector<std::int32_t> order(source_rows);
               for (std::int64_t i = 0; i < source_rows; ++i)
                 order[static_cast<std::size_t>(i)] =
                     static_cast<std::int32_t>(i * 25717 % source_rows);
               Buffer<std::int32_t> index(backend, std::span<const std::int32_t>(order));
               Buffer<float> offset(backend, shape.columns), out(backend, shape.size());
               offset.zero();
               Buffer<float> factor = random_buffer(backend, shape.columns);
               std::int64_t first = 0;
               const double read = bytes ? 1.0 : 4.0;
               timer.run({.bytes = (read + 4.0) * static_cast<double>(shape.size()),
                          .working_set = read * static_cast<double>(size)},
                         [&] {
                           backend.gather_rows(
                               {source.data(), bytes, source_rows, shape.columns},
                               index.data() + first, 0, std::as_const(offset).span(),
                               std::as_const(factor).span(), out.matrix(shape.rows, shape.columns));
                           first = first + 2 * shape.rows <= source_rows ? first + shape.rows : 0;
                         });
             });
}

const Registration gather_rows([](const Device& device) {
  for (const Shape shape : {Shape{256, 784}, Shape{device.large() ? 32768 : 4096, 784}}) {
    add(device, shape, true);
    add(device, shape, false);
  }
});

}  // namespace
}  // namespace hourglass::bench
