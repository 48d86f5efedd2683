// The grid of RepulsionMethod::fft: how many nodes, how far apart, where; the same for every
// backend.
//
// Of n x n nodes the map lies over the first n / 2 along each axis; the rest is the padding that
// keeps the periodic convolution from wrapping around. Convolution: with G the transform of the
// points spread over the nodes, K that of the kernel q sampled at the nodes' distances (the shorter
// way round), W the B-spline's (cubic_spline_transform) and k = 2 pi m / (n spacing),
//   B = G K / (W(m_x) W(m_y))^2 / n^2
//   field_x = inverse transform of i k_x B, field_y of i k_y B;  force = -field / 2 at the points
//   partition = sum over all m of |G|^2 K / (W W)^2 / n^2, less N (Parseval; each point met itself)
// k is 0 at m = n / 2, where a derivative has no sign. Both transforms without factors.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/backend.hpp"
#include "kernels/math.hpp"

namespace hourglass {

/// A map of a longer span has no grid: it would take gigabytes, and other methods are faster.
inline constexpr float fft_longest_span = 640.0f;

/// The widest map of so many points that `automatic` takes a grid for. In the host's memory, where
/// the grid is as fast as the tree: a step of the tree costs some 190 ns a point, of the grid 35 ns
/// a point and 11 n^2 log2 n FLOPs at 7 GFLOP/s (Zen 4, one thread; 70,000 points: equal at a span
/// of 130, 13 ms); maps of fewer than 600 points are summed pair by pair. On a GPU, where the bytes
/// of the grid take as long as all pairs: counted, not measured.
[[nodiscard]] inline double widest_fft_span(std::int64_t points, bool on_host) {
  const auto n = static_cast<double>(points);
  if (!on_host) return std::min(0.02 * n, double{fft_longest_span});
  return points < 600 ? 0.0 : std::min(0.45 * std::sqrt(n), double{fft_longest_span});
}

struct FftGrid {
  std::int64_t nodes = 0;  ///< n; even, with no prime factor above 5
  float spacing = 0;
  std::array<float, 2> origin{};  ///< of node 0

  [[nodiscard]] std::int64_t occupied() const { return nodes / 2; }

  /// Distance of the nodes. The force's spectrum falls as k exp(-k); what lies beyond the grid's
  /// pi / spacing is lost, and that is the error, RMS: .6 % at .35, 1.1 % at .4, 3 % at .5 (2,500
  /// points spread evenly over a span of 200, the worst of the maps that were tried from span 1
  /// on). A map far narrower than a cell has all of its points at one place of it, where errors do
  /// not average: 1.2 % at .35. The error is one of each pair, up to a thousandth of the strongest
  /// force of a pair, so it is not small against forces that cancel: points on a wide lattice, or
  /// many on top of one another far from all others, as attraction and noise never leave them.
  [[nodiscard]] static float spacing_for(float span) { return span < 4.0f ? 0.25f : 0.35f; }

  /// A grid for maps within `bounds`, whose span is at most fft_longest_span, and a margin around
  /// them: 5 % of the span on each side, at least 1. Sizes grow in steps of some 5 %.
  [[nodiscard]] static FftGrid around(const MapBounds& bounds) {
    FftGrid grid;
    const float span = bounds.span();
    grid.spacing = spacing_for(span);
    const double margin = std::max(1.0, 0.05 * static_cast<double>(span));
    const double width =
        (static_cast<double>(span) + 2 * margin) / static_cast<double>(grid.spacing);
    grid.nodes = next_size(2 * (static_cast<std::int64_t>(std::ceil(width)) + fft_support + 1));
    const float half = 0.5f * static_cast<float>(grid.occupied()) * grid.spacing;
    for (std::size_t axis = 0; axis < 2; ++axis) {
      grid.origin[axis] = 0.5f * (bounds.low[axis] + bounds.high[axis]) - half;
    }
    return grid;
  }

  /// Whether every point within `bounds` has its nodes among the occupied ones. False for NaN.
  [[nodiscard]] bool holds(const MapBounds& bounds) const {
    const float first = spacing;
    const float last = static_cast<float>(occupied() - fft_support + 1) * spacing;
    bool inside = nodes > 0;
    for (std::size_t axis = 0; axis < 2; ++axis) {
      inside = inside && bounds.low[axis] - origin[axis] >= first &&
               bounds.high[axis] - origin[axis] <= last;
    }
    return inside;
  }

  /// The smallest even size >= `least` of factors 2, 3 and 5.
  [[nodiscard]] static std::int64_t next_size(std::int64_t least) {
    for (std::int64_t size = least + least % 2;; size += 2) {
      std::int64_t rest = size;
      for (const std::int64_t prime : {2, 3, 5}) {
        while (rest % prime == 0)
          rest /= prime;
      }
      if (rest == 1) return size;
    }
  }

  /// The squared distance of the kernel's sample (i, j): each the shorter way round.
  [[nodiscard]] double squared_distance(std::int64_t i, std::int64_t j) const {
    const auto x = static_cast<double>(std::min(i, nodes - i)) * static_cast<double>(spacing);
    const auto y = static_cast<double>(std::min(j, nodes - j)) * static_cast<double>(spacing);
    return x * x + y * y;
  }
};

}  // namespace hourglass
