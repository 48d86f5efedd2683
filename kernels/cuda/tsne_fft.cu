// Repulsion by a grid: the points are spread over nodes by cubic B-splines, one transform of the
// nodes gives the potential's spectrum, the forces are gathered from the transforms of its two
// derivatives, and the partition is a sum over the spectrum. The formulas, and where the nodes lie:
// kernels/fft_grid.hpp.
//
// Shapes: y and force N x 2, partition one float64; n x n nodes, of which n / 2 x n / 2 are
// occupied. The others are zeros that keep the periodic convolution from wrapping around, written
// once.
// Bytes: 67 n^2: node sums 5, transform 16, derivatives 14, two transforms back 32; and about 800
// N, 16 nodes to add to and 32 to gather, in the caches for points that lie in the order of
// locality_order. FLOP: 15 n^2 log2 n of the transforms, some 150 N. Bound by bandwidth, for small
// maps by its launches. Memory: 31 n^2 and the workspace of the transforms.
//
// Spreading without an order to keep: a point's weights are added as integers, units of 2^-31 in 64
// bits, by atomics. Integers have one sum in whatever order they arrive, so the bits are the same
// every run, no sort is needed, and the rounding of 2^-32 a weight is finer than that of float32
// sums. A node holds less than N 4/9, far from an overflow. Early maps lie in a few cells, where
// all points would add to the same 16 nodes: a warp whose points share a cell adds them up by
// shuffles first.
//
// Launch: spreading and gathering, a thread a point; node sums to float32, a thread a node; the
// derivatives, a block a row, which leaves its part of the partition in float64; the first block of
// the gathering adds those in order. Prepared once for a size of the grid: plans, and the influence
// function (the kernel's transform over that of the splines), a quarter of the grid by symmetry.
#include <limits>
#include <optional>
#include <vector>

#include "kernels/buffer.hpp"
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/fft.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/points.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/repulsion.hpp"
#include "kernels/fft_grid.hpp"

