// column_statistics of a training set: reads 1 byte an element once, or 4 bytes twice.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

const Registration column_statistics([](const Device& device) {
  for (const Shape shape : {Shape{10000, 32}, Shape{60000, 784}}) {
    for (const bool bytes : {true, false}) {
      device.add("column_statistics", (bytes ? "bytes/" : "floats/") + shape.name(),
                 [shape, bytes](Backend& backend, Timer& timer) {
                   Buffer<std::uint8_t> x(backend, shape.size() * (bytes ? 1 : 4));
                   backend.fill(x.data(), 60, static_cast<std::size_t>(x.size()));
                   Buffer<double> mean(backend, shape.columns), deviation(backend, shape.columns);
                   const auto n = static_cast<double>(shape.size());
                   timer.run(
                       {.bytes = (bytes ? 1.0 : 8.0) * n, .working_set = (bytes ? 1.0 : 4.0) * n},
                       [&] {
                         backend.column_statistics({x.data(), bytes, shape.rows, shape.columns},
                                                   mean.span(), deviation.span());
                       });
                 });
    }
  }
});

}  // namespace
}  // namespace hourglass::bench
