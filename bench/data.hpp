// The numbers that benchmarks compute with: the same on every machine.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass::bench {

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
  [[nodiscard]] std::int64_t size() const { return rows * columns; }
  [[nodiscard]] std::string name() const { return fmt::format("{}x{}", rows, columns); }
};

/// Numbers evenly distributed over [low, high).
std::vector<float> values(std::int64_t count, float low = -1.0f, float high = 1.0f);

/// Such numbers in the backend's memory. Beyond a million they repeat, with a prime period, so that
/// no two rows of a matrix are equal and large buffers are filled at the speed of a copy.
Buffer<float> random_buffer(Backend& backend, std::int64_t count, float low = -1.0f,
                            float high = 1.0f);

/// N points in ten clouds, row i in cloud i mod 10: what codes and maps look like. The clouds'
/// centres are spread evenly over [-spread, spread) in each dimension, the points over [-1, 1)
/// around them.
std::vector<float> clouds(Shape shape, float spread);

/// `count` images of 28 x 28 bytes, each one stroke of a wandering pen, mostly 0: as full as digits
/// of MNIST are (19 % of the pixels).
std::vector<std::uint8_t> strokes(std::int64_t count);

}  // namespace hourglass::bench
