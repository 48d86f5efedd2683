// permute_affinities: a sparse matrix with its rows and columns in another order of the points.
//
// 16 bytes read and written an entry; the columns' new numbers are gathered from 4 N bytes.
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

namespace hourglass::cpu {

void CpuBackend::permute_affinities(ConstCsrView affinities, std::span<const std::int32_t> order,
                                    CsrView permuted) {
  const char* name = "permute_affinities";
  const std::int64_t n = affinities.rows;
  require(permuted.rows == n && static_cast<std::int64_t>(order.size()) == n, name,
          "an order and a matrix of as many rows");
  if (n == 0) {
    permuted.offsets[0] = 0;
    return;
  }
  require(permuted.capacity >= affinities.offsets[n], name, "room for the entries");
  std::int32_t* place = scratch_.reserve<std::int32_t>(n);
  permuted.offsets[0] = 0;
  for (std::int64_t s = 0; s < n; ++s) {
    const std::int64_t i = order[static_cast<std::size_t>(s)];
    place[i] = static_cast<std::int32_t>(s);
    permuted.offsets[s + 1] =
        permuted.offsets[s] + affinities.offsets[i + 1] - affinities.offsets[i];
  }
  pool_.for_ranges(n, 64, 512, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t s = begin; s < end; ++s) {
      const std::int64_t from = affinities.offsets[order[static_cast<std::size_t>(s)]];
      const std::int64_t to = permuted.offsets[s];
      const std::int64_t count = permuted.offsets[s + 1] - to;
      for (std::int64_t e = 0; e < count; ++e)
        permuted.columns[to + e] = place[affinities.columns[from + e]];
      std::copy_n(affinities.values + from, count, permuted.values + to);
    }
  });
}

}  // namespace hourglass::cpu
