// Several figures of the neighbourhoods that a map keeps, by one search each in the data and in the
// map.
#pragma once

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"
#include "hourglass/scores.hpp"

namespace hourglass {

/// neighbour_preservation() at 10 and 30 and trustworthiness() at 12, each what that function
/// gives, bit for bit, where there are rows enough for it. Narrow data: ranks cost 3 D FLOPs a
/// pair, where map_figures() spends 2 D.
MapFigures neighbourhood_figures(Device& device, const Matrix& x, const Matrix& map);

}  // namespace hourglass
