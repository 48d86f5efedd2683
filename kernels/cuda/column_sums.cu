// The second stage of column sums of matrices with more strips than there are tickets: the chunks
// of each column in order.
//
// Shapes: partials chunks x D, sums D. Bytes: 4 chunks D are read: some hundred kilobytes, all in
// L2. FLOP: as many additions. Latency is its whole cost. Launch: one kernel, a thread a column.
#include "kernels/cuda/column_sums.cuh"

namespace hourglass::cuda {
namespace {

constexpr int finish_threads = 256;

__global__ void __launch_bounds__(finish_threads)
    finish_kernel(Strips strips, const float* __restrict__ partials, float* __restrict__ sums) {
  const std::int64_t column = std::int64_t{blockIdx.x} * finish_threads + threadIdx.x;
  if (column < strips.columns) sums[column] = sum_of_chunks(strips, partials, column);
}

}  // namespace

void finish_column_sums(cudaStream_t stream, const Strips& strips, const ColumnSums& out) {
  if (out.partials == nullptr || out.ticket != nullptr) return;
  launch("finish_kernel", finish_kernel,
         {.grid = blocks_for(strips.columns, finish_threads, std::int64_t{1} << 31),
          .block = finish_threads},
         stream, strips, out.partials, out.sums);
}

}  // namespace hourglass::cuda
