// column_statistics: mean[d] and population standard deviation[d] (ddof 0) of the columns of x,
// float64.
//
// mean = sum / N, deviation = sqrt(sum (x - mean)^2 / N), in two passes over x: the second one
// subtracts the mean, so columns far from zero lose nothing (Chan, Golub and LeVeque 1983). Shapes:
// x N x D (bytes or float32), mean and deviation D. Bytes: 2 N D (1 or 4); 4 FLOP in float64 an
// element. Bound by bandwidth, on GPUs with few float64 units by those. Launch: strips and chunks
// (column_sums.cuh), then one thread a column over the chunks, for each pass.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/statistics.hpp"

namespace hourglass::cuda {
namespace {

constexpr int moment_resident = 4;

/// partials[chunk, d] = sum of x, or of (x - mean)^2 where mean is given.
template <int V, class T>
__global__ void __launch_bounds__(strip_threads, moment_resident)
    column_moment_kernel(Strips strips, const T* __restrict__ x, const double* __restrict__ mean,
                         double* __restrict__ partials) {
  const StripThread<V> place(strips);
  double sum[V] = {};
  if (place.inside) {
    double centre[V] = {};
    if (mean != nullptr) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        centre[v] = mean[place.column + v];
      }
    }
    for (std::int64_t row = place.row; row < place.row_end; row += place.row_stride) {
      const Pack<T, V> in = load_pack<V>(x + row * strips.columns + place.column);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const double difference = static_cast<double>(in.value[v]) - centre[v];
        sum[v] += mean != nullptr ? difference * difference : difference;
      }
    }
  }
  store_column_partials(strips, sum, partials);
}

/// out[d] = sum of the chunks / N, or its square root.
__global__ void __launch_bounds__(strip_threads)
    finish_moment_kernel(Strips strips, const double* __restrict__ partials, bool root,
                         double* __restrict__ out) {
  const std::int64_t column = std::int64_t{blockIdx.x} * strip_threads + threadIdx.x;
  if (column >= strips.columns) return;
  double sum = 0.0;
  for (int chunk = 0; chunk < strips.chunks; ++chunk) {
    sum += partials[chunk * strips.columns + column];
  }
  const double moment = sum / static_cast<double>(strips.rows);
  out[column] = root ? sqrt(moment) : moment;
}

bool in_quads(FeatureView x) {
  return x.columns % 4 == 0 && aligned_to(x.bytes ? 4 : 16, x.data);
}

Strips strips_of(FeatureView x) {
  return make_strips(x.rows, x.columns, in_quads(x) ? 4 : 1);
}

template <class T>
void moment(cudaStream_t stream, FeatureView x, const double* mean, double* partials, double* out) {
  const Strips strips = strips_of(x);
  launch("column_moment_kernel",
         in_quads(x) ? column_moment_kernel<4, T> : column_moment_kernel<1, T>,
         {.grid = strips.grid(), .block = strip_threads}, stream, strips,
         static_cast<const T*>(x.data), mean, partials);
  launch(
      "finish_moment_kernel", finish_moment_kernel,
      {.grid = blocks_for(x.columns, strip_threads, std::int64_t{1} << 31), .block = strip_threads},
      stream, strips, partials, mean != nullptr, out);
}

void moment(cudaStream_t stream, FeatureView x, const double* mean, double* partials, double* out) {
  if (x.bytes) {
    moment<unsigned char>(stream, x, mean, partials, out);
  } else {
    moment<float>(stream, x, mean, partials, out);
  }
}

}  // namespace

std::int64_t column_mean_partials(FeatureView x) {
  return strips_of(x).partials();
}

void column_mean(cudaStream_t stream, FeatureView x, double* partials, double* mean) {
  moment(stream, x, nullptr, partials, mean);
}

void CudaBackend::column_statistics(FeatureView x, std::span<double> mean,
                                    std::span<double> deviation) {
  const OperationRange range("column_statistics");
  const auto columns = static_cast<std::size_t>(x.columns);
  require(mean.size() == columns && deviation.size() == columns, "column_statistics",
          "a mean and a deviation for each column");
  if (x.rows == 0 || x.columns == 0) return;
  const std::int64_t count = column_mean_partials(x);
  double* partials = scratch_.reserve(padded<double>(count)).take<double>(count);
  moment(stream(), x, nullptr, partials, mean.data());
  moment(stream(), x, mean.data(), partials, deviation.data());
}

}  // namespace hourglass::cuda
