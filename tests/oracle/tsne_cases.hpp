// Inputs that the tests of the t-SNE operations share: affinities of random data and maps of many
// shapes and spans.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/oracle/parity.hpp"
#include "tests/oracle/tsne.hpp"

namespace hourglass::parity {

/// k distinct neighbours for each of n points, not the point itself, in random order.
std::vector<std::int32_t> random_neighbours(std::int64_t n, std::int64_t k, Random& random);

/// A random sparse P that is symmetric and sums to 1, values rounded to float32.
oracle::Affinities random_affinities(std::int64_t n, std::int64_t k, Random& random);

enum class MapShape { blob, clusters, ring, line, grid, duplicates, outlier };
inline constexpr MapShape map_shapes[] = {
    MapShape::blob, MapShape::clusters,   MapShape::ring,   MapShape::line,
    MapShape::grid, MapShape::duplicates, MapShape::outlier};
std::string map_name(MapShape shape);

/// n points of `dims` coordinates, 2 or 3, whose extent (without the outlier, which lies
/// `outlier_spans` spans away) is about `span`. In three dimensions the third coordinate is spread
/// likewise.
std::vector<float> random_map(MapShape shape, std::int64_t n, double span, Random& random,
                              std::int64_t dims = 2, double outlier_spans = 1000.0);

}  // namespace hourglass::parity
