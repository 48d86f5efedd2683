// locality_order: the points along a Morton curve (Morton 1966) through the map's bounding box,
// equal codes by index; in the order of their indices where a coordinate is not finite.
//
// Codes: morton_code() in math.hpp, of 16 bits a coordinate in the plane, 10 in space.
// Shapes: y N x 2 or N x 3, order N. Bytes: 16 (24) N for the codes, 96 N for their sort, 12 N for
// the order. FLOP: 4 (6) a point for the box, 4 (6) for the code. Bound by bandwidth; for 10,000
// points by some 25 launches.
// Launch: each block leaves the box of its points, which has no order to keep; each block of the
// second kernel takes the box of all from those (at most 128) and makes keys, the code above the
// index; radix_sort.cu sorts them.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/radix_sort.hpp"

namespace hourglass::cuda {
namespace {

constexpr int order_threads = 256;
constexpr std::int64_t box_points = round_limit(1024, 256);  // a block's, before it takes more
constexpr std::int64_t box_blocks = round_limit(128, 3);
constexpr std::int64_t code_blocks = round_limit(4096, 3);

/// Largest coordinates, largest negated coordinates, and whether one was not finite (1 or 0).
template <int dimensions>
struct Box {
  float value[2 * dimensions + 1];
};

template <int dimensions>
__device__ __forceinline__ Box<dimensions> empty_box() {
  Box<dimensions> box;
#pragma unroll
  for (int v = 0; v < 2 * dimensions; ++v)
    box.value[v] = -__int_as_float(0x7f800000);
  box.value[2 * dimensions] = 0.0f;
  return box;
}

/// Of all threads of a block, in thread 0.
template <int dimensions>
__device__ __forceinline__ Box<dimensions> block_box(Box<dimensions> box) {
  constexpr int warps = order_threads / warp_size;
  __shared__ float boxes[2 * dimensions + 1][warps];
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int v = 0; v < 2 * dimensions + 1; ++v) {
#pragma unroll
    for (int offset = warp_size / 2; offset > 0; offset >>= 1) {
      box.value[v] = fmaxf(box.value[v], __shfl_xor_sync(full_mask, box.value[v], offset));
    }
    if (thread % warp_size == 0) boxes[v][thread / warp_size] = box.value[v];
  }
  __syncthreads();
  if (thread == 0) {
#pragma unroll
    for (int v = 0; v < 2 * dimensions + 1; ++v) {
#pragma unroll
      for (int warp = 1; warp < warps; ++warp)
        box.value[v] = fmaxf(box.value[v], boxes[v][warp]);
    }
  }
  return box;
}

template <int dimensions>
__global__ void __launch_bounds__(order_threads)
    box_kernel(const float* __restrict__ y, bool pairs, std::int64_t points,
               float* __restrict__ boxes) {
  constexpr int values = 2 * dimensions + 1;
  Box<dimensions> box = empty_box<dimensions>();
  const std::int64_t stride = std::int64_t{gridDim.x} * order_threads;
#pragma unroll 1
  for (std::int64_t i = std::int64_t{blockIdx.x} * order_threads + threadIdx.x; i < points;
       i += stride) {
    const Point<dimensions> point = load_point<dimensions>(y, i, pairs);
#pragma unroll
    for (int c = 0; c < dimensions; ++c) {
      const float v = point.value[c];
      if (!(fabsf(v) <= 3.402823466e38f)) box.value[2 * dimensions] = 1.0f;
      box.value[c] = fmaxf(box.value[c], v);
      box.value[dimensions + c] = fmaxf(box.value[dimensions + c], -v);
    }
  }
  box = block_box<dimensions>(box);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int v = 0; v < values; ++v)
    boxes[values * blockIdx.x + v] = box.value[v];
}

