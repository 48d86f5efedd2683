// Pixels and their PNG file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/report/color.hpp"

namespace hourglass::report {

/// `height` rows of `width` pixels of 3 (RGB) or 4 (RGBA, not premultiplied) bytes.
struct Pixels {
  int width = 0;
  int height = 0;
  int channels = 3;
  std::vector<std::uint8_t> values;

  Pixels() = default;
  Pixels(int w, int h, Color fill);

  void set(int x, int y, Color color);
  [[nodiscard]] Color at(int x, int y) const;
};

/// PNG bytes in the smallest of the forms grey, palette (up to 256 colours), RGB and RGBA that
/// keeps every pixel. No time stamp or other text: the same pixels give the same bytes.
std::string encode_png(const Pixels& pixels);

/// "data:image/png;base64,...".
std::string png_data_uri(std::string_view png);

}  // namespace hourglass::report
