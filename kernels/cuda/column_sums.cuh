// Sums over the rows of a matrix, for tall narrow matrices (256 x 32, 60,000 x 784) and wide ones
// alike.
//
// A block of 256 threads takes a strip of at most 32 columns (one 128-byte line of a row) and a
// chunk of rows. Its threads stand as `lanes` x (256 / lanes): a lane owns V neighbouring columns
// (4, read as one 128-bit word, or 1), and the other direction takes rows. Narrow matrices have
// fewer lanes and so more rows at once: of two columns, 128. Each block leaves one partial sum a
// column, and the last block of a strip to finish adds the chunks of its columns in order; where
// there are more strips than tickets, a second, small kernel does. Atomics count blocks and add
// nothing; the grid follows from the shape alone, so equal calls give equal bits.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/tickets.hpp"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {

inline constexpr int strip_threads = 256;
inline constexpr int strip_warps = strip_threads / warp_size;
inline constexpr int strip_columns = 32;                            // most columns of a strip
inline constexpr std::int64_t strip_blocks = round_limit(1024, 6);  // enough to fill a large GPU
inline constexpr std::int64_t strip_chunks =
    round_limit(128, 3);  // bounds the work of the second stage

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

/// The column of the block's strip that is this thread's to add up; -1: none.
template <int V>
__device__ __forceinline__ std::int64_t column_of_thread(const Strips& s) {
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t column = std::int64_t{blockIdx.x} * s.lanes * V + thread;
  return thread < s.lanes * V && column < s.columns ? column : -1;
}

/// Adds the block's column sums and writes them to partials[chunk, column]. All threads of the
/// block must call it; threads outside the matrix bring zeros.
template <int V, class T>
__device__ __forceinline__ void store_column_partials(const Strips& s, T (&sum)[V], T* partials) {
  __shared__ __align__(16) T shared[strip_warps][strip_columns];  // stored in words of 128 bits
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
  if (const std::int64_t column = column_of_thread<V>(s); column >= 0) {
    T total = shared[0][thread];
#pragma unroll
    for (int warp = 1; warp < strip_warps; ++warp) {
      total += shared[warp][thread];
    }
    partials[std::int64_t{blockIdx.y} * s.columns + column] = total;
  }
}

/// The sum over the chunks of a column, in order.
__device__ __forceinline__ float sum_of_chunks(const Strips& s, const float* partials,
                                               std::int64_t column) {
  double sum = 0.0;
  for (int chunk = 0; chunk < s.chunks; ++chunk)
    sum += static_cast<double>(partials[chunk * s.columns + column]);
  return static_cast<float>(sum);
}

/// Column sums in one launch. Where `ticket` is null, they are left to finish_column_sums().
struct ColumnSums {
  float* partials = nullptr;  ///< chunks x columns; null: no sums are asked for
  float* sums = nullptr;
  unsigned* ticket = nullptr;  ///< of the strips
};

/// Adds the block's column sums to what is in `out`. All threads of the block must call it; threads
/// outside the matrix bring zeros.
template <int V>
__device__ __forceinline__ void finish_columns(const Strips& s, float (&sum)[V],
                                               const ColumnSums& out) {
  if (out.partials == nullptr) return;
  store_column_partials(s, sum, out.partials);
  if (out.ticket == nullptr || !last_to_finish(out.ticket + blockIdx.x, gridDim.y)) return;
  if (const std::int64_t column = column_of_thread<V>(s); column >= 0) {
    out.sums[column] = sum_of_chunks(s, out.partials, column);
  }
}

/// The tickets for so many strips; null where there are not enough.
inline unsigned* strip_tickets(const Strips& s, const Tickets& tickets) {
  return s.strips <= Tickets::strips ? tickets.strip : nullptr;
}

/// The second stage of strips without tickets, in a launch of its own; nothing for the others.
void finish_column_sums(cudaStream_t stream, const Strips& strips, const ColumnSums& out);

}  // namespace hourglass::cuda
