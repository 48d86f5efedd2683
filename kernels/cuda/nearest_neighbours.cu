// nearest_neighbours: the exact k nearest references of every query, ascending by (distance,
// index).
//
// Shapes: queries Q x D, references R x D, index and squared_distance Q x k.
// FLOP: 2 Q R D (cuBLAS), 3 Q R for the selection, 3 Q (k + margin) D in float64. Bytes: 8 Q R
// through the tile of products, which is sized to stay in the second-level cache. 70,000 x 50: 490
// GFLOP.
//
// Exact, although the products are rounded. |q - r|^2 = |q|^2 + |r|^2 - 2 q.r loses the digits that
// its terms have in common; centring by the mean of the references makes the terms small, and the
// rest is bounded instead of hoped for: with float32 products summed in any order the error is at
// most g (|q|^2 + |r|^2), g = (D + 16) 2^-24 (Higham 2002, section 3.1: D for the sum, the rest for
// centring, the squares and the last additions). Scaling both squares by 1 - g therefore turns the
// value into a lower bound of the true distance, at no cost. The k + margin smallest lower bounds
// are selected, their distances computed anew by differences (distance.cuh) and sorted. Whoever was
// not selected is at least as far as the largest lower bound in the list: where the k-th distance
// is less, the row is proven. Rows that are not (many equal distances, data far from the mean) are
// listed and scanned again, by differences against every reference; so are all rows where k is too
// large for a list in shared memory.
//
// Launch: centre and square the references, once where that copy is at most 128 MiB (half a million
// rows of 64 columns), else tile by tile; for each tile of queries x references product and select
// (one block a query: values under the running threshold are appended to a list in shared memory,
// which is sorted and cut when it is full); for each tile of queries: rerank; at the end one scan
// over the listed rows. The lists' order of arrival varies, what is kept of them does not: keys are
// unique.
//
// Rows among themselves are not multiplied as unordered pairs. That would save half of the products
// and half of what they write, N^2 D FLOP and 2 N^2 bytes, but not of what select reads, 4 N^2
// bytes: each tile would have to be read by rows and by columns. And select would load and store
// the lists of a tile's columns for each tile, where those of its rows stay for all: with 98 keys
// some 6 MiB a tile beside its 32 MiB of products, and 8 N kept bytes for the lists of all rows,
// 784 MB for a million. Of the traffic of a tile through the second-level cache, 32 MiB written and
// 32 read, 16 + 32 + 6 would be left, a sixth less; with 50 columns that traffic weighs as much as
// the products do.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/distance.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/sort.cuh"
#include "kernels/cuda/statistics.hpp"

namespace hourglass::cuda {
namespace {

constexpr std::int64_t query_tile = 2048;
constexpr std::int64_t reference_tile = 4096;  // 2048 x 4096 products are 32 MiB
// Of centred rows: 64 MiB.
constexpr std::int64_t tile_elements = round_limit(std::int64_t{1} << 24, std::int64_t{1} << 18);
// Of all references: 128 MiB.
constexpr std::int64_t most_centred = round_limit(std::int64_t{1} << 25, std::int64_t{1} << 19);

constexpr int margin = 8;                 // candidates beyond k
constexpr std::int64_t largest_k = 1024;  // for a list in shared memory

constexpr int centre_threads = 256;
constexpr int select_threads = 128;
constexpr int rerank_resident = 4;
constexpr int select_width = 4;  // values of a thread in a sweep
constexpr int sweep = select_threads * select_width;
constexpr int scan_threads = 128;
constexpr int scan_resident = 4;
constexpr int scan_group = 1024;     // neighbours found in one pass over the references
constexpr int scan_capacity = 2048;  // of its list
constexpr std::int64_t scan_blocks = round_limit(1056, 3);

/// centred = x - mean in float32, norms = |centred|^2 scaled. A warp a row, V elements a lane.
template <int V>
__global__ void __launch_bounds__(centre_threads)
    centre_rows_kernel(const float* __restrict__ x, const double* __restrict__ mean,
                       std::int64_t rows, std::int64_t columns, double scale,
                       float* __restrict__ centred, float* __restrict__ norms) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t row =
      std::int64_t{blockIdx.x} * (centre_threads / warp_size) + threadIdx.x / warp_size;
  if (row >= rows) return;  // the whole warp
  double sum = 0.0;
  for (std::int64_t d = lane * V; d < columns; d += warp_size * V) {
    Pack<float, V> values = load_pack<V>(x + row * columns + d);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      values.value[v] -= static_cast<float>(mean[d + v]);
      sum += static_cast<double>(values.value[v]) * static_cast<double>(values.value[v]);
    }
    store_pack(centred + row * columns + d, values);
  }
  sum = warp_sum(sum);
  if (lane == 0) norms[row] = static_cast<float>(sum * scale);
}

