// The second stage of every two-stage sum: chunks of columns in order, and the blocks' totals by
// one block.
//
// Shapes: partials chunks x D, sums D; a float64 a block of the first stage, one total. Bytes: 4
// chunks D and 8 a block are read: a few kilobytes, all in L2. FLOP: as many additions. Latency is
// its whole cost. Launch: one kernel, a thread a column; its first block adds the totals, too.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

constexpr int finish_threads = 256;

__global__ void __launch_bounds__(finish_threads)
    finish_kernel(Strips strips, const float* __restrict__ partials, float* __restrict__ sums,
                  const double* __restrict__ block_totals, std::int64_t block_count, double factor,
                  double* __restrict__ total) {
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t column = std::int64_t{blockIdx.x} * finish_threads + thread;
  if (sums != nullptr && column < strips.columns) {
    double sum = 0.0;
    for (int chunk = 0; chunk < strips.chunks; ++chunk) {
      sum += static_cast<double>(partials[chunk * strips.columns + column]);
    }
    sums[column] = static_cast<float>(sum);
  }
  if (total == nullptr || blockIdx.x != 0) return;
  double sum = 0.0;
#pragma unroll 1
  for (std::int64_t block = thread; block < block_count; block += finish_threads) {
    sum += block_totals[block];
  }
  sum = block_sum<finish_threads>(sum);
  if (thread == 0) *total += factor * sum;
}

}  // namespace

void finish_column_sums(cudaStream_t stream, const Strips& strips, const float* partials,
                        float* sums, const double* block_totals, std::int64_t block_count,
                        double factor, double* total) {
  const std::int64_t columns = sums != nullptr ? strips.columns : 0;
  launch(
      "finish_kernel", finish_kernel,
      {.grid = blocks_for(columns, finish_threads, std::int64_t{1} << 31), .block = finish_threads},
      stream, strips, partials, sums, block_totals, block_count, factor, total);
}

}  // namespace hourglass::cuda
