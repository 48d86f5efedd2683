#include "bench/ceilings.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>

#include "bench/data.hpp"

namespace hourglass::bench {
namespace {

/// The least time of one call, over as many as fit 150 milliseconds and `calls` of them at a time.
/// On a CPU a call should be short beside a scheduler's slice: the least is then one that no other
/// program has interrupted.
double least_seconds(Backend& backend, int calls, const std::function<void()>& operation) {
  constexpr std::chrono::milliseconds most{150};
  operation();
  backend.synchronize();
  const auto watch = backend.make_stopwatch();
  const auto begin = std::chrono::steady_clock::now();
  double least = std::numeric_limits<double>::infinity();
  do {
    watch->start();
    for (int call = 0; call < calls; ++call)
      operation();
    watch->stop();
    least = std::min(least, watch->seconds() / calls);
  } while (std::chrono::steady_clock::now() - begin < most);
  return least;
}

/// Bytes in all, and of one call: calls go round in them.
struct Extent {
  std::int64_t bytes;
  std::int64_t piece;
};

double copy_rate(Backend& backend, Extent extent, int calls) {
  Buffer<unsigned char> from(backend, extent.bytes), to(backend, extent.bytes);
  from.zero();
  to.zero();
  std::int64_t at = 0;
  const double seconds = least_seconds(backend, calls, [&] {
    backend.copy(to.data() + at, from.data() + at, static_cast<std::size_t>(extent.piece));
    at = at + 2 * extent.piece <= extent.bytes ? at + extent.piece : 0;
  });
  return 2.0 * static_cast<double>(extent.piece) / seconds;
}

/// One multiply-add a value: nothing beside the memory that it is read from and written to.
double pass_rate(Backend& backend, Extent extent, int calls) {
  constexpr auto width = static_cast<std::int64_t>(sizeof(float));
  Buffer<float> values(backend, extent.bytes / width);
  values.zero();
  std::int64_t at = 0;
  const double seconds = least_seconds(backend, calls, [&] {
    backend.fma_chain(0.5f, 0.25f, 1, values.span(at / width, extent.piece / width));
    at = at + 2 * extent.piece <= extent.bytes ? at + extent.piece : 0;
  });
  return 2.0 * static_cast<double>(extent.piece) / seconds;
}

double fma_rate(Backend& backend, std::int64_t size, int terms) {
  Buffer<float> values = random_buffer(backend, size);
  const double seconds =
      least_seconds(backend, 1, [&] { backend.fma_chain(0.5f, 0.25f, terms, values.span()); });
  return 2.0 * terms * static_cast<double>(size) / seconds;
}

double gemm_rate(Backend& backend, std::int64_t n) {
  Buffer<float> a = random_buffer(backend, n * n), b = random_buffer(backend, n * n);
  Buffer<float> c(backend, n * n);
  const double seconds = least_seconds(backend, 1, [&] {
    backend.gemm(Transpose::no, Transpose::no, 1.0f, a.matrix(n, n), b.matrix(n, n), 0.0f,
                 c.matrix(n, n));
  });
  const auto width = static_cast<double>(n);
  return 2.0 * width * width * width / seconds;
}

}  // namespace

Ceilings measure_ceilings(Backend& backend, bool large) {
  constexpr std::int64_t mebibyte = std::int64_t{1} << 20;
  const BackendInfo info = backend.info();
  const auto cache = static_cast<std::int64_t>(info.cache_bytes);
  Ceilings ceilings;

  const auto most = static_cast<std::int64_t>(info.free_bytes / 8);
  const std::int64_t bytes = std::min(std::max(256 * mebibyte, 4 * cache), most);
  const Extent beyond{bytes, large ? bytes : std::min(8 * mebibyte, bytes)};
  ceilings.copy_bytes = copy_rate(backend, beyond, 1);
  ceilings.memory_bytes = std::max(ceilings.copy_bytes, pass_rate(backend, beyond, 1));

  // Half of the cache at most. Which size is the fastest depends on the levels above the last and
  // on what a launch costs.
  ceilings.cached_bytes = ceilings.memory_bytes;
  for (std::int64_t half = mebibyte / 4; half <= cache / 4; half *= 4) {
    ceilings.cached_bytes = std::max({ceilings.cached_bytes, copy_rate(backend, {half, half}, 16),
                                      pass_rate(backend, {2 * half, 2 * half}, 16)});
  }

  ceilings.fma_flops =
      large ? fma_rate(backend, 8 * mebibyte, 4096) : fma_rate(backend, 1 << 17, 512);
  for (const std::int64_t n : {512, 1024, 2048, 4096}) {
    if (n <= 2048 || large)
      ceilings.gemm_flops = std::max(ceilings.gemm_flops, gemm_rate(backend, n));
  }
  return ceilings;
}

}  // namespace hourglass::bench
