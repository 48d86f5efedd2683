// gradient_norm: the Euclidean norm of the flat buffer of gradients in float64, 4 bytes an element
// read, and the scale that limits it: clip_scale() of math.hpp. A sum a chunk, added in the chunks'
// order.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gradient_norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/square_sum-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

double gradient_square_sum(const float* gradients, std::int64_t size) {
  return square_sum(gradients, size);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(gradient_square_sum);

void CpuBackend::gradient_norm(std::span<const float> gradients, float max_norm,
                               OptimiserState* state) {
  constexpr std::int64_t chunk = 4096;
  constexpr std::int64_t chunks_for_threads = 32;
  require(state != nullptr, "gradient_norm", "a state");
  const auto size = static_cast<std::int64_t>(gradients.size());
  const std::int64_t chunks = (size + chunk - 1) / chunk;
  double* sums = scratch_.reserve<double>(chunks);
  pool_.for_ranges(chunks, 1, chunks_for_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t c = begin; c < end; ++c) {
      const std::int64_t first = c * chunk;
      sums[c] = HWY_DYNAMIC_DISPATCH(gradient_square_sum)(gradients.data() + first,
                                                          std::min(chunk, size - first));
    }
  });
  double sum = 0.0;
  for (std::int64_t c = 0; c < chunks; ++c)
    sum += sums[c];
  state->gradient_norm = std::sqrt(sum);
  state->gradient_scale = clip_scale(state->gradient_norm, max_norm);
}

}  // namespace hourglass::cpu
#endif
