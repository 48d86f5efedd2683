// What the benchmarks of t-SNE's operations have in common: codes, affinities and a map, and what
// the parts of an iteration cost.
#pragma once

#include "bench/data.hpp"
#include "bench/fixture.hpp"

namespace hourglass::bench {

/// The neighbours of N codes of 32 units: k = 90, for perplexity 30.
struct Neighbours {
  Neighbours(Backend& backend, std::int64_t point_count);

  static constexpr std::int64_t units = 32;
  static constexpr std::int64_t k = 90;
  static constexpr float perplexity = 30.0f;
  std::int64_t points;
  Buffer<float> codes;
  Buffer<std::int32_t> index;
  Buffer<float> squared_distance;

  [[nodiscard]] ConstMat distances() const { return squared_distance.matrix(points, k); }
};

/// P of such codes and a map of as many points, whose clouds are those of the codes.
struct Affinities {
  Affinities(Backend& backend, std::int64_t point_count);

  std::int64_t points;
  std::int64_t entries = 0;  ///< of P
  Buffer<std::int64_t> offsets;
  Buffer<std::int32_t> columns;
  Buffer<float> probabilities;
  Buffer<float> map;

  [[nodiscard]] ConstCsrView view() const {
    return {offsets.data(), columns.data(), probabilities.data(), points, probabilities.size()};
  }
};

/// N points in ten clouds over about 100 along each axis, as a map looks at its end.
Buffer<float> map_buffer(Backend& backend, std::int64_t points, std::int64_t dimensions = 2);

/// What holds such a map.
MapBounds map_bounds(std::int64_t dimensions = 2);

/// Learning rate and momentum of 0: the map stays.
Buffer<TsneSchedule> still_schedule(Backend& backend);

const char* name_of(RepulsionMethod method);

Cost step_cost(double entries, std::int64_t points, std::int64_t dimensions = 2);
Cost repulsion_cost(RepulsionMethod method, std::int64_t points, std::int64_t dimensions = 2);

/// Of operations in turn, held against one rate.
Cost operator+(const Cost& a, const Cost& b);

}  // namespace hourglass::bench