/// Merges one tile of references into the lists. lists[query, 0 .. kept) ascend and begin as
/// no_key.
__global__ void __launch_bounds__(select_threads)
    select_kernel(const float* __restrict__ products, const float* __restrict__ query_norms,
                  const float* __restrict__ reference_norms, std::int64_t first_query,
                  std::int64_t first_reference, int references, bool same, int kept,
                  std::uint64_t* __restrict__ lists) {
  HOURGLASS_DYNAMIC_SHARED(std::uint64_t, keys);  // kept + 2 sweeps
  __shared__ int count;
  const int capacity = kept + 2 * sweep;
  const int thread = static_cast<int>(threadIdx.x);
  std::uint64_t* list = lists + std::int64_t{blockIdx.x} * kept;
  for (int i = thread; i < kept; i += select_threads) {
    keys[i] = list[i];
  }
  if (thread == 0) count = kept;
  __syncthreads();
  std::uint64_t threshold = keys[kept - 1];
  bool changed = false;
  const float* row = products + std::int64_t{blockIdx.x} * reference_tile;
  const float query_norm = query_norms[blockIdx.x];
  const std::int64_t itself =
      same ? first_query + std::int64_t{blockIdx.x} - first_reference : std::int64_t{-1};
  for (int base = 0; base < references; base += sweep) {
    const int first = base + thread * select_width;
    std::uint64_t key[select_width];
    unsigned near = 0;
    if (first < references) {
      // Beyond the last reference the tile holds values of no meaning; its width keeps the load
      // inside.
      const Pack<float, select_width> product = load_pack<select_width>(row + first);
      const Pack<float, select_width> norm = load_pack<select_width>(reference_norms + first);
#pragma unroll
      for (int v = 0; v < select_width; ++v) {
        const int at = first + v;
        const float bound = query_norm + norm.value[v] - 2.0f * product.value[v];
        key[v] = order_key(bound, static_cast<std::int32_t>(first_reference + at));
        if (at < references && at != itself && key[v] < threshold) near |= 1u << v;
      }
    }
    if (__syncthreads_or(static_cast<int>(near)) == 0) continue;
#pragma unroll
    for (int v = 0; v < select_width; ++v) {
      if ((near >> v & 1u) != 0) keys[atomicAdd(&count, 1)] = key[v];
    }
    __syncthreads();
    changed = true;
    const int size = count;
    if (size + sweep > capacity) {
      block_sort<select_threads>(keys, size);
      if (thread == 0) count = kept;
      threshold = keys[kept - 1];
      __syncthreads();
    }
  }
  if (!changed) return;
  block_sort<select_threads>(keys, count);
  for (int i = thread; i < kept; i += select_threads) {
    list[i] = keys[i];
  }
}

/// The true distances of the selected, sorted; rows that are not proven are appended to `unproven`.
__global__ void __launch_bounds__(select_threads, rerank_resident)
    rerank_kernel(const float* __restrict__ queries, const float* __restrict__ references,
                  std::int64_t columns, bool quads, std::int64_t first_query, int kept, int k,
                  bool complete, const std::uint64_t* __restrict__ lists,
                  std::int32_t* __restrict__ index, float* __restrict__ squared_distance,
                  std::int32_t* __restrict__ unproven, int* unproven_count) {
  HOURGLASS_DYNAMIC_SHARED(std::uint64_t, keys);  // kept
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t query = first_query + std::int64_t{blockIdx.x};
  const std::uint64_t* list = lists + std::int64_t{blockIdx.x} * kept;
  for (int i = thread; i < kept; i += select_threads) {
    const std::int32_t j = index_of(list[i]);
    keys[i] = order_key(
        exact_squared_distance(queries + query * columns, references + j * columns, columns, quads),
        j);
  }
  block_sort<select_threads>(keys, kept);
  for (int i = thread; i < k; i += select_threads) {
    index[query * k + i] = index_of(keys[i]);
    squared_distance[query * k + i] = distance_of(keys[i]);
  }
  // `complete`: every reference is in the list. Otherwise NaN fails the comparison, too.
  if (thread == 0 && !complete && !(distance_of(keys[k - 1]) < distance_of(list[kept - 1]))) {
    unproven[atomicAdd(unproven_count, 1)] = static_cast<std::int32_t>(query);
  }
}