template <int dimensions>
__global__ void __launch_bounds__(order_threads)
    code_kernel(const float* __restrict__ y, bool pairs, std::int64_t points,
                const float* __restrict__ boxes, int box_count, std::uint64_t* __restrict__ keys) {
  constexpr int values = 2 * dimensions + 1;
  __shared__ float shared_box[values];
  const int thread = static_cast<int>(threadIdx.x);
  Box<dimensions> all = empty_box<dimensions>();
  if (thread < box_count) {
#pragma unroll
    for (int v = 0; v < values; ++v)
      all.value[v] = boxes[values * thread + v];
  }
  all = block_box<dimensions>(all);
  if (thread == 0) {
#pragma unroll
    for (int v = 0; v < values; ++v)
      shared_box[v] = all.value[v];
  }
  __syncthreads();
  float span = 0.0f;
  float low[dimensions];
#pragma unroll
  for (int c = 0; c < dimensions; ++c) {
    low[c] = -shared_box[dimensions + c];
    span = fmaxf(span, shared_box[c] - low[c]);
  }
  const bool finite = shared_box[2 * dimensions] == 0.0f;
  const int last_cell = (1 << morton_bits(dimensions)) - 1;
  const float factor = static_cast<float>(last_cell) / fmaxf(span, 1e-30f);
  const std::int64_t stride = std::int64_t{gridDim.x} * order_threads;
#pragma unroll 1
  for (std::int64_t i = std::int64_t{blockIdx.x} * order_threads + thread; i < points;
       i += stride) {
    std::uint32_t code = 0;
    if (finite) {
      const Point<dimensions> point = load_point<dimensions>(y, i, pairs);
      std::uint32_t cell[dimensions];
#pragma unroll
      for (int c = 0; c < dimensions; ++c)
        cell[c] = morton_cell(point.value[c], low[c], factor);
      if constexpr (dimensions == 2) {
        code = morton_code(cell[0], cell[1]);
      } else {
        code = morton_code(cell[0], cell[1], cell[2]);
      }
    }
    keys[i] = (std::uint64_t{code} << 32) | static_cast<std::uint64_t>(i);
  }
}

__global__ void __launch_bounds__(order_threads)
    index_kernel(const std::uint64_t* __restrict__ keys, std::int64_t points,
                 std::int32_t* __restrict__ order) {
  const std::int64_t stride = std::int64_t{gridDim.x} * order_threads;
#pragma unroll 1
  for (std::int64_t s = std::int64_t{blockIdx.x} * order_threads + threadIdx.x; s < points;
       s += stride) {
    order[s] = static_cast<std::int32_t>(keys[s] & 0xffffffffu);
  }
}

}  // namespace

void CudaBackend::locality_order(ConstMat y, std::span<std::int32_t> order) {
  const OperationRange range("locality_order");
  const std::int64_t n = y.rows;
  require(map_dimensions(y.columns) && static_cast<std::int64_t>(order.size()) == n,
          "locality_order", "a place for every point of a map of two or three dimensions");
  require(n < std::int64_t{1} << 31, "locality_order", "fewer than 2^31 points");
  if (n == 0) return;
  const bool plane = y.columns == 2;
  const bool pairs = points_in_pairs(y.data);
  const RadixWorkspace sort = radix_workspace(n);
  const std::int64_t box_values = (2 * y.columns + 1) * box_blocks;
  Scratch::Region region = scratch_.reserve(
      padded<float>(box_values) + 2 * padded<std::uint64_t>(n) + padded<int>(sort.counts) +
      padded<std::int64_t>(sort.offsets) + padded<std::int64_t>(sort.scan));
  float* boxes = region.take<float>(box_values);
  std::uint64_t* keys = region.take<std::uint64_t>(n);
  std::uint64_t* other = region.take<std::uint64_t>(n);
  int* counts = region.take<int>(sort.counts);
  std::int64_t* offsets = region.take<std::int64_t>(sort.offsets);
  std::int64_t* scan = region.take<std::int64_t>(sort.scan);

  static_assert(box_blocks <= order_threads, "a thread reads a box");
  const unsigned box_count = blocks_for(n, box_points, box_blocks);
  const LaunchShape each_point{.grid = blocks_for(n, order_threads, code_blocks),
                               .block = order_threads};
  launch("box_kernel", plane ? box_kernel<2> : box_kernel<3>,
         {.grid = box_count, .block = order_threads}, stream(), y.data, pairs, n, boxes);
  launch("code_kernel", plane ? code_kernel<2> : code_kernel<3>, each_point, stream(), y.data,
         pairs, n, boxes, static_cast<int>(box_count), keys);
  radix_sort(stream(), keys, other, n, counts, offsets, scan);
  launch("index_kernel", index_kernel, each_point, stream(), keys, n, order.data());
}

}  // namespace hourglass::cuda