namespace hourglass::cuda {
namespace {

constexpr int point_threads = 128;
constexpr std::int64_t point_blocks = round_limit(8192, 3);
constexpr int node_threads = 256;
constexpr std::int64_t node_blocks = round_limit(8192, 5);
constexpr std::int64_t spectrum_blocks = round_limit(1024, 7);
using NodeSum = unsigned long long;  // what atomicAdd() knows

/// FftGrid as the kernels need it.
struct Nodes {
  std::int64_t nodes;
  std::int64_t occupied;
  float spacing;
  float origin[2];
};

/// A point as the grid sees it.
struct Placed {
  bool inside = false;  ///< all of its nodes are occupied ones; false for NaN
  int column = 0;       ///< of its first node
  int row = 0;
  float weights[2][fft_support];
};

__device__ __forceinline__ Placed place_point(const Point<2>& point, const Nodes& grid) {
  const float last = static_cast<float>(grid.occupied - fft_support + 1) * grid.spacing;
  const float x = point.value[0] - grid.origin[0];
  const float y = point.value[1] - grid.origin[1];
  Placed placed;
  placed.inside = x >= grid.spacing && x <= last && y >= grid.spacing && y <= last;
  if (!placed.inside) return placed;
  // Divided, not multiplied by the inverse: what is at least the spacing then gives at least 1.
  const float u = x / grid.spacing;
  const float v = y / grid.spacing;
  const int column = static_cast<int>(u);
  const int row = static_cast<int>(v);
  cubic_spline_weights(u - static_cast<float>(column), placed.weights[0]);
  cubic_spline_weights(v - static_cast<float>(row), placed.weights[1]);
  placed.column = column - 1;
  placed.row = row - 1;
  return placed;
}

/// sums[row occupied + column] of the occupied nodes, in units of 2^-31; the element behind them
/// counts the points that lie outside.
__global__ void __launch_bounds__(point_threads)
    spread_kernel(const float* __restrict__ y, bool pairs, std::int64_t points, Nodes grid,
                  NodeSum* __restrict__ sums) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t stride = std::int64_t{gridDim.x} * point_threads;
  // All lanes of a warp take the same turns: they meet in the sums.
#pragma unroll 1
  for (std::int64_t first = std::int64_t{blockIdx.x} * point_threads; first < points;
       first += stride) {
    const std::int64_t i = first + threadIdx.x;
    Placed placed;
    if (i < points) {
      placed = place_point(load_point<2>(y, i, pairs), grid);
      if (!placed.inside) atomicAdd(&sums[grid.occupied * grid.occupied], NodeSum{1});
    }
    const int first_column = __shfl_sync(full_mask, placed.column, 0);
    const int first_row = __shfl_sync(full_mask, placed.row, 0);
    const bool alike = placed.inside && placed.column == first_column && placed.row == first_row;
    const bool shared = __all_sync(full_mask, alike) != 0;
    if (!shared && !placed.inside) continue;
    NodeSum* nodes = sums + placed.row * grid.occupied + placed.column;
    NodeSum of_lane = 0;  // of the warp at the node of the lane's number, where they share a cell
#pragma unroll
    for (int r = 0; r < fft_support; ++r) {
      const float scaled = placed.weights[1][r] * 2147483648.0f;
#pragma unroll
      for (int c = 0; c < fft_support; ++c) {
        const NodeSum weight = __float2uint_rn(scaled * placed.weights[0][c]);
        if (shared) {
          const NodeSum sum = warp_sum(weight);
          if (lane == r * fft_support + c) of_lane = sum;
        } else {
          atomicAdd(&nodes[r * grid.occupied + c], weight);
        }
      }
    }
    if (shared && lane < fft_support * fft_support) {
      atomicAdd(&nodes[lane / fft_support * grid.occupied + lane % fft_support], of_lane);
    }
  }
}

/// The sums as float32, where they lie among all nodes.
__global__ void __launch_bounds__(node_threads)
    node_sums_kernel(const NodeSum* __restrict__ sums, Nodes grid, float* __restrict__ nodes) {
#pragma unroll 1
  for (std::int64_t row = blockIdx.x; row < grid.occupied; row += gridDim.x) {
#pragma unroll 1
    for (std::int64_t column = threadIdx.x; column < grid.occupied; column += node_threads) {
      nodes[row * grid.nodes + column] =
          static_cast<float>(sums[row * grid.occupied + column]) * (1.0f / 2147483648.0f);
    }
  }
}

/// From G, the first of both spectra: i k_x B and i k_y B, B = G times the influence;
/// partials[block] = the block's part of the sum of |G|^2 times the influence.
__global__ void __launch_bounds__(node_threads)
    derivatives_kernel(const float* __restrict__ influence, std::int64_t n, float wavenumber,
                       Complex* __restrict__ spectra, double* __restrict__ partials) {
  const std::int64_t half = n / 2;
  const std::int64_t columns = half + 1;
  double power = 0.0;
#pragma unroll 1
  for (std::int64_t row = blockIdx.x; row < n; row += gridDim.x) {
    const std::int64_t m = row < half ? row : row - n;  // -n / 2 at the middle
    const float ky = row == half ? 0.0f : wavenumber * static_cast<float>(m);
    const float* influences = influence + (m < 0 ? -m : m) * columns;
    Complex* along_x = spectra + row * columns;
    Complex* along_y = along_x + n * columns;
#pragma unroll 2
    for (std::int64_t column = threadIdx.x; column < columns; column += node_threads) {
      const float kx = column == half ? 0.0f : wavenumber * static_cast<float>(column);
      const Complex g = along_x[column];
      const float factor = influences[column];
      const Complex b{g.real * factor, g.imaginary * factor};
      // The columns that are not kept are the conjugates of all but the first and the last.
      const double times = column == 0 || column == half ? 1.0 : 2.0;
      power += times * (static_cast<double>(g.real) * static_cast<double>(b.real) +
                        static_cast<double>(g.imaginary) * static_cast<double>(b.imaginary));
      along_x[column] = {-kx * b.imaginary, kx * b.real};
      along_y[column] = {-ky * b.imaginary, ky * b.real};
    }
  }
  power = block_sum<node_threads>(power);
  if (threadIdx.x == 0) partials[blockIdx.x] = power;
}

/// fields: both derivatives at all nodes, one after the other.
__global__ void __launch_bounds__(point_threads)
    gather_forces_kernel(const float* __restrict__ y, bool y_pairs, std::int64_t points, Nodes grid,
                         const float* __restrict__ fields, const NodeSum* __restrict__ outside,
                         const double* __restrict__ partials, int partial_count, bool force_pairs,
                         float* __restrict__ force, double* __restrict__ partition) {
  const std::int64_t stride = std::int64_t{gridDim.x} * point_threads;
#pragma unroll 1
  for (std::int64_t i = std::int64_t{blockIdx.x} * point_threads + threadIdx.x; i < points;
       i += stride) {
    const Placed placed = place_point(load_point<2>(y, i, y_pairs), grid);
    Point<2> sum{{__int_as_float(0x7fc00000), __int_as_float(0x7fc00000)}};
    if (placed.inside) {
      sum = {{0.0f, 0.0f}};
      const float* along_x = fields + placed.row * grid.nodes + placed.column;
      const float* along_y = along_x + grid.nodes * grid.nodes;
#pragma unroll
      for (int r = 0; r < fft_support; ++r) {
        float row_x = 0.0f;
        float row_y = 0.0f;
#pragma unroll
        for (int c = 0; c < fft_support; ++c) {
          row_x = fmaf(placed.weights[0][c], along_x[r * grid.nodes + c], row_x);
          row_y = fmaf(placed.weights[0][c], along_y[r * grid.nodes + c], row_y);
        }
        sum.value[0] = fmaf(placed.weights[1][r], row_x, sum.value[0]);
        sum.value[1] = fmaf(placed.weights[1][r], row_y, sum.value[1]);
      }
      sum = {{-0.5f * sum.value[0], -0.5f * sum.value[1]}};
    }
    store_point<2>(force, i, force_pairs, sum);
  }
  if (blockIdx.x != 0) return;
  double total = 0.0;
  for (int block = static_cast<int>(threadIdx.x); block < partial_count; block += point_threads)
    total += partials[block];
  total = block_sum<point_threads>(total);
  if (threadIdx.x == 0) {
    // Every point met itself, at q = 1.
    total -= static_cast<double>(points);
    if (total < 0.0) total = 0.0;  // NaN goes through
    *partition = *outside != 0 ? static_cast<double>(__int_as_float(0x7fc00000)) : total;
  }
}

/// The kernel q at the nodes' distances from the first, the shorter way round.
__global__ void __launch_bounds__(node_threads)
    sample_kernel(std::int64_t n, double spacing, float* __restrict__ samples) {
#pragma unroll 1
  for (std::int64_t row = blockIdx.x; row < n; row += gridDim.x) {
    const double dy = static_cast<double>(row < n - row ? row : n - row) * spacing;
#pragma unroll 1
    for (std::int64_t column = threadIdx.x; column < n; column += node_threads) {
      const double dx = static_cast<double>(column < n - column ? column : n - column) * spacing;
      samples[row * n + column] = static_cast<float>(1.0 / (1.0 + dx * dx + dy * dy));
    }
  }
}

/// From the samples' transform K: K / (W_x W_y)^2 / n^2, W the spline's, for rows 0 .. n / 2;
/// windows[m] = 1 / (W(m)^2 n).
__global__ void __launch_bounds__(node_threads)
    influence_kernel(const Complex* __restrict__ transform, const double* __restrict__ windows,
                     std::int64_t columns, float* __restrict__ influence) {
#pragma unroll 1
  for (std::int64_t row = blockIdx.x; row < columns; row += gridDim.x) {
    const double window = windows[row];
#pragma unroll 1
    for (std::int64_t column = threadIdx.x; column < columns; column += node_threads) {
      const double k = static_cast<double>(transform[row * columns + column].real);
      influence[row * columns + column] = static_cast<float>(k * windows[column] * window);
    }
  }
}

class FftRepulsion final : public Repulsion {
 public:
  FftRepulsion(CudaBackend& backend, std::int64_t points)
      : backend_(backend), points_(points), partials_(backend, spectrum_blocks) {}

