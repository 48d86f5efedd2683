// kernels/philox.hpp over SIMD lanes, for one Highway target: the generator in every bit, normal
// numbers within a few units in the last place (tests/parity/simd_math_test.cpp).
//
// clang-format off
#if defined(HOURGLASS_PHILOX_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HOURGLASS_PHILOX_INL_HPP
#undef HOURGLASS_PHILOX_INL_HPP
#else
#define HOURGLASS_PHILOX_INL_HPP
#endif
// clang-format on

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "kernels/philox.hpp"

#ifndef HOURGLASS_PHILOX_KEYS
#define HOURGLASS_PHILOX_KEYS
namespace hourglass::cpu {

/// The keys of the generator's rounds: in the lower half of each number, as lanes take them.
struct PhiloxKeys {
  static constexpr int rounds = 10;
  explicit PhiloxKeys(std::uint64_t seed) {
    auto key0 = static_cast<std::uint32_t>(seed);
    auto key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < rounds; ++round) {
      first[round] = key0;
      second[round] = key1;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
  }
  std::uint64_t first[rounds];
  std::uint64_t second[rounds];
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Four words for each of as many counters as there are 64-bit lanes: in the lower half of the
/// lane; the upper half is undefined. Products of 32 bits are then one instruction each, and no
/// halves have to be put together between rounds.
template <class V>
struct PhiloxWords {
  V word[4];
};

/// philox4x32() of the counters `element`, a 64-bit lane each.
template <class D64, class V = hn::Vec<D64>>
HWY_INLINE PhiloxWords<V> philox(D64 d, const PhiloxKeys& keys, V element, std::uint32_t stream,
                                 std::uint32_t substream) {
  const hn::Repartition<std::uint32_t, D64> words;
  const auto first_factor = hn::Set(words, 0xD2511F53u);
  const auto second_factor = hn::Set(words, 0xCD9E8D57u);
  V c0 = element;
  V c1 = hn::ShiftRight<32>(element);
  V c2 = hn::Set(d, stream);
  V c3 = hn::Set(d, substream);
  for (int round = 0; round < PhiloxKeys::rounds; ++round) {
    const V p0 = hn::MulEven(hn::BitCast(words, c0), first_factor);
    const V p1 = hn::MulEven(hn::BitCast(words, c2), second_factor);
    c0 = hn::Xor3(hn::ShiftRight<32>(p1), c1, hn::Set(d, keys.first[round]));
    c2 = hn::Xor3(hn::ShiftRight<32>(p0), c3, hn::Set(d, keys.second[round]));
    c1 = p1;
    c3 = p0;
  }
  return {{c0, c1, c2, c3}};
}

/// The lower halves of `even` and `odd` in turns.
template <class D64, class V = hn::Vec<D64>>
HWY_INLINE hn::Vec<hn::Repartition<std::uint32_t, D64>> weave(D64 d, V even, V odd) {
  const hn::Repartition<std::uint32_t, D64> words;
  (void)d;
  return hn::OddEven(hn::BitCast(words, hn::ShiftLeft<32>(odd)), hn::BitCast(words, even));
}

/// Pairs of standard normal numbers, as normal_pair() makes them.
template <class V>
struct NormalPairs {
  V first;
  V second;
};

/// sqrt(-2 log(open_uniform(bits))). The logarithm of u = 2^e (1 + x), sqrt(1/2) <= 1 + x <
/// sqrt(2), is e log 2 + x + x^2 P(x), P fitted with a relative error of the logarithm of 3e-8.
template <class D, class U>
HWY_INLINE hn::Vec<D> normal_radius(D d, U bits) {
  const hn::RebindToSigned<D> integers;
  const auto whole = hn::ConvertTo(d, hn::BitCast(integers, hn::ShiftRight<8>(bits)));
  const auto u = hn::Mul(hn::Add(whole, hn::Set(d, 0.5f)), hn::Set(d, 0x1p-24f));
  const auto image = hn::BitCast(integers, u);
  const auto exponent =
      hn::ShiftRight<23>(hn::Sub(image, hn::Set(integers, 0x3F3504F3)));  // that of sqrt(1/2)
  const auto mantissa = hn::BitCast(d, hn::Sub(image, hn::ShiftLeft<23>(exponent)));
  const auto x = hn::Sub(mantissa, hn::Set(d, 1.0f));
  auto p = hn::Set(d, 0.0873484984f);
  p = hn::MulAdd(p, x, hn::Set(d, -0.143075258f));
  p = hn::MulAdd(p, x, hn::Set(d, 0.149179727f));
  p = hn::MulAdd(p, x, hn::Set(d, -0.16570507f));
  p = hn::MulAdd(p, x, hn::Set(d, 0.199620724f));
  p = hn::MulAdd(p, x, hn::Set(d, -0.250017554f));
  p = hn::MulAdd(p, x, hn::Set(d, 0.333339512f));
  p = hn::MulAdd(p, x, hn::Set(d, -0.499999911f));
  const auto fraction = hn::MulAdd(hn::Mul(x, x), p, x);
  const auto log = hn::MulAdd(hn::ConvertTo(d, exponent), hn::Set(d, 0.693147181f), fraction);
  return hn::Sqrt(hn::Mul(hn::Set(d, -2.0f), log));
}

/// normal_pair() of two words a lane. The angle, bits / 2^32 turns, is the quarter in the two
/// highest bits of bits + 2^29, and what is left of it, the lower 30 bits as a signed number.
template <class D, class U>
HWY_INLINE NormalPairs<hn::Vec<D>> normal_pairs(D d, U radius_bits, U angle_bits) {
  using V = hn::Vec<D>;
  const hn::RebindToSigned<D> integers;
  const hn::RebindToUnsigned<D> words;
  const V radius = normal_radius(d, radius_bits);

  const auto rest_bits =
      hn::ShiftLeft<2>(hn::And(angle_bits, hn::Set(words, 0xFFFFFF00u)));  // 24 bits in all
  const V rest = hn::Mul(hn::ConvertTo(d, hn::BitCast(integers, rest_bits)), hn::Set(d, 0x1p-32f));
  const V square = hn::Mul(rest, rest);
  V s = hn::Set(d, -0.00460165786f);
  s = hn::MulAdd(s, square, hn::Set(d, 0.079680033f));
  s = hn::MulAdd(s, square, hn::Set(d, -0.64596349f));
  s = hn::MulAdd(s, square, hn::Set(d, 1.57079637f));
  s = hn::Mul(s, rest);
  V c = hn::Set(d, 0.000903766544f);
  c = hn::MulAdd(c, square, hn::Set(d, -0.0208601654f));
  c = hn::MulAdd(c, square, hn::Set(d, 0.253669232f));
  c = hn::MulAdd(c, square, hn::Set(d, -1.23370051f));
  c = hn::MulAdd(c, square, hn::Set(d, 1.0f));

  const auto quarter = hn::Add(angle_bits, hn::Set(words, 1u << 29));
  const auto odd = hn::ShiftLeft<1>(quarter);  // in the sign bit
  const auto is_odd = hn::RebindMask(d, hn::Lt(hn::BitCast(integers, odd), hn::Zero(integers)));
  const V sign = hn::SignBit(d);
  const V cosine_sign = hn::And(hn::BitCast(d, hn::Xor(quarter, odd)), sign);
  const V sine_sign = hn::And(hn::BitCast(d, quarter), sign);
  const V cosine = hn::Xor(hn::IfThenElse(is_odd, s, c), cosine_sign);
  const V sine = hn::Xor(hn::IfThenElse(is_odd, c, s), sine_sign);
  return {hn::Mul(radius, cosine), hn::Mul(radius, sine)};
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HOURGLASS_PHILOX_INL_HPP
