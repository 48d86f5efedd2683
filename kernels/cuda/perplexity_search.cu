// perplexity_search: for each row the precision beta at which p_j ~ exp(-beta d_j) has the entropy
// log(perplexity), and that distribution (van der Maaten and Hinton 2008, section 2).
//
// With e_j = d_j - min d (which changes no p and keeps the largest weight at 1), S = sum exp(-beta
// e_j):
//   H(beta) = log S + beta E[e],  dH / d(log beta) = -beta^2 Var[e].
// Newton on log beta inside a bracket that every evaluation narrows; where Newton leaves the
// bracket, bisection, or steps of growing length where a side is still open (Vladymyrov and
// Carreira-Perpinan 2013 bound the root the same way). Equal distances, and a perplexity of k or
// more, give the uniform distribution at beta = 0. Where more neighbours than the perplexity share
// the least distance, H never falls that low: the limit is uniform over them. Shapes:
// squared_distance and conditional N x k, precision N. Bytes: 4 N k read, 4 N k written; FLOP:
// about 6 evaluations of k exponentials in float64 a row, since float32 sums would not reach the
// tolerance for large k. Launch: a warp a row; the row stays in the first-level cache.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"

namespace hourglass::cuda {
namespace {

constexpr int search_threads = 256;
constexpr int search_resident = 2;
constexpr int search_warps = search_threads / warp_size;
constexpr std::int64_t search_blocks = round_limit(4096, 3);

constexpr double tolerance =
    1e-6;  // of the entropy; the table asks for 1e-5, and float32 results lose some
constexpr int most_evaluations = 200;
constexpr double largest_log =
    600.0;  // of the precision in units of 1 / mean distance: beyond lies the limit
constexpr float largest_precision = 3.402823466e38f;

struct Moments {
  double sum;       // of exp(-beta e)
  double mean;      // E[e]
  double variance;  // Var[e]
};

/// The same in every lane.
__device__ __forceinline__ Moments evaluate(const float* __restrict__ distances, std::int64_t k,
                                            float nearest, double beta) {
  double sum = 0.0;
  double first = 0.0;
  double second = 0.0;
  for (std::int64_t j = threadIdx.x % warp_size; j < k; j += warp_size) {
    const double e = static_cast<double>(distances[j]) - static_cast<double>(nearest);
    const double weight = exp(-beta * e);
    sum += weight;
    if (weight != 0.0) {  // an infinite distance weighs nothing
      first += weight * e;
      second += weight * e * e;
    }
  }
  sum = warp_sum(sum);
  const double mean = warp_sum(first) / sum;
  const double variance = warp_sum(second) / sum - mean * mean;
  return {sum, mean, variance > 0.0 ? variance : 0.0};
}

__global__ void __launch_bounds__(search_threads, search_resident)
    perplexity_kernel(const float* __restrict__ squared_distance, std::int64_t rows, std::int64_t k,
                      double target, float* __restrict__ conditional,
                      float* __restrict__ precision) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t stride = std::int64_t{gridDim.x} * search_warps;
  for (std::int64_t row = std::int64_t{blockIdx.x} * search_warps + threadIdx.x / warp_size;
       row < rows; row += stride) {
    const float* distances = squared_distance + row * k;
    float nearest = distances[0];
    for (std::int64_t j = lane; j < k; j += warp_size) {
      nearest = fminf(nearest, distances[j]);
    }
#pragma unroll
    for (int offset = warp_size / 2; offset > 0; offset >>= 1) {
      nearest = fminf(nearest, __shfl_xor_sync(full_mask, nearest, offset));
    }
    double total = 0.0;
    for (std::int64_t j = lane; j < k; j += warp_size) {
      total += static_cast<double>(distances[j]) - static_cast<double>(nearest);
    }
    const double scale = warp_sum(total) / static_cast<double>(k);

    double beta = 0.0;
    double sum = static_cast<double>(k);
    if (scale > 0.0 && target < log(static_cast<double>(k))) {
      // Every lane takes the same steps: the moments agree in every bit.
      const double infinity = static_cast<double>(__int_as_float(0x7f800000));
      double low = -infinity;  // of log beta; the entropy falls as it grows
      double high = infinity;
      double stretch = 2.0;
      double x = scale < infinity ? -log(scale) : 0.0;
      for (int evaluation = 0; evaluation < most_evaluations; ++evaluation) {
        beta = exp(x);
        const Moments m = evaluate(distances, k, nearest, beta);
        sum = m.sum;
        const double excess = log(m.sum) + beta * m.mean - target;
        if (fabs(excess) < tolerance) break;
        if (excess > 0.0) {
          low = x;
        } else {
          high = x;
        }
        double next = x + excess / (beta * beta * m.variance);
        if (!(next > low && next < high && fabs(next - x) < 4.0)) {
          if (low == -infinity) {
            next = high - stretch;
            stretch *= 2.0;
          } else if (high == infinity) {
            next = low + stretch;
            stretch *= 2.0;
          } else {
            next = 0.5 * (low + high);
          }
        }
        if (next == x || fabs(next) > largest_log || high - low < 1e-14 * fabs(x)) break;
        x = next;
      }
    } else if (!(scale == scale)) {
      sum = scale;  // NaN stays NaN
    }
    for (std::int64_t j = lane; j < k; j += warp_size) {
      const double e = static_cast<double>(distances[j]) - static_cast<double>(nearest);
      conditional[row * k + j] = static_cast<float>((beta > 0.0 ? exp(-beta * e) : 1.0) / sum);
    }
    if (lane == 0) {
      precision[row] = beta < static_cast<double>(largest_precision) ? static_cast<float>(beta)
                                                                     : largest_precision;
    }
  }
}

}  // namespace

void CudaBackend::perplexity_search(ConstMat squared_distance, float perplexity, Mat conditional,
                                    std::span<float> precision) {
  const OperationRange range("perplexity_search");
  constexpr const char* name = "perplexity_search";
  require(conditional.rows == squared_distance.rows &&
              conditional.columns == squared_distance.columns &&
              precision.size() == static_cast<std::size_t>(squared_distance.rows),
          name, "conditional of squared_distance's shape and a precision a row");
  require(perplexity >= 1.0f, name, "a perplexity of at least 1");
  if (squared_distance.size() == 0) return;
  launch("perplexity_kernel", perplexity_kernel,
         {.grid = blocks_for(squared_distance.rows, search_warps, search_blocks),
          .block = search_threads},
         stream(), squared_distance.data, squared_distance.rows, squared_distance.columns,
         std::log(static_cast<double>(perplexity)), conditional.data, precision.data());
}

}  // namespace hourglass::cuda
