// sparse_gemm: c = op(a) b + beta c, passing over the elements of a that equal `zero` in their
// column:
//   a b   = sum over those that differ of (a_id - zero_d) b_d: + zero b, once for all rows,
//   a^T b = sum over those that differ of (a_id - zero_d) b_i: + zero_d times the column sums of b.
// A share s of elements that differ leaves 2 s M N K FLOPs. Which they are is read off a as it goes
// by, a bit an element. Two rows of the first product share what they read of b, four columns of
// the second: of an image's strokes neighbours differ together (MNIST: 19 % of the pixels, 29 % of
// pairs of rows, 28 % of four columns).
//
// Where more than `densest` of a sample of rows differs, or c has no whole vectors, it is gemm.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/block_product.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sparse_gemm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

#ifndef HOURGLASS_SPARSE_GEMM_TYPES
#define HOURGLASS_SPARSE_GEMM_TYPES
namespace hourglass::cpu {
namespace {

/// a (rows x depth), with what its columns hold where there is nothing.
struct SparseRows {
  const float* data;
  std::int64_t rows;
  std::int64_t columns;
  const float* zero;  // null: all 0
};

constexpr std::int64_t word_bits = 64;
// Columns of a^T b that are worked on together.
constexpr std::int64_t group = 4;
constexpr std::int64_t groups_a_word = word_bits / group;

}  // namespace
}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Accumulators take half of the vector registers.
#if HWY_TARGET <= HWY_AVX3
constexpr int most_vectors = 8;
#else
constexpr int most_vectors = 4;
#endif

/// Bit j: whether from[j] differs from zero[j], j < count <= 64.
HWY_INLINE std::uint64_t differing(const float* from, const float* zero, std::int64_t count) {
  const hn::CappedTag<float, 16> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::uint64_t bits = 0;
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes) {
    const auto x = hn::LoadU(d, from + j);
    const auto z = zero != nullptr ? hn::LoadU(d, zero + j) : hn::Zero(d);
    std::uint8_t mask[8] = {};
    hn::StoreMaskBits(d, hn::Not(hn::Eq(x, z)), mask);  // a NaN differs
    bits |= (std::uint64_t{mask[0]} | std::uint64_t{mask[1]} << 8) << j;
  }
  for (; j < count; ++j)
    bits |= std::uint64_t{from[j] != (zero != nullptr ? zero[j] : 0.0f)} << j;
  return bits;
}

/// Bit j of word i to bit i of word j: swaps the two off-diagonal quarters, then those of each
/// quarter, and so on (Warren, "Hacker's Delight", 7-3).
HWY_INLINE void transpose_bits(std::array<std::uint64_t, word_bits>& square) {
  std::uint64_t mask = 0x00000000FFFFFFFF;
  for (std::size_t half = 32; half != 0; half /= 2, mask ^= mask << half) {
    for (std::size_t first = 0; first < word_bits; first += 2 * half) {
      for (std::size_t i = first; i < first + half; ++i) {
        const std::uint64_t swap = (square[i] >> half ^ square[i + half]) & mask;
        square[i + half] ^= swap;
        square[i] ^= swap << half;
      }
    }
  }
}

/// Elements of one row that differ.
std::int64_t count_differing(const SparseRows& a, std::int64_t row) {
  std::int64_t count = 0;
  for (std::int64_t j = 0; j < a.columns; j += word_bits) {
    count += std::popcount(differing(a.data + row * a.columns + j,
                                     a.zero != nullptr ? a.zero + j : nullptr,
                                     std::min(word_bits, a.columns - j)));
  }
  return count;
}