/// The rows listed in `rows` (all where it is null), by differences against every reference;
/// scan_group neighbours a pass, each pass beginning after the last key of the one before.
__global__ void __launch_bounds__(scan_threads, scan_resident)
    scan_rows_kernel(const float* __restrict__ queries, const float* __restrict__ references,
                     std::int64_t reference_rows, std::int64_t columns, bool quads, bool same,
                     std::int64_t k, const std::int32_t* __restrict__ rows,
                     const int* __restrict__ row_count, std::int64_t all_rows,
                     std::int32_t* __restrict__ index, float* __restrict__ squared_distance) {
  __shared__ std::uint64_t keys[scan_capacity];
  __shared__ int count;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t items = rows != nullptr ? std::int64_t{*row_count} : all_rows;
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const std::int64_t query = rows != nullptr ? std::int64_t{rows[item]} : item;
    std::uint64_t after = 0;  // below every key of a distance
    for (std::int64_t done = 0; done < k; done += scan_group) {
      const int wanted = static_cast<int>(k - done < scan_group ? k - done : scan_group);
      std::uint64_t threshold = no_key;
      if (thread == 0) count = 0;
      for (std::int64_t base = 0; base < reference_rows; base += scan_threads) {
        const std::int64_t j = base + thread;
        std::uint64_t key = no_key;
        if (j < reference_rows && !(same && j == query)) {
          key = order_key(exact_squared_distance(queries + query * columns,
                                                 references + j * columns, columns, quads),
                          static_cast<std::int32_t>(j));
        }
        const bool near = key > after && key < threshold;
        if (__syncthreads_or(near ? 1 : 0) == 0) continue;
        if (near) keys[atomicAdd(&count, 1)] = key;
        __syncthreads();
        const int size = count;
        if (size + scan_threads > scan_capacity) {
          block_sort<scan_threads>(keys, size);
          if (thread == 0) count = wanted;
          threshold = keys[wanted - 1];
          __syncthreads();
        }
      }
      block_sort<scan_threads>(keys, count);
      for (int i = thread; i < wanted; i += scan_threads) {
        index[query * k + done + i] = index_of(keys[i]);
        squared_distance[query * k + done + i] = distance_of(keys[i]);
      }
      after = keys[wanted - 1];  // the list is used again after the first barrier of the next pass
    }
  }
}

}  // namespace

