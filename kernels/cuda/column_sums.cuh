// Sums over the rows of a matrix, for tall narrow matrices (256 x 32, 60,000 x 784) and wide ones
// alike.
//
// A block of 256 threads takes a strip of at most 32 columns (one 128-byte line of a row) and a
// chunk of rows. Its threads stand as `lanes` x (256 / lanes): a lane owns V neighbouring columns
// (4, read as one 128-bit word, or 1), and the other direction takes rows. Narrow matrices have
// fewer lanes and so more rows at once: of two columns, 128. Each block leaves one partial sum a
// column, and a second, small kernel adds the chunks of a column in order. No atomics; the grid
// follows from the shape alone, so equal calls give equal bits.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {

inline constexpr int strip_threads = 256;
inline constexpr int strip_warps = strip_threads / warp_size;
inline constexpr int strip_columns = 32;                            // most columns of a strip
inline constexpr std::int64_t strip_blocks = round_limit(1024, 6);  // enough to fill a large GPU
inline constexpr std::int64_t strip_chunks =
    round_limit(128, 3);  // bounds the work of the second kernel

/// How a matrix is cut into strips and chunks.
struct Strips {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  int lanes = 1;  ///< a power of two, at most 32
  int strips = 1;
  int chunks = 1;
  std::int64_t rows_per_chunk = 0;

  [[nodiscard]] dim3 grid() const {
    return {static_cast<unsigned>(strips), static_cast<unsigned>(chunks), 1};
  }
  [[nodiscard]] std::int64_t blocks() const { return std::int64_t{strips} * chunks; }
  /// Elements of the partial sums: chunks x columns.
  [[nodiscard]] std::int64_t partials() const { return chunks * columns; }
};

/// A matrix of no rows has one chunk, without any.
inline Strips make_strips(std::int64_t rows, std::int64_t columns, int columns_per_lane) {
  Strips s;
  s.rows = rows;
  s.columns = columns;
  const std::int64_t wanted =
      ceil_div(std::min<std::int64_t>(columns, strip_columns), columns_per_lane);
  while (s.lanes < wanted)
    s.lanes *= 2;
  s.strips = static_cast<int>(ceil_div(columns, std::int64_t{s.lanes} * columns_per_lane));
  const std::int64_t rows_at_once = strip_threads / s.lanes;
  const std::int64_t most = std::clamp<std::int64_t>(strip_blocks / s.strips, 1, strip_chunks);
  const std::int64_t chunks = std::clamp<std::int64_t>(ceil_div(rows, rows_at_once), 1, most);
  const std::int64_t rows_of_each = std::max<std::int64_t>(ceil_div(rows, chunks), 1);
  s.rows_per_chunk = ceil_div(rows_of_each, rows_at_once) * rows_at_once;
  s.chunks = static_cast<int>(std::max<std::int64_t>(ceil_div(rows, s.rows_per_chunk), 1));
  return s;
}

/// The calling thread's part of its block's strip and chunk.
template <int V>
struct StripThread {
  std::int64_t column;   ///< the first of its V columns
  bool inside;           ///< whether they exist
  std::int64_t row;      ///< its first row
  std::int64_t row_end;  ///< of the chunk
  std::int64_t row_stride;

  __device__ __forceinline__ explicit StripThread(const Strips& s) {
    const int thread = static_cast<int>(threadIdx.x);
    column = (std::int64_t{blockIdx.x} * s.lanes + thread % s.lanes) * V;
    inside = column < s.columns;
    const std::int64_t chunk_begin = std::int64_t{blockIdx.y} * s.rows_per_chunk;
    row = chunk_begin + thread / s.lanes;
    row_end = chunk_begin + s.rows_per_chunk < s.rows ? chunk_begin + s.rows_per_chunk : s.rows;
    row_stride = strip_threads / s.lanes;
  }
};

/// Adds the block's column sums and writes them to partials[chunk, column]. All threads of the
/// block must call it; threads outside the matrix bring zeros.
template <int V, class T>
__device__ __forceinline__ void store_column_partials(const Strips& s, T (&sum)[V], T* partials) {
  __shared__ T shared[strip_warps][strip_columns];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % warp_size;
  for (int offset = s.lanes; offset < warp_size; offset <<= 1) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum[v] += __shfl_xor_sync(full_mask, sum[v], offset);
    }
  }
  if (lane < s.lanes) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      shared[thread / warp_size][lane * V + v] = sum[v];
    }
  }
  __syncthreads();
  const std::int64_t column = std::int64_t{blockIdx.x} * s.lanes * V + thread;
  if (thread < s.lanes * V && column < s.columns) {
    T total = shared[0][thread];
#pragma unroll
    for (int warp = 1; warp < strip_warps; ++warp) {
      total += shared[warp][thread];
    }
    partials[std::int64_t{blockIdx.y} * s.columns + column] = total;
  }
}

/// The second stage: sums[c] = sum over chunks of partials[chunk, c] (where sums is not empty), and
/// *total += factor * sum of block_totals (where total is not null). One launch for both.
void finish_column_sums(cudaStream_t stream, const Strips& strips, const float* partials,
                        float* sums, const double* block_totals, std::int64_t block_count,
                        double factor, double* total);

/// *total += factor * sum of block_totals[0 .. count), by one block.
inline void finish_total(cudaStream_t stream, const double* block_totals, std::int64_t count,
                         double factor, double* total) {
  finish_column_sums(stream, Strips{}, nullptr, nullptr, block_totals, count, factor, total);
}

}  // namespace hourglass::cuda
