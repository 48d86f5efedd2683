// shuffle_rows: the rows by shuffle_key(seed, row, epoch), equal keys by row: the order in which an
// epoch visits them.
//
// A word holds the upper 32 bits of a row's key above the row; radix_sort.cu sorts words by these
// bits and leaves equal ones in the order of their rows. What they do not tell apart (of 60,000
// rows a pair in every other epoch, of a million 116) one thread a run puts in order by the whole
// key, which it computes again. All 64 bits would be sorted by eight passes of 12 bytes a row and
// twice as many launches.
//
// Shapes: order N. Bytes: 8 N written for the words, 96 N for their sort, 8 N read and 4 N written
// at the end. FLOP: none; ten rounds of the generator a row, of two wide products each. Launch: 22
// kernels, of which 20 sort; for 60,000 rows their number is what they cost.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/radix_sort.hpp"
#include "kernels/philox.hpp"

namespace hourglass::cuda {
namespace {

constexpr int shuffle_threads = 256;
constexpr std::int64_t shuffle_blocks = round_limit(2048, 3);
/// The model of CUDA sorts by fewer, so that runs are met at the sizes that it can run.
constexpr int sorted_bits = static_cast<int>(round_limit(32, 8));

__global__ void __launch_bounds__(shuffle_threads)
    shuffle_words_kernel(std::uint64_t seed, std::uint32_t epoch, std::int64_t size,
                         std::uint64_t* __restrict__ words) {
  const std::int64_t stride = std::int64_t{gridDim.x} * shuffle_threads;
#pragma unroll 1
  for (std::int64_t row = std::int64_t{blockIdx.x} * shuffle_threads + threadIdx.x; row < size;
       row += stride) {
    const std::uint64_t upper = shuffle_key(seed, row, epoch) >> (64 - sorted_bits);
    words[row] = upper << 32 | static_cast<std::uint64_t>(row);
  }
}

/// The thread of a run's first word writes the order of its rows; within a run rows ascend.
__global__ void __launch_bounds__(shuffle_threads)
    settle_runs_kernel(const std::uint64_t* __restrict__ words, std::uint64_t seed,
                       std::uint32_t epoch, std::int64_t size, std::int32_t* __restrict__ order) {
  const std::int64_t stride = std::int64_t{gridDim.x} * shuffle_threads;
#pragma unroll 1
  for (std::int64_t first = std::int64_t{blockIdx.x} * shuffle_threads + threadIdx.x; first < size;
       first += stride) {
    const std::uint64_t upper = words[first] >> 32;
    if (first > 0 && words[first - 1] >> 32 == upper) continue;
    order[first] = static_cast<std::int32_t>(words[first]);
#pragma unroll 1
    for (std::int64_t at = first + 1; at < size && words[at] >> 32 == upper; ++at) {
      const auto row = static_cast<std::int32_t>(words[at]);
      const std::uint64_t key = shuffle_key(seed, row, epoch);
      std::int64_t place = at;
#pragma unroll 1
      for (; place > first && shuffle_key(seed, order[place - 1], epoch) > key; --place)
        order[place] = order[place - 1];
      order[place] = row;
    }
  }
}

}  // namespace

void CudaBackend::shuffle_rows(std::uint64_t seed, std::uint32_t epoch,
                               std::span<std::int32_t> order) {
  const OperationRange range("shuffle_rows");
  require(order.size() <= std::size_t{1} << 31, "shuffle_rows", "at most 2^31 rows");
  const auto size = static_cast<std::int64_t>(order.size());
  if (size == 0) return;
  const RadixWorkspace space = radix_workspace(size);
  Scratch::Region region =
      scratch_.reserve(2 * padded<std::uint64_t>(size) + padded<int>(space.counts) +
                       padded<std::int64_t>(space.offsets) + padded<std::int64_t>(space.scan));
  auto* words = region.take<std::uint64_t>(size);
  auto* other = region.take<std::uint64_t>(size);
  int* counts = region.take<int>(space.counts);
  auto* offsets = region.take<std::int64_t>(space.offsets);
  auto* scan = region.take<std::int64_t>(space.scan);
  const LaunchShape shape{.grid = blocks_for(size, shuffle_threads, shuffle_blocks),
                          .block = shuffle_threads};
  launch("shuffle_words_kernel", shuffle_words_kernel, shape, stream(), seed, epoch, size, words);
  radix_sort(stream(), words, other, size, counts, offsets, scan);
  launch("settle_runs_kernel", settle_runs_kernel, shape, stream(), words, seed, epoch, size,
         order.data());
}

}  // namespace hourglass::cuda
