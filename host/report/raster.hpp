// The pixels of a drawing, through Cairo.
#pragma once

#include <span>

#include "host/report/drawing.hpp"

namespace hourglass::report {

/// RGB pixels on white, `scale` a CSS pixel.
Pixels rasterize(const Drawing& drawing, int scale);

/// RGBA pixels of `marks`, all of them Dots, inside `region`.
Pixels rasterize_dots(std::span<const Mark> marks, const Box& region, int scale);

}  // namespace hourglass::report