void CudaBackend::nearest_neighbours(ConstMat queries, ConstMat references, bool same,
                                     MatrixView<std::int32_t> index, Mat squared_distance) {
  const OperationRange range("nearest_neighbours");
  constexpr const char* name = "nearest_neighbours";
  const std::int64_t columns = queries.columns;
  const std::int64_t k = index.columns;
  const std::int64_t candidates = references.rows - (same ? 1 : 0);
  require(references.columns == columns, name, "queries and references of as many columns");
  require(index.rows == queries.rows && squared_distance.rows == queries.rows &&
              squared_distance.columns == k,
          name, "index and squared_distance of Q x k");
  if (queries.rows == 0 || k == 0) return;
  require(!same || queries.rows == references.rows, name,
          "queries that are the references, where they are said to be the same");
  require(k <= candidates, name, "k of at most the number of other rows");
  require(references.rows <= std::numeric_limits<std::int32_t>::max() &&
              queries.rows <= std::numeric_limits<std::int32_t>::max(),
          name, "fewer than 2^31 rows");
  const bool quads = rows_in_quads(columns, queries.data, references.data);
  const auto scan = [&](const std::int32_t* rows, const int* row_count) {
    launch("scan_rows_kernel", scan_rows_kernel,
           {.grid = blocks_for(queries.rows, 1, scan_blocks), .block = scan_threads}, stream(),
           queries.data, references.data, references.rows, columns, quads, same, k, rows, row_count,
           queries.rows, index.data, squared_distance.data);
  };
  if (k > largest_k || columns == 0) {
    scan(nullptr, nullptr);
    return;
  }

  const int kept = static_cast<int>(std::min<std::int64_t>(k + margin, candidates));
  const FeatureView reference_view{references.data, false, references.rows, columns};
  // Wide rows make shorter tiles; the width of the tile of products stays, for 128-bit loads.
  const std::int64_t tall = std::max<std::int64_t>(tile_elements / columns / 32 * 32, 32);
  const std::int64_t q_tile = std::min({query_tile, queries.rows, tall});
  const std::int64_t r_tile = std::min({reference_tile, references.rows, tall});
  const bool at_once = references.rows <= most_centred / columns;
  const std::int64_t centred_rows = at_once ? references.rows : r_tile;
  const bool shared = same && at_once;  // the queries are among the centred references
  // A sweep of the last tile reads squares to the end of its last word.
  const std::int64_t squares = centred_rows + select_width;
  const std::int64_t own_rows = shared ? 0 : q_tile;
  const std::int64_t mean_partials = column_mean_partials(reference_view);
  Scratch::Region region = scratch_.reserve(
      padded<double>(mean_partials) + padded<double>(columns) + padded<float>(own_rows * columns) +
      padded<float>(centred_rows * columns) + padded<float>(own_rows) + padded<float>(squares) +
      padded<float>(q_tile * reference_tile) + padded<std::uint64_t>(q_tile * kept) +
      padded<std::int32_t>(queries.rows) + padded<int>(1));
  double* partials = region.take<double>(mean_partials);
  double* mean = region.take<double>(columns);
  float* own_queries = region.take<float>(own_rows * columns);
  float* centred_references = region.take<float>(centred_rows * columns);
  float* own_norms = region.take<float>(own_rows);
  float* reference_norms = region.take<float>(squares);
  float* products = region.take<float>(q_tile * reference_tile);
  std::uint64_t* lists = region.take<std::uint64_t>(q_tile * kept);
  std::int32_t* unproven = region.take<std::int32_t>(queries.rows);
  int* unproven_count = region.take<int>(1);

  const double scale = 1.0 - 1.01 * (static_cast<double>(columns) + 16.0) * 0x1p-24;
  const auto centre = [&](const float* x, std::int64_t rows, float* centred, float* norms) {
    launch("centre_rows_kernel", quads ? centre_rows_kernel<4> : centre_rows_kernel<1>,
           {.grid = blocks_for(rows, centre_threads / warp_size, std::int64_t{1} << 31),
            .block = centre_threads},
           stream(), x, mean, rows, columns, scale, centred, norms);
  };
  column_mean(stream(), reference_view, partials, mean);
  fill(unproven_count, 0, sizeof(int));
  if (at_once) centre(references.data, references.rows, centred_references, reference_norms);
  for (std::int64_t q = 0; q < queries.rows; q += q_tile) {
    const std::int64_t q_rows = std::min(q_tile, queries.rows - q);
    fill(lists, 0xff, static_cast<std::size_t>(q_rows * kept) * sizeof(std::uint64_t));
    const float* centred_queries = shared ? centred_references + q * columns : own_queries;
    const float* query_norms = shared ? reference_norms + q : own_norms;
    if (!shared) centre(queries.data + q * columns, q_rows, own_queries, own_norms);
    for (std::int64_t r = 0; r < references.rows; r += r_tile) {
      const std::int64_t r_rows = std::min(r_tile, references.rows - r);
      const std::int64_t held = at_once ? r : 0;
      if (!at_once)
        centre(references.data + r * columns, r_rows, centred_references, reference_norms);
      blas_.gemm(Precision::float32, Transpose::no, Transpose::yes, q_rows, r_rows, columns, 1.0f,
                 centred_queries, columns, centred_references + held * columns, columns, 0.0f,
                 products, reference_tile);
      launch("select_kernel", select_kernel,
             {.grid = static_cast<unsigned>(q_rows),
              .block = select_threads,
              .shared_bytes = static_cast<std::size_t>(kept + 2 * sweep) * sizeof(std::uint64_t)},
             stream(), products, query_norms, reference_norms + held, q, r,
             static_cast<int>(r_rows), same, kept, lists);
    }
    launch("rerank_kernel", rerank_kernel,
           {.grid = static_cast<unsigned>(q_rows),
            .block = select_threads,
            .shared_bytes = static_cast<std::size_t>(kept) * sizeof(std::uint64_t)},
           stream(), queries.data, references.data, columns, quads, q, kept, static_cast<int>(k),
           kept == candidates, lists, index.data, squared_distance.data, unproven, unproven_count);
  }
  scan(unproven, unproven_count);
}

}  // namespace hourglass::cuda
