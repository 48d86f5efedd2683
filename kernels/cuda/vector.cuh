// 128-bit accesses: four floats (or four bytes) that a thread loads and stores as one.
#pragma once

#include <cstdint>

namespace hourglass::cuda {

template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T value[count];
};

template <int count, class T>
__device__ __forceinline__ Pack<T, count> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, count>*>(from);
}

template <int count, class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, count>& pack) {
  *reinterpret_cast<Pack<T, count>*>(to) = pack;
}

inline bool aligned_to(std::uintptr_t bytes, const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

/// Whether rows of `columns` floats can be read four at a time at every one of these addresses.
/// Widths of a multiple of four keep the rows of a row_range() aligned; other widths take the
/// scalar path, whose warps still read whole lines.
template <class... Pointers>
bool rows_in_quads(std::int64_t columns, const Pointers*... pointers) {
  return columns % 4 == 0 && (aligned_to(16, pointers) && ...);
}

}  // namespace hourglass::cuda
