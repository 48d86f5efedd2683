// gather_rows and gather_batch: read 1 byte (or 4) and write 4 an element. Rows are drawn from
// 60,000, all of which come up in turn: they are in main memory, as in training.
#include <numeric>

#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

constexpr std::int64_t most_rows = 60000;

void add(const Device& device, bool by_step, Shape shape, bool bytes) {
  device.add(
      by_step ? "gather_batch" : "gather_rows", (bytes ? "bytes/" : "floats/") + shape.name(),
      [by_step, shape, bytes](Backend& backend, Timer& timer) {
        // Of batches whole ones only.
        const std::int64_t source_rows = by_step ? most_rows / shape.rows * shape.rows : most_rows;
        const std::int64_t size = source_rows * shape.columns;
        Buffer<std::uint8_t> source(backend, size * (bytes ? 1 : 4));
        backend.fill(source.data(), 0, static_cast<std::size_t>(source.size()));
        // A multiplier without common factors with the rows steps through all rows in an order
        // that no prefetcher follows.
        std::vector<std::int32_t> order(static_cast<std::size_t>(source_rows));
        for (std::int64_t i = 0; i < source_rows; ++i)
          order[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i * 25717 % source_rows);
        Buffer<std::int32_t> index(backend, std::span<const std::int32_t>(order));
        Buffer<float> offset(backend, shape.columns), out(backend, shape.size());
        offset.zero();
        Buffer<float> factor = random_buffer(backend, shape.columns);
        std::int64_t first = 0;
        const double read = bytes ? 1.0 : 4.0;
        const Cost cost{.bytes = (read + 4.0) * static_cast<double>(shape.size()),
                        .working_set = read * static_cast<double>(size)};
        const FeatureView from{source.data(), bytes, source_rows, shape.columns};
        if (by_step) {
          const std::int64_t steps = source_rows / shape.rows;
          std::vector<std::int64_t> numbers(static_cast<std::size_t>(steps));
          std::iota(numbers.begin(), numbers.end(), 0);
          const Buffer<std::int64_t> number(backend, std::span<const std::int64_t>(numbers));
          std::int64_t step = 0;
          timer.run(cost, [&] {
            backend.gather_batch(from, std::as_const(index).span(), shape.rows,
                                 number.data() + step, std::as_const(offset).span(),
                                 std::as_const(factor).span(),
                                 out.matrix(shape.rows, shape.columns));
            step = (step + 1) % steps;
          });
          return;
        }
        timer.run(cost, [&] {
          backend.gather_rows(from, index.data() + first, 0, std::as_const(offset).span(),
                              std::as_const(factor).span(), out.matrix(shape.rows, shape.columns));
          first = first + 2 * shape.rows <= source_rows ? first + shape.rows : 0;
        });
      });
}

const Registration gather_rows([](const Device& device) {
  for (const Shape shape : {Shape{256, 784}, Shape{device.large() ? 32768 : 4096, 784}}) {
    for (const bool by_step : {false, true}) {
      add(device, by_step, shape, true);
      add(device, by_step, shape, false);
    }
  }
});

}  // namespace
}  // namespace hourglass::bench
