// adam: one step over the flat buffer of parameters in one pass. Formula: adam_update() of
// math.hpp. Reads 16 and writes 12 bytes a parameter; a square root and a division each, so about
// as long in arithmetic as in second-level cache.
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adam.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void adam_range(float* parameters, const float* gradients, float* first_moment,
                float* second_moment, const AdamOptions& options, float step_size,
                std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    auto p = hn::LoadU(d, parameters + i);
    auto m = hn::LoadU(d, first_moment + i);
    auto v = hn::LoadU(d, second_moment + i);
    adam_update(d, p, hn::LoadU(d, gradients + i), m, v, options, step_size);
    hn::StoreU(p, d, parameters + i);
    hn::StoreU(m, d, first_moment + i);
    hn::StoreU(v, d, second_moment + i);
  }
  if (i < end) {
    const std::int64_t n = end - i;
    auto p = load_first(d, parameters + i, n);
    auto m = load_first(d, first_moment + i, n);
    auto v = load_first(d, second_moment + i, n);
    adam_update(d, p, load_first(d, gradients + i, n), m, v, options, step_size);
    store_first(p, d, parameters + i, n);
    store_first(m, d, first_moment + i, n);
    store_first(v, d, second_moment + i, n);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(adam_range);

void CpuBackend::adam(std::span<float> parameters, std::span<const float> gradients,
                      std::span<float> first_moment, std::span<float> second_moment,
                      AdamOptions options, AdamState* state) {
  constexpr std::int64_t cache_line = 16;  // floats: no line is written by two threads
  constexpr std::int64_t parameters_for_threads = 32768;
  require(gradients.size() == parameters.size() && first_moment.size() == parameters.size() &&
              second_moment.size() == parameters.size(),
          "adam", "as many gradients and moments as parameters");
  require(state != nullptr, "adam", "a state");
  advance(*state, options);
  const float step_size = state->step_size;
  pool_.for_ranges(static_cast<std::int64_t>(parameters.size()), cache_line, parameters_for_threads,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     HWY_DYNAMIC_DISPATCH(adam_range)
                     (parameters.data(), gradients.data(), first_moment.data(),
                      second_moment.data(), options, step_size, begin, end);
                   });
}

}  // namespace hourglass::cpu
#endif