  void prepare(const MapBounds& bounds) override {
    grid_ = {};  // what follows from here on follows from these bounds
    const bool fits = bounds.span() <= fft_longest_span;  // false for NaN
    if (points_ < 2 || !fits) return;                     // evaluate() says so
    const FftGrid grid = FftGrid::around(bounds);
    if (grid.nodes != ready_nodes_) allocate(grid.nodes);
    if (grid.spacing != ready_spacing_) make_influence(grid);
    grid_ = grid;
  }

  void evaluate(ConstMat y, Mat force, double* partition) override {
    const OperationRange range("tsne_repulsion");
    require_map("tsne_repulsion", y, force, points_, 2);
    if (points_ < 2 || grid_.nodes == 0) {
      // One point repels none, which the grid's rounding would not quite say; without a grid all
      // is NaN, whose bits may be all ones.
      const unsigned char value = points_ < 2 ? 0 : 0xff;
      backend_.fill(partition, value, sizeof(double));
      backend_.fill(force.data, value, static_cast<std::size_t>(force.size()) * sizeof(float));
      return;
    }
    const cudaStream_t stream = backend_.stream();
    const Nodes grid{
        grid_.nodes, grid_.occupied(), grid_.spacing, {grid_.origin[0], grid_.origin[1]}};
    const LaunchShape each_point{.grid = blocks_for(points_, point_threads, point_blocks),
                                 .block = point_threads};
    sums_.zero();
    launch("spread_kernel", spread_kernel, each_point, stream, y.data, points_in_pairs(y.data),
           points_, grid, sums_.data());
    launch("node_sums_kernel", node_sums_kernel,
           {.grid = blocks_for(grid.occupied, 1, node_blocks), .block = node_threads}, stream,
           sums_.data(), grid, nodes_.data());
    fft_->forward(nodes_.data(), spectra_.data());
    const unsigned partial_count = blocks_for(grid.nodes, 1, spectrum_blocks);
    launch("derivatives_kernel", derivatives_kernel, {.grid = partial_count, .block = node_threads},
           stream, influence_.data(), grid.nodes, wavenumber(), spectra_.data(), partials_.data());
    fft_->inverse_pair(spectra_.data(), fields_.data());
    launch("gather_forces_kernel", gather_forces_kernel, each_point, stream, y.data,
           points_in_pairs(y.data), points_, grid, fields_.data(),
           sums_.data() + grid.occupied * grid.occupied, partials_.data(),
           static_cast<int>(partial_count), points_in_pairs(force.data), force.data, partition);
  }

