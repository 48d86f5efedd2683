// corrupt: Gaussian or masking noise on a batch, 8 bytes an element; bound by the generator and,
// for Gaussian noise, by the logarithm, root, sine and cosine of every second element. Formulas:
// gaussian_noise() and mask_noise() of math.hpp, philox.hpp.
//
// A vector of 64-bit lanes computes a group of four words in each lane, two groups to every block
// of 128 bits: the first half of the groups in the blocks' lower lanes, the second in the upper
// ones. Interleaving the lanes within the blocks then gives two vectors of elements in their order.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/corrupt.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/philox-inl.hpp"
#include "kernels/cpu/simd_math-inl.hpp"

#ifndef HOURGLASS_CORRUPT_ARGUMENTS
#define HOURGLASS_CORRUPT_ARGUMENTS
namespace hourglass::cpu {

struct CorruptArguments {
  const float* clean;
  float* noisy;
  std::int64_t size;
  Noise noise;
  NoiseRange range;
  std::uint64_t seed;
  std::uint32_t substream;
};

/// How many of the 2^24 uniforms of unit_uniform() lie below the probability.
inline std::int32_t uniforms_below(float probability) {
  const double count = std::ceil(static_cast<double>(probability) * 0x1p24);
  return count > 0.0 ? static_cast<std::int32_t>(std::min(count, 0x1p24)) : 0;
}

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DW = hn::Repartition<std::uint64_t, DF>;
using VF = hn::Vec<DF>;
using VW = hn::Vec<DW>;

/// What the elements of two vectors are changed with.
template <class V>
struct Halves {
  V lower;
  V upper;
};

struct GaussianNoise {
  explicit GaussianNoise(const CorruptArguments& a)
      : deviation(a.noise.amount), lower(a.range.lower), upper(a.range.upper) {}

  static HWY_INLINE Halves<VF> numbers(const PhiloxWords<VW>& words) {
    const DF d;
    const DW w;
    const auto pairs = normal_pairs(d, weave(w, words.word[0], words.word[2]),
                                    weave(w, words.word[1], words.word[3]));
    return {hn::InterleaveLower(d, pairs.first, pairs.second),
            hn::InterleaveUpper(d, pairs.first, pairs.second)};
  }
  HWY_INLINE VF apply(VF x, VF normal) const {
    const DF d;
    const VF low = hn::Set(d, lower), high = hn::Set(d, upper);
    const VF noisy = hn::MulAdd(hn::Set(d, deviation), normal, x);
    return hn::IfThenElse(hn::Lt(noisy, low), low,
                          hn::IfThenElse(hn::Gt(noisy, high), high, noisy));
  }

  float deviation, lower, upper;
};

struct MaskNoise {
  explicit MaskNoise(const CorruptArguments& a) : below(uniforms_below(a.noise.amount)) {}

  static HWY_INLINE Halves<VF> numbers(const PhiloxWords<VW>& words) {
    const DF d;
    const DW w;
    const auto first = hn::BitCast(w, weave(w, words.word[0], words.word[1]));
    const auto second = hn::BitCast(w, weave(w, words.word[2], words.word[3]));
    return {hn::BitCast(d, hn::InterleaveLower(w, first, second)),
            hn::BitCast(d, hn::InterleaveUpper(w, first, second))};
  }
  HWY_INLINE VF apply(VF x, VF word) const {
    const DF d;
    const hn::RebindToUnsigned<DF> words;
    const hn::RebindToSigned<DF> integers;
    const auto uniform = hn::BitCast(integers, hn::ShiftRight<8>(hn::BitCast(words, word)));
    const auto masked = hn::Lt(uniform, hn::Set(integers, below));
    return hn::IfThenZeroElse(hn::RebindMask(d, masked), x);
  }

  std::int32_t below;
};

/// The groups [begin, end) of four elements, of which the last may be cut short.
template <class Kind>
HWY_INLINE void corrupt_with(const CorruptArguments& a, std::int64_t begin, std::int64_t end) {
  const DF d;
  const DW w;
  const Kind noise(a);
  const PhiloxKeys keys(a.seed);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto groups = static_cast<std::int64_t>(hn::Lanes(w));
  // Lane 2 i + j of the groups' numbers: i + j groups / 2.
  const VW lane = hn::Iota(w, 0);
  const VW one = hn::Set(w, 1);
  const VW half = hn::Set(w, static_cast<std::uint64_t>(groups / 2));
  const VW order =
      hn::Add(hn::ShiftRight<1>(lane), hn::IfThenElseZero(hn::Eq(hn::And(lane, one), one), half));
  const auto numbers_of = [&](std::int64_t group) HWY_ATTR {
    const VW element = hn::Add(order, hn::Set(w, static_cast<std::uint64_t>(group)));
    return Kind::numbers(
        philox(w, keys, element, static_cast<std::uint32_t>(RandomStream::noise), a.substream));
  };
  const std::int64_t last = std::min(4 * end, a.size);
  std::int64_t at = 4 * begin;
  for (; at + 2 * lanes <= last; at += 2 * lanes) {
    const Halves<VF> numbers = numbers_of(at / 4);
    const VF lower = noise.apply(hn::LoadU(d, a.clean + at), numbers.lower);
    const VF upper = noise.apply(hn::LoadU(d, a.clean + at + lanes), numbers.upper);
    hn::StoreU(lower, d, a.noisy + at);
    hn::StoreU(upper, d, a.noisy + at + lanes);
  }
  if (at >= last) return;
  const Halves<VF> numbers = numbers_of(at / 4);
  const VF lower = noise.apply(load_at(d, a.clean, at, last), numbers.lower);
  if (at + lanes > last) return store_first(lower, d, a.noisy + at, last - at);
  hn::StoreU(lower, d, a.noisy + at);
  at += lanes;
  if (at == last) return;
  const VF upper = noise.apply(load_first(d, a.clean + at, last - at), numbers.upper);
  store_first(upper, d, a.noisy + at, last - at);
}

void corrupt_groups(const CorruptArguments& a, std::int64_t begin, std::int64_t end) {
  if (a.noise.kind == Noise::Kind::gaussian) {
    corrupt_with<GaussianNoise>(a, begin, end);
  } else {
    corrupt_with<MaskNoise>(a, begin, end);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(corrupt_groups);

void CpuBackend::corrupt(ConstMat clean, Noise noise, NoiseRange range, std::uint64_t seed,
                         const std::int64_t* step, Mat noisy) {
  constexpr std::int64_t cache_line = 4;  // groups: no line is written by two threads
  constexpr std::int64_t groups_for_threads = 4096;
  require(noisy.rows == clean.rows && noisy.columns == clean.columns, "corrupt",
          "an output of the input's shape");
  require(noise.kind != Noise::Kind::none, "corrupt", "Gaussian or masking noise");
  require(step != nullptr, "corrupt", "a number of steps");
  const CorruptArguments arguments{
      clean.data, noisy.data, clean.size(), noise, range, seed, static_cast<std::uint32_t>(*step)};
  pool_.for_ranges((clean.size() + 3) / 4, cache_line, groups_for_threads,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     HWY_DYNAMIC_DISPATCH(corrupt_groups)(arguments, begin, end);
                   });
}

}  // namespace hourglass::cpu
#endif
