// gather_rows: out[b, d] = (source[row(b), d] - offset[d]) * factor[d], row(b) = index[b] or
// first_row + b.
// gather_batch: the same with row(b) = order[(*step mod S) batch + b], S batches an epoch.
//
// The rows of a batch, scaled, from a data set of bytes or float32 that lies in device memory as a
// whole. Shapes: source N x D, index B, offset and factor D, out B x D. Bytes: B D (1 or 4) read, 4
// B D written, 8 D read once a block row; 2 FLOP an element. Bound by bandwidth. Launch: a thread
// keeps its columns (four where D is a multiple of 4: one 32- or 128-bit load, one 128-bit store)
// and strides over the rows, so that offset and factor stay in registers and no division stands in
// the loop.
#include <utility>

#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"

namespace hourglass::cuda {
namespace {

constexpr int gather_threads = 256;
constexpr std::int64_t gather_blocks = round_limit(2048, 3);

/// Which batch of an epoch's order is meant: that number *step modulo `batches`.
struct BatchTurn {
  const std::int64_t* step = nullptr;  ///< null: the index is the batch's own
  std::int64_t batch = 0;
  std::int64_t batches = 1;
};

template <int V, class T>
__global__ void __launch_bounds__(gather_threads)
    gather_rows_kernel(const T* __restrict__ source, const std::int32_t* __restrict__ index,
                       BatchTurn turn, std::int64_t first_row, const float* __restrict__ offset,
                       const float* __restrict__ factor, std::int64_t rows, std::int64_t columns,
                       float* __restrict__ out) {
  if (turn.step != nullptr) index += *turn.step % turn.batches * turn.batch;
  const unsigned words = static_cast<unsigned>(columns / V);  // of a row
  const unsigned thread = blockIdx.x * gather_threads + threadIdx.x;
  const unsigned rows_at_once = gridDim.x * gather_threads / words;
  if (thread >= rows_at_once * words) return;
  const std::int64_t column = std::int64_t{thread % words} * V;
  const Pack<float, V> shift = load_pack<V>(offset + column);
  const Pack<float, V> scale = load_pack<V>(factor + column);
#pragma unroll 1
  for (std::int64_t b = thread / words; b < rows; b += rows_at_once) {
    const std::int64_t row = index != nullptr ? std::int64_t{index[b]} : first_row + b;
    const Pack<T, V> in = load_pack<V>(source + row * columns + column);
    Pack<float, V> scaled;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      scaled.value[v] = (static_cast<float>(in.value[v]) - shift.value[v]) * scale.value[v];
    }
    store_pack(out + b * columns + column, scaled);
  }
}

template <class T>
void gather_from(cudaStream_t stream, const T* source, const std::int32_t* index, BatchTurn turn,
                 std::int64_t first_row, const float* offset, const float* factor, Mat out) {
  const bool quads =
      rows_in_quads(out.columns, offset, factor, out.data) && aligned_to(4 * sizeof(T), source);
  const int per_thread = quads ? 4 : 1;
  // At least one thread a word of a row, so that every column has its thread.
  const std::int64_t words = out.columns / per_thread;
  const unsigned blocks = blocks_for(out.rows * words, gather_threads,
                                     std::max(gather_blocks, ceil_div(words, gather_threads)));
  launch("gather_rows_kernel", quads ? gather_rows_kernel<4, T> : gather_rows_kernel<1, T>,
         {.grid = blocks, .block = gather_threads}, stream, source, index, turn, first_row, offset,
         factor, out.rows, out.columns, out.data);
}

void gather(cudaStream_t stream, FeatureView source, const std::int32_t* index, BatchTurn turn,
            std::int64_t first_row, std::span<const float> offset, std::span<const float> factor,
            Mat out) {
  if (out.size() == 0) return;
  if (source.bytes) {
    gather_from(stream, static_cast<const unsigned char*>(source.data), index, turn, first_row,
                offset.data(), factor.data(), out);
  } else {
    gather_from(stream, static_cast<const float*>(source.data), index, turn, first_row,
                offset.data(), factor.data(), out);
  }
}

}  // namespace

void CudaBackend::gather_rows(FeatureView source, const std::int32_t* index, std::int64_t first_row,
                              std::span<const float> offset, std::span<const float> factor,
                              Mat out) {
  const OperationRange range("gather_rows");
  const auto columns = static_cast<std::size_t>(out.columns);
  require(source.columns == out.columns && offset.size() == columns && factor.size() == columns,
          "gather_rows", "source, offset, factor and out of as many columns");
  require(index != nullptr || (first_row >= 0 && first_row + out.rows <= source.rows),
          "gather_rows", "rows that lie within the source");
  gather(stream(), source, index, {}, first_row, offset, factor, out);
}

void CudaBackend::gather_batch(FeatureView source, std::span<const std::int32_t> order,
                               std::int64_t batch, const std::int64_t* step,
                               std::span<const float> offset, std::span<const float> factor,
                               Mat out) {
  const OperationRange range("gather_batch");
  const auto columns = static_cast<std::size_t>(out.columns);
  require(source.columns == out.columns && offset.size() == columns && factor.size() == columns,
          "gather_batch", "source, offset, factor and out of as many columns");
  require(std::cmp_equal(order.size(), source.rows) && batch >= 1 && out.rows <= batch &&
              step != nullptr,
          "gather_batch",
          "an order of all rows, a batch of at most `batch` of them and its number");
  gather(stream(), source, order.data(), {step, batch, ceil_div(source.rows, batch)}, 0, offset,
         factor, out);
}

}  // namespace hourglass::cuda
