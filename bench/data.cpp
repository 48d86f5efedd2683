#include "bench/data.hpp"

#include <algorithm>

#include "kernels/philox.hpp"

namespace hourglass::bench {
namespace {

constexpr std::int64_t period = 1'000'003;

float uniform(std::uint32_t stream, std::int64_t i) {
  const std::uint32_t bits = philox4x32(1, static_cast<std::uint64_t>(i), stream, 0).v[0];
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

}  // namespace

std::vector<float> values(std::int64_t count, float low, float high) {
  std::vector<float> result(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    result[static_cast<std::size_t>(i)] = low + (high - low) * uniform(0, i);
  return result;
}

Buffer<float> random_buffer(Backend& backend, std::int64_t count, float low, float high) {
  Buffer<float> buffer(backend, count);
  std::int64_t filled = std::min(count, period);
  buffer.upload(values(filled, low, high));
  // Whole periods, but for the last piece.
  for (; filled < count; filled += std::min(filled, count - filled)) {
    backend.copy(buffer.data() + filled, buffer.data(),
                 static_cast<std::size_t>(std::min(filled, count - filled)) * sizeof(float));
  }
  return buffer;
}

std::vector<float> clouds(Shape shape, float spread) {
  constexpr std::int64_t count = 10;
  const std::vector<float> centres = values(count * shape.columns, -spread, spread);
  std::vector<float> points(static_cast<std::size_t>(shape.size()));
  for (std::int64_t i = 0; i < shape.size(); ++i) {
    const std::int64_t cloud = i / shape.columns % count;
    const std::int64_t centre = cloud * shape.columns + i % shape.columns;
    points[static_cast<std::size_t>(i)] =
        centres[static_cast<std::size_t>(centre)] + 2.0f * uniform(1, i) - 1.0f;
  }
  return points;
}

std::vector<std::uint8_t> strokes(std::int64_t count) {
  constexpr int side = 28, pen = 3, moves = 150, first = 4, last = 21;
  std::vector<std::uint8_t> images(static_cast<std::size_t>(count * side * side));
  for (std::int64_t image = 0; image < count; ++image) {
    std::uint8_t* pixels = images.data() + image * side * side;
    std::int64_t drawn = image * (2 * moves + 2);
    const auto random = [&] { return uniform(2, drawn++); };
    const auto limited = [](float x) {
      return std::clamp(x, static_cast<float>(first), static_cast<float>(last));
    };
    float x = limited(12.5f + 12.0f * (random() - 0.5f));
    float y = limited(12.5f + 12.0f * (random() - 0.5f));
    float dx = 0.0f, dy = 0.0f;
    for (int move = 0; move < moves; ++move) {
      // A pen turns slowly.
      dx = 0.8f * dx + random() - 0.5f;
      dy = 0.8f * dy + random() - 0.5f;
      x = limited(x + dx);
      y = limited(y + dy);
      for (int i = 0; i < pen; ++i) {
        for (int j = 0; j < pen; ++j) {
          auto& pixel = pixels[(static_cast<int>(y) + i) * side + static_cast<int>(x) + j];
          pixel = static_cast<std::uint8_t>(i == 1 && j == 1 ? 255 : std::max<int>(pixel, 140));
        }
      }
    }
  }
  return images;
}

}  // namespace hourglass::bench
