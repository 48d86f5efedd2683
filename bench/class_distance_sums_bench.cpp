// class_distance_sums: a distance for each ordered pair of points, 3 D FLOPs and a root. A backend
// may compute each unordered pair once and so do half of the FLOPs that are counted.
#include "bench/fixture.hpp"

namespace hourglass::bench {
namespace {

void add(const Device& device, Shape shape) {
  device.add("class_distance_sums", shape.name(), [shape](Backend& backend, Timer& timer) {
    constexpr std::int64_t classes = 10;
    Buffer<float> x(backend, std::span<const float>(clouds(shape, 2.0f)));
    std::vector<std::int32_t> labels(static_cast<std::size_t>(shape.rows));
    for (std::size_t i = 0; i < labels.size(); ++i)
      labels[i] = static_cast<std::int32_t>(i % classes);
    Buffer<std::int32_t> label(backend, std::span<const std::int32_t>(labels));
    Buffer<double> sums(backend, shape.rows * classes);
    const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.columns);
    timer.run(
        {.bytes = 4.0 * n * d + 4.0 * n + 8.0 * classes * n, .flops = (3.0 * d + 2.0) * n * n},
        [&] {
          backend.class_distance_sums(x.matrix(shape.rows, shape.columns),
                                      std::as_const(label).span(),
                                      sums.matrix(shape.rows, classes));
        });
  });
}

const Registration class_distance_sums([](const Device& device) {
  add(device, {10000, 2});
  add(device, {10000, 32});
  if (device.large()) add(device, {70000, 32});
});

}  // namespace
}  // namespace hourglass::bench
