// corrupt: noisy = clean with Gaussian noise, limited to a range, or with values masked to 0.
//
// Formulas: gaussian_noise() and mask_noise() in math.hpp, philox4x32() and normal_pair() in
// philox.hpp (Salmon et al. 2011, Box and Muller 1958). Shapes: clean and noisy B x D, seen as one
// flat array. Bytes: 4 B D read and 4 B D written. FLOP: four elements share one call of the
// generator, 20 wide products and 60 additions and exclusive-ors of integers, and take 2 logarithms
// and 2 square roots and some 70 FLOP in the Gaussian case: about as long in arithmetic as in
// memory. Launch: one kernel, a thread four neighbouring elements, grid-stride; where pointers are
// not aligned to 128 bits, the same elements one by one.
#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/philox.hpp"

namespace hourglass::cuda {
namespace {

constexpr int corrupt_threads = 256;
constexpr std::int64_t corrupt_blocks = round_limit(2048, 3);
constexpr int group = 4;  // elements of one call of the generator

struct GaussianNoise {
  float deviation;
  NoiseRange range;
  __device__ __forceinline__ void operator()(const Philox4& words, Pack<float, group>& x) const {
    float normal[group];
    normal_pair(words.v[0], words.v[1], normal[0], normal[1]);
    normal_pair(words.v[2], words.v[3], normal[2], normal[3]);
#pragma unroll
    for (int i = 0; i < group; ++i) {
      x.value[i] = gaussian_noise(x.value[i], normal[i], deviation, range);
    }
  }
};

struct MaskNoise {
  float probability;
  __device__ __forceinline__ void operator()(const Philox4& words, Pack<float, group>& x) const {
#pragma unroll
    for (int i = 0; i < group; ++i) {
      x.value[i] = mask_noise(x.value[i], unit_uniform(words.v[i]), probability);
    }
  }
};

/// V = 4: whole groups as 128-bit words; V = 1: element by element. Either way the last group may
/// be shorter.
template <class Kind, int V>
__global__ void __launch_bounds__(corrupt_threads)
    corrupt_kernel(const float* __restrict__ clean, std::int64_t size, Kind noise,
                   std::uint64_t seed, const std::int64_t* __restrict__ step,
                   float* __restrict__ noisy) {
  const auto substream = static_cast<std::uint32_t>(*step);
  const std::int64_t stride = std::int64_t{gridDim.x} * corrupt_threads;
  const std::int64_t groups = (size + group - 1) / group;
#pragma unroll 1
  for (std::int64_t at = std::int64_t{blockIdx.x} * corrupt_threads + threadIdx.x; at < groups;
       at += stride) {
    const Philox4 words = philox4x32(seed, static_cast<std::uint64_t>(at),
                                     static_cast<std::uint32_t>(RandomStream::noise), substream);
    const std::int64_t begin = at * group;
    const bool whole = V == group && begin + group <= size;
    Pack<float, group> x{};
    if (whole) {
      x = load_pack<group>(clean + begin);
    } else {
#pragma unroll
      for (int i = 0; i < group; ++i) {
        if (begin + i < size) x.value[i] = clean[begin + i];
      }
    }
    noise(words, x);
    if (whole) {
      store_pack(noisy + begin, x);
    } else {
#pragma unroll
      for (int i = 0; i < group; ++i) {
        if (begin + i < size) noisy[begin + i] = x.value[i];
      }
    }
  }
}

}  // namespace

void CudaBackend::corrupt(ConstMat clean, Noise noise, NoiseRange range, std::uint64_t seed,
                          const std::int64_t* step, Mat noisy) {
  const OperationRange operation("corrupt");
  require(noisy.rows == clean.rows && noisy.columns == clean.columns, "corrupt",
          "clean and noisy of B x D");
  require(noise.kind != Noise::Kind::none, "corrupt", "Gaussian or masking noise");
  const std::int64_t size = clean.size();
  if (size == 0) return;
  const bool quads = aligned_to(16, clean.data) && aligned_to(16, noisy.data);
  const LaunchShape shape{.grid = blocks_for(size, corrupt_threads * group, corrupt_blocks),
                          .block = corrupt_threads};
  const auto start = [&](auto with) {
    using With = decltype(with);
    launch("corrupt_kernel", quads ? corrupt_kernel<With, group> : corrupt_kernel<With, 1>, shape,
           stream(), clean.data, size, with, seed, step, noisy.data);
  };
  if (noise.kind == Noise::Kind::gaussian) {
    start(GaussianNoise{noise.amount, range});
  } else {
    start(MaskNoise{noise.amount});
  }
}

}  // namespace hourglass::cuda
