// A tile of 64 x 64 squared distances by differences, in float32: the inner loop of neighbour_ranks
// and class_distance_sums.
//
// Differences, not |a|^2 + |b|^2 - 2 a.b: twice the instructions of a product, but all terms are
// positive, so the result is within (D + 2) 2^-24 of itself however far from the origin the data
// lie. 256 threads stand as 16 x 16 and own 4 x 4 pairs each. 16 columns at a time are staged in
// shared memory, transposed, so that a thread reads its rows as two 128-bit words for 32
// instructions.
#pragma once

#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {

inline constexpr int tile_rows = 64;
inline constexpr int tile_depth = 16;
inline constexpr int tile_threads = 256;
inline constexpr int pair_rows = 4;  ///< of a thread, in both directions

struct alignas(16) DifferenceTile {
  static constexpr int stride =
      tile_rows + 4;  // keeps rows aligned and spreads the transposed stores over the banks
  float a[tile_depth][stride];
  float b[tile_depth][stride];
};

/// Where the calling thread's pairs are: rows [a, a + 4) x [b, b + 4) of the tile.
struct PairPlace {
  int a;
  int b;
  __device__ __forceinline__ PairPlace()
      : a(static_cast<int>(threadIdx.x) / (tile_rows / pair_rows) * pair_rows),
        b(static_cast<int>(threadIdx.x) % (tile_rows / pair_rows) * pair_rows) {}
};

/// The four elements of a row that the calling thread stages; zero where the row or the columns do
/// not exist, so that they add nothing.
__device__ __forceinline__ Pack<float, 4> staged_elements(const float* row, std::int64_t column,
                                                          std::int64_t columns, bool quads) {
  Pack<float, 4> elements = {};
  if (row == nullptr) return elements;
  if (quads) {
    if (column < columns) elements = load_pack<4>(row + column);
    return elements;
  }
#pragma unroll
  for (int v = 0; v < 4; ++v) {
    if (column + v < columns) elements.value[v] = row[column + v];
  }
  return elements;
}

/// sum[i][j] = |row_a(place.a + i) - row_b(place.b + j)|^2. row_a and row_b give the address of a
/// row of the tile, or null. All threads of the block must call it; it begins and ends with the
/// tile free for use.
template <class RowA, class RowB>
__device__ __forceinline__ void squared_differences(DifferenceTile& tile, std::int64_t columns,
                                                    bool quads, const RowA& row_a,
                                                    const RowB& row_b,
                                                    float (&sum)[pair_rows][pair_rows]) {
  constexpr int threads_per_row = tile_depth / 4;
  static_assert(tile_rows * threads_per_row == tile_threads);
  const int thread = static_cast<int>(threadIdx.x);
  const int staged_row = thread / threads_per_row;
  const int staged_depth = thread % threads_per_row * 4;
  const float* from_a = row_a(staged_row);
  const float* from_b = row_b(staged_row);
  const PairPlace place;
#pragma unroll
  for (int i = 0; i < pair_rows; ++i) {
#pragma unroll
    for (int j = 0; j < pair_rows; ++j) {
      sum[i][j] = 0.0f;
    }
  }
  for (std::int64_t first = 0; first < columns; first += tile_depth) {
    const Pack<float, 4> a = staged_elements(from_a, first + staged_depth, columns, quads);
    const Pack<float, 4> b = staged_elements(from_b, first + staged_depth, columns, quads);
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      tile.a[staged_depth + v][staged_row] = a.value[v];
      tile.b[staged_depth + v][staged_row] = b.value[v];
    }
    __syncthreads();
#pragma unroll
    for (int d = 0; d < tile_depth; ++d) {
      const Pack<float, 4> p = load_pack<4>(&tile.a[d][place.a]);
      const Pack<float, 4> q = load_pack<4>(&tile.b[d][place.b]);
#pragma unroll
      for (int i = 0; i < pair_rows; ++i) {
#pragma unroll
        for (int j = 0; j < pair_rows; ++j) {
          const float difference = p.value[i] - q.value[j];
          sum[i][j] = fmaf(difference, difference, sum[i][j]);
        }
      }
    }
    __syncthreads();
  }
}

}  // namespace hourglass::cuda