/// `vectors` vectors of the rows [row, row + rows) of c, from column `column` on. bits: a word for
/// each 64 columns of a, of those in which any of the rows differs.
template <int rows, int vectors, bool shifted>
HWY_INLINE void multiply_rows(const SparseRows& a, const std::uint64_t* bits, std::int64_t row,
                              const float* b, std::int64_t n, const float* base, bool accumulate,
                              float* c, std::int64_t column) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum[rows][vectors];
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t at = column + v * lanes;
      sum[r][v] = shifted ? hn::LoadU(d, base + at) : hn::Zero(d);
      if (accumulate) sum[r][v] = hn::Add(sum[r][v], hn::LoadU(d, c + (row + r) * n + at));
    }
  }
  const float* x = a.data + row * a.columns;
  for (std::int64_t first = 0; first < a.columns; first += word_bits) {
    for (std::uint64_t left = *bits++; left != 0; left &= left - 1) {
      const std::int64_t j = first + std::countr_zero(left);
      const float* from = b + j * n + column;
      for (int r = 0; r < rows; ++r) {
        const float value = x[r * a.columns + j];
        const auto factor = hn::Set(d, shifted ? value - a.zero[j] : value);
        for (int v = 0; v < vectors; ++v)
          sum[r][v] = hn::MulAdd(factor, hn::LoadU(d, from + v * lanes), sum[r][v]);
      }
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v)
      hn::StoreU(sum[r][v], d, c + (row + r) * n + column + v * lanes);
  }
}

template <int rows, bool shifted>
void multiply_panels(const SparseRows& a, const std::uint64_t* bits, std::int64_t row,
                     const float* b, std::int64_t n, const float* base, bool accumulate, float* c) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  std::int64_t column = 0;
  const auto panels = [&](auto vectors) {
    constexpr int count = decltype(vectors)::value;
    for (; column + count * lanes <= n; column += count * lanes)
      multiply_rows<rows, count, shifted>(a, bits, row, b, n, base, accumulate, c, column);
  };
  panels(std::integral_constant<int, most_vectors>());
  panels(std::integral_constant<int, 2>());
  panels(std::integral_constant<int, 1>());
}

/// The rows [begin, end) of c = a b; bits: room for a row of a.
void sparse_rows_range(const SparseRows& a, const float* b, std::int64_t n, const float* base,
                       bool accumulate, float* c, std::uint64_t* bits, std::int64_t begin,
                       std::int64_t end) {
  const std::int64_t words = (a.columns + word_bits - 1) / word_bits;
  for (std::int64_t row = begin; row < end; row += 2) {
    const bool two = row + 1 < end;
    for (std::int64_t word = 0; word < words; ++word) {
      const std::int64_t j = word * word_bits;
      const std::int64_t count = std::min(word_bits, a.columns - j);
      const float* zero = a.zero != nullptr ? a.zero + j : nullptr;
      const float* from = a.data + row * a.columns + j;
      bits[word] = differing(from, zero, count);
      if (two) bits[word] |= differing(from + a.columns, zero, count);
    }
    const auto multiply = [&](auto rows) {
      constexpr int count = decltype(rows)::value;
      if (a.zero != nullptr) {
        multiply_panels<count, true>(a, bits, row, b, n, base, accumulate, c);
      } else {
        multiply_panels<count, false>(a, bits, row, b, n, base, accumulate, c);
      }
    };
    if (two) {
      multiply(std::integral_constant<int, 2>());
    } else {
      multiply(std::integral_constant<int, 1>());
    }
  }
}

/// `vectors` vectors of `columns` rows of c = a^T b, those of a's columns [first, first + columns).
/// bits: a word for each 64 rows of a, of those in which any of these columns differs.
template <int columns, int vectors, bool shifted>
HWY_INLINE void multiply_columns(const SparseRows& a, const std::uint64_t* bits, std::int64_t first,
                                 const float* b, std::int64_t n, const float* sums, bool accumulate,
                                 float* c, std::int64_t column) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum[columns][vectors];
  hn::Vec<decltype(d)> zero[columns];
  for (int k = 0; k < columns; ++k) {
    zero[k] = shifted ? hn::Set(d, a.zero[first + k]) : hn::Zero(d);
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t at = column + v * lanes;
      sum[k][v] = shifted ? hn::Mul(zero[k], hn::LoadU(d, sums + at)) : hn::Zero(d);
      if (accumulate) sum[k][v] = hn::Add(sum[k][v], hn::LoadU(d, c + (first + k) * n + at));
    }
  }
  for (std::int64_t row = 0; row < a.rows; row += word_bits) {
    for (std::uint64_t left = *bits++; left != 0; left &= left - 1) {
      const std::int64_t i = row + std::countr_zero(left);
      const float* from = b + i * n + column;
      hn::Vec<decltype(d)> y[vectors];
      for (int v = 0; v < vectors; ++v)
        y[v] = hn::LoadU(d, from + v * lanes);
      for (int k = 0; k < columns; ++k) {
        auto factor = hn::Set(d, a.data[i * a.columns + first + k]);
        if (shifted) factor = hn::Sub(factor, zero[k]);
        for (int v = 0; v < vectors; ++v)
          sum[k][v] = hn::MulAdd(factor, y[v], sum[k][v]);
      }
    }
  }
  for (int k = 0; k < columns; ++k) {
    for (int v = 0; v < vectors; ++v)
      hn::StoreU(sum[k][v], d, c + (first + k) * n + column + v * lanes);
  }
}