 private:
  /// Of the transforms' first harmonic.
  [[nodiscard]] float wavenumber() const {
    return static_cast<float>(
        2.0 * 3.14159265358979323846 /
        (static_cast<double>(grid_.nodes) * static_cast<double>(grid_.spacing)));
  }

  void allocate(std::int64_t n) {
    // What is there goes first: both sizes at once may not fit.
    ready_nodes_ = 0;
    ready_spacing_ = 0.0f;
    fft_.reset();
    sums_ = {};
    nodes_ = {};
    spectra_ = {};
    fields_ = {};
    influence_ = {};
    const std::int64_t half = n / 2;
    sums_ = {backend_, half * half + 1};
    nodes_ = {backend_, n * n};
    spectra_ = {backend_, 2 * n * (half + 1)};
    fields_ = {backend_, 2 * n * n};
    influence_ = {backend_, (half + 1) * (half + 1)};
    fft_.emplace(backend_.heap(), backend_.stream(), n);
    nodes_.zero();
    ready_nodes_ = n;
  }

  void make_influence(const FftGrid& grid) {
    const std::int64_t n = grid.nodes;
    const std::int64_t columns = n / 2 + 1;
    std::vector<double> window(static_cast<std::size_t>(columns));
    for (std::int64_t m = 0; m < columns; ++m) {
      const double w = cubic_spline_transform(m, n);
      window[static_cast<std::size_t>(m)] = 1.0 / (w * w * static_cast<double>(n));
    }
    const Buffer<double> windows(backend_, std::span<const double>(window));
    const LaunchShape rows{.grid = blocks_for(n, 1, node_blocks), .block = node_threads};
    launch("sample_kernel", sample_kernel, rows, backend_.stream(), n,
           static_cast<double>(grid.spacing), fields_.data());
    fft_->forward(fields_.data(), spectra_.data());
    launch("influence_kernel", influence_kernel, rows, backend_.stream(), spectra_.data(),
           windows.data(), columns, influence_.data());
    ready_spacing_ = grid.spacing;
  }

  CudaBackend& backend_;
  std::int64_t points_;
  FftGrid grid_;                  ///< no nodes where there is none
  std::int64_t ready_nodes_ = 0;  ///< what buffers and plans are for
  float ready_spacing_ = 0.0f;    ///< and the influence
  std::optional<Fft> fft_;
  Buffer<NodeSum> sums_;     ///< occupied nodes, and how many points lie outside
  Buffer<float> nodes_;      ///< n x n
  Buffer<Complex> spectra_;  ///< 2 x n x (n / 2 + 1)
  Buffer<float> fields_;     ///< 2 x n x n
  Buffer<float> influence_;  ///< (n / 2 + 1) x (n / 2 + 1)
  Buffer<double> partials_;  ///< of the partition
};

}  // namespace

std::unique_ptr<Repulsion> make_fft_repulsion(CudaBackend& backend, std::int64_t points) {
  return std::make_unique<FftRepulsion>(backend, points);
}

double fft_repulsion_seconds(std::int64_t points, double span) {
  if (!(span <= static_cast<double>(fft_longest_span)))
    return std::numeric_limits<double>::infinity();
  constexpr double bytes_a_second = 3.35e12;
  constexpr double launch_seconds = 3e-6;
  constexpr double launches = 12.0;  // five of this file, the rest of the transforms
  MapBounds bounds;
  bounds.high[0] = static_cast<float>(span);
  const auto n = static_cast<double>(FftGrid::around(bounds).nodes);
  return launches * launch_seconds +
         (67.0 * n * n + 800.0 * static_cast<double>(points)) / bytes_a_second;
}

}  // namespace hourglass::cuda