template <int columns, bool shifted>
void multiply_group(const SparseRows& a, const std::uint64_t* bits, std::int64_t first,
                    const float* b, std::int64_t n, const float* sums, bool accumulate, float* c) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  std::int64_t column = 0;
  const auto panels = [&](auto vectors) {
    constexpr int count = decltype(vectors)::value;
    for (; column + count * lanes <= n; column += count * lanes)
      multiply_columns<columns, count, shifted>(a, bits, first, b, n, sums, accumulate, c, column);
  };
  panels(std::integral_constant<int, most_vectors / 2>());
  panels(std::integral_constant<int, 1>());
}

/// The rows of c = a^T b that belong to the 64 columns of a from `first` on. bits: room for a word
/// for each group of columns and 64 rows of a. sums: the column sums of b, where a has zeros that
/// are not 0.
void sparse_columns_range(const SparseRows& a, const float* b, std::int64_t n, const float* sums,
                          bool accumulate, float* c, std::uint64_t* bits, std::int64_t first) {
  const std::int64_t count = std::min(word_bits, a.columns - first);
  const std::int64_t chunks = (a.rows + word_bits - 1) / word_bits;
  const float* zero = a.zero != nullptr ? a.zero + first : nullptr;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    std::array<std::uint64_t, word_bits> square{};
    const std::int64_t row = chunk * word_bits;
    const std::int64_t height = std::min(word_bits, a.rows - row);
    for (std::int64_t i = 0; i < height; ++i) {
      square[static_cast<std::size_t>(i)] =
          differing(a.data + (row + i) * a.columns + first, zero, count);
    }
    transpose_bits(square);
    for (std::size_t g = 0; g < groups_a_word; ++g) {
      const std::uint64_t* of_group = square.data() + g * group;
      bits[static_cast<std::int64_t>(g) * chunks + chunk] =
          of_group[0] | of_group[1] | of_group[2] | of_group[3];
    }
  }
  const auto multiply = [&](auto columns, std::int64_t at, std::int64_t g) {
    constexpr int width = decltype(columns)::value;
    if (a.zero != nullptr) {
      multiply_group<width, true>(a, bits + g * chunks, at, b, n, sums, accumulate, c);
    } else {
      multiply_group<width, false>(a, bits + g * chunks, at, b, n, sums, accumulate, c);
    }
  };
  for (std::int64_t g = 0; g * group < count; ++g) {
    const std::int64_t at = g * group;
    if (at + group <= count) {
      multiply(std::integral_constant<int, group>(), first + at, g);
    } else {
      for (std::int64_t j = at; j < count; ++j)
        multiply(std::integral_constant<int, 1>(), first + j, g);
    }
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

// Of a share of elements this large the product takes as long as gemm.
constexpr double densest = 0.4;
constexpr std::int64_t sampled_rows = 16;

}  // namespace

HWY_EXPORT(count_differing);
HWY_EXPORT(sparse_rows_range);
HWY_EXPORT(sparse_columns_range);

void CpuBackend::sparse_gemm(Transpose transpose_a, ConstMat a, std::span<const float> zero,
                             ConstMat b, float beta, Mat c) {
  // Whole vectors of every instruction set.
  constexpr std::int64_t vector = 16;
  constexpr double flops_for_threads = 1e6;
  const bool ta = transpose_a == Transpose::yes;
  const std::int64_t n = b.columns;
  require(b.rows == (ta ? a.rows : a.columns), "sparse_gemm", "inner sizes of a and b to be equal");
  require(c.rows == (ta ? a.columns : a.rows) && c.columns == n, "sparse_gemm",
          "c of the product's shape");
  require(zero.empty() || static_cast<std::int64_t>(zero.size()) == a.columns, "sparse_gemm",
          "a zero a column, or none");
  const auto dense = [&] { gemm(transpose_a, Transpose::no, 1.0f, a, b, beta, c); };
  if (a.size() == 0 || n == 0 || n % vector != 0 || (beta != 0.0f && beta != 1.0f)) return dense();

  const bool shifted = std::any_of(zero.begin(), zero.end(), [](float z) { return z != 0.0f; });
  const SparseRows rows{a.data, a.rows, a.columns, shifted ? zero.data() : nullptr};
  const std::int64_t samples = std::min(sampled_rows, a.rows);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < samples; ++i)
    count += HWY_DYNAMIC_DISPATCH(count_differing)(rows, i * a.rows / samples);
  const double share = static_cast<double>(count) / static_cast<double>(samples * a.columns);
  if (!(share <= densest)) return dense();

  const double flops = 2.0 * share * static_cast<double>(a.size()) * static_cast<double>(n);
  const bool accumulate = beta == 1.0f;
  const std::int64_t words = (a.columns + word_bits - 1) / word_bits;
  if (!ta) {
    // A row of bits a thread, and zero b.
    const std::int64_t bits_size = (words + 7) / 8 * 8;
    auto* bits = scratch_.reserve<std::uint64_t>(pool_.threads() * bits_size + (n + 1) / 2);
    auto* base = reinterpret_cast<float*>(bits + pool_.threads() * bits_size);
    if (shifted) {
      block_product(false, 1, n, a.columns, {zero.data(), a.columns}, {b.data, n}, false,
                    {base, n});
    }
    constexpr std::int64_t grain = 2;
    const std::int64_t serial_below = flops < flops_for_threads ? a.rows + 1 : 2 * grain;
    pool_.for_ranges(
        a.rows, grain, serial_below, [&](std::int64_t begin, std::int64_t end, int part) {
          HWY_DYNAMIC_DISPATCH(sparse_rows_range)
          (rows, b.data, n, base, accumulate, c.data, bits + part * bits_size, begin, end);
        });
    return;
  }

  const std::int64_t chunks = (a.rows + word_bits - 1) / word_bits;
  const std::int64_t bits_size = (groups_a_word * chunks + 7) / 8 * 8;
  auto* bits = scratch_.reserve<std::uint64_t>(pool_.threads() * bits_size + (n + 1) / 2);
  auto* sums = reinterpret_cast<float*>(bits + pool_.threads() * bits_size);
  if (shifted) {
    constexpr std::int64_t tile = 256;
    for (std::int64_t begin = 0; begin < n; begin += tile) {
      const std::int64_t size = std::min(tile, n - begin);
      double sum[tile] = {};
      for (std::int64_t i = 0; i < b.rows; ++i) {
        for (std::int64_t j = 0; j < size; ++j)
          sum[j] += static_cast<double>(b.data[i * n + begin + j]);
      }
      for (std::int64_t j = 0; j < size; ++j)
        sums[begin + j] = static_cast<float>(sum[j]);
    }
  }
  pool_.for_ranges(words, 1, flops < flops_for_threads ? words + 1 : 2,
                   [&](std::int64_t begin, std::int64_t end, int part) {
                     for (std::int64_t word = begin; word < end; ++word) {
                       HWY_DYNAMIC_DISPATCH(sparse_columns_range)
                       (rows, b.data, n, sums, accumulate, c.data, bits + part * bits_size,
                        word * word_bits);
                     }
                   });
}

}  // namespace hourglass::cpu
#endif
