// What the operations take of memory beside their arguments, by formula, so that a plan can be made
// before anything is allocated (memory.hpp). The constants are those of the operations' files under
// kernels/, which are named; tests/memory compares the CPU's with what is really taken.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "kernels/fft_grid.hpp"

namespace hourglass {

/// Sums of sizes stay below 2^64 although sizes that a user asked for may not: a size ends here.
inline constexpr std::uint64_t most_bytes = std::uint64_t{1} << 56;

/// sizeof(T) times all `factors`; at most most_bytes, and 0 where a factor is not above 0.
template <class T>
[[nodiscard]] std::uint64_t bytes_of(std::initializer_list<std::int64_t> factors) {
  std::uint64_t product = sizeof(T);
  for (const std::int64_t factor : factors) {
    if (factor <= 0) return 0;
    if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(factor), &product)) {
      product = most_bytes;
    }
    product = std::min(product, most_bytes);
  }
  return product;
}

template <class T>
[[nodiscard]] std::uint64_t bytes_of(std::int64_t count) {
  return bytes_of<T>({count});
}

struct Workspace {
  std::uint64_t kept = 0;       ///< of the backend's scratch memory, which grows and stays
  std::uint64_t temporary = 0;  ///< until the operation ends
};

/// The workspace of each operation that takes more than a few hundred KB.
class WorkspaceModel {
 public:
  /// `on_host`: the CPU backend with so many threads; otherwise the CUDA backend.
  WorkspaceModel(bool on_host, int threads) : on_host_(on_host), threads_(threads) {}

  /// Any pass over a batch of B rows that sums over them: bias gradients, losses, penalties.
  [[nodiscard]] Workspace batch(std::int64_t rows, std::int64_t columns) const {
    if (on_host_) return {bytes_of<double>({blocks(rows, 32), columns}), 0};  // row_blocks.hpp
    return scratch(strips(columns));
  }

  /// A product with a transposed second operand of rows x columns, on the CPU: a copy of it.
  [[nodiscard]] Workspace gemm_transposed(std::int64_t rows, std::int64_t columns) const {
    constexpr std::int64_t largest_copy = std::int64_t{1} << 22;  // cpu/gemm.cpp
    if (!on_host_ || rows > largest_copy / at_least_one(columns)) return {};
    return {bytes_of<float>({columns, rows + 16}), 0};
  }

  /// Both products of a batch of B rows and D columns with N others.
  [[nodiscard]] Workspace sparse_gemm(std::int64_t rows, std::int64_t columns,
                                      std::int64_t n) const {
    if (!on_host_) return {};
    const std::int64_t words = std::max(16 * blocks(rows, 64), blocks(columns, 64)) + 8;
    return {times_threads(bytes_of<std::uint64_t>(words)) + bytes_of<float>(n + 1), 0};
  }

  /// Of B rows, K units and D outputs.
  [[nodiscard]] Workspace output_layer(std::int64_t rows, std::int64_t units,
                                       std::int64_t outputs) const {
    constexpr std::int64_t panel = 112, widest_input = 256;  // cpu/output_layer.cpp
    const std::int64_t tile = units <= 64 ? 32 : 128;
    if (!on_host_ || units > widest_input) {
      return {std::max(batch(rows, outputs).kept, gemm_transposed(units, outputs).kept), 0};
    }
    return {times_threads(bytes_of<float>({panel + 32, tile + units + 4})) +
                static_cast<std::uint64_t>(threads_ - 1) * bytes_of<float>({rows, units}),
            0};
  }

  /// Of B rows, D inputs and K code units: sums over the batch and over the weights.
  [[nodiscard]] Workspace contractive_penalty(std::int64_t rows, std::int64_t inputs,
                                              std::int64_t units) const {
    if (on_host_) return {bytes_of<double>({blocks(std::max(rows, inputs), 32) + 3, units}), 0};
    return scratch(2 * strips(units));
  }

  [[nodiscard]] Workspace column_statistics(std::int64_t rows, std::int64_t columns) const {
    if (on_host_) return {bytes_of<double>({blocks(rows, 2048), columns}), 0};
    return scratch(strips(columns));
  }

  [[nodiscard]] Workspace covariance(std::int64_t rows, std::int64_t columns) const {
    constexpr std::int64_t chunk_elements = std::int64_t{1} << 23;  // cuda/covariance.cu
    const std::int64_t chunk =
        on_host_ ? 384 : std::max<std::int64_t>(chunk_elements / at_least_one(columns), 1);
    return scratch(bytes_of<double>({std::min(chunk, rows), columns}));
  }

  /// `same`: of references among themselves.
  [[nodiscard]] Workspace nearest_neighbours(std::int64_t queries, std::int64_t references,
                                             std::int64_t columns, std::int64_t k,
                                             bool same) const {
    if (on_host_) {
      // A tile of distances, candidates, the queries and a packed tile of references.
      const std::int64_t block = std::min<std::int64_t>(queries, 128);
      const std::uint64_t by_differences = bytes_of<float>({block + 1, 512}) +
                                           bytes_of<double>({block, candidates_of(k)}) +
                                           bytes_of<float>({block + 512, columns + 1});
      if (columns <= 16 || 2 * k >= references) return {0, times_threads(by_differences)};
      // Rows that cannot be proven by products are done by differences.
      const std::int64_t keep = std::min(k + 16, references - (same ? 1 : 0));
      const std::uint64_t lists = bytes_of<double>({queries, candidates_of(keep)});
      const std::uint64_t panels =
          bytes_of<float>({references + 48, columns + 1}) + bytes_of<float>({3, columns + 16});
      const bool by_pairs =
          same && bytes_of<double>({queries, candidates_of(keep) - 1}) <= std::uint64_t{4} << 30;
      if (by_pairs) {
        return {
            0, panels + lists + bytes_of<std::int32_t>(references) + times_threads(by_differences)};
      }
      const std::int64_t rows = std::clamp<std::int64_t>(
          std::min((std::int64_t{1} << 17) / columns, queries / 64) / 48 * 48, 48, 480);
      return {0, panels + times_threads(by_differences + bytes_of<float>({rows + 48, columns + 1}) +
                                        bytes_of<double>({rows + 48, candidates_of(keep)}))};
    }
    constexpr std::int64_t largest_k = 1024;
    if (k > largest_k) return {};
    constexpr std::int64_t query_tile = 2048, reference_tile = 4096;
    const std::int64_t tall =
        std::max<std::int64_t>((std::int64_t{1} << 24) / at_least_one(columns) / 32 * 32, 32);
    const std::int64_t rows = std::min({query_tile, queries, tall});
    const bool at_once = references <= (std::int64_t{1} << 25) / at_least_one(columns);
    const std::int64_t centred =
        at_once ? references : std::min({reference_tile, references, tall});
    const std::int64_t own = same && at_once ? 0 : rows;
    return scratch(strips(columns) + bytes_of<double>(columns) +
                   bytes_of<float>({own + centred, columns + 1}) +
                   bytes_of<float>({rows, reference_tile}) +
                   bytes_of<std::uint64_t>({rows, std::min(k + 8, references)}) +
                   bytes_of<std::int32_t>(queries));
  }

  [[nodiscard]] Workspace neighbour_ranks(std::int64_t rows, std::int64_t columns,
                                          std::int64_t k) const {
    if (on_host_) {
      return {0, times_threads(bytes_of<float>({2 * 512, columns}) + bytes_of<float>({512, 64}) +
                               bytes_of<float>({3 * 64, k}))};
    }
    // Of each group of 32 neighbours keys, places and 33 counts.
    return scratch(bytes_of<char>({rows, blocks(k, 32), 32 * 8 + 32 * 4 + 33 * 4}));
  }

  [[nodiscard]] Workspace symmetrise(std::int64_t rows, std::int64_t k) const {
    // Each edge twice, by its origin and by its end; offsets.
    const std::uint64_t edges =
        bytes_of<std::uint64_t>({2, rows, k}) + bytes_of<std::uint64_t>({2, rows + 1});
    return on_host_ ? Workspace{0, edges} : scratch(edges);
  }

  /// Of Backend::make_repulsion: as long as the Repulsion lives, for maps up to `span`. `tree` only
  /// on the host.
  [[nodiscard]] std::uint64_t repulsion(RepulsionMethod method, std::int64_t points,
                                        std::int64_t dimensions, double span) const {
    if (method == RepulsionMethod::fft) return grid(points, span);
    if (method == RepulsionMethod::tree) {
      // Keys and coordinates are 40 bytes a point, 52 in three dimensions. Nodes and lists follow
      // from the map, in vectors that grow by doubling: 9 to 90 bytes a point in maps of one to ten
      // clusters, of a span of 1e-4 to 3,000, of 1,000 to 1,000,000 points.
      return bytes_of<char>({points, dimensions == 2 ? 140 : 400});
    }
    if (on_host_) {
      return bytes_of<float>({dimensions, points + 128, 1 + std::int64_t{threads_}});
    }
    // cuda/tsne_repulsion.cu: the partial forces of each slice of the points.
    const std::int64_t cut = slices(points, points);
    return bytes_of<float>({dimensions, points, cut}) +
           bytes_of<double>({blocks(points, 512), cut});
  }

  [[nodiscard]] Workspace tsne_step(std::int64_t rows, std::int64_t dimensions) const {
    if (on_host_) return {bytes_of<double>({3, blocks(rows, 2048)}), 0};
    return scratch(bytes_of<double>({dimensions, 128}));  // cuda/tsne_step.cu: of each block a sum
  }

  [[nodiscard]] Workspace tsne_field(std::int64_t targets, std::int64_t sources,
                                     std::int64_t dimensions) const {
    if (on_host_) return {bytes_of<float>({dimensions, sources + 64}), 0};
    return scratch(bytes_of<char>({targets, slices(targets, sources), 4 * dimensions + 8}));
  }

  [[nodiscard]] Workspace locality_order(std::int64_t points) const {
    if (on_host_) return {0, bytes_of<std::uint64_t>({2, points})};  // keys, twice
    return scratch(radix_sort(points) + bytes_of<float>({128, 7}));  // boxes of 128 blocks
  }

  [[nodiscard]] Workspace shuffle_rows(std::int64_t rows) const {
    if (on_host_) return {bytes_of<char>({2, 16, rows}), 0};  // keys and rows, twice
    return scratch(radix_sort(rows));
  }

  [[nodiscard]] Workspace permute_affinities(std::int64_t rows) const {
    const std::uint64_t places = bytes_of<std::int32_t>(rows);
    if (on_host_) return {places, 0};
    return scratch(2 * places + bytes_of<std::int64_t>(blocks(rows, 2048)));  // and lengths
  }

  [[nodiscard]] Workspace tsne_kl(std::int64_t points, std::int64_t dimensions) const {
    if (on_host_)
      return {bytes_of<double>({dimensions, points}), bytes_of<double>({3, blocks(points, 64)})};
    return scratch(bytes_of<double>(std::max<std::int64_t>(blocks(points, 256), 4096) + 2 * 2048));
  }

  [[nodiscard]] Workspace class_distance_sums(std::int64_t rows, std::int64_t columns,
                                              std::int64_t classes) const {
    if (on_host_) {
      return {0, bytes_of<float>({rows, columns}) +
                     bytes_of<std::int64_t>(rows + 2 * (classes + 2)) +
                     times_threads(bytes_of<float>({512, columns + 64}))};
    }
    return scratch(bytes_of<std::int64_t>(2 * (classes + 1)) +
                   bytes_of<std::int32_t>(rows + classes));
  }

 private:
  [[nodiscard]] std::uint64_t grid(std::int64_t points, double span) const {
    MapBounds bounds;
    bounds.high[0] = static_cast<float>(std::clamp(span, 0.0, double{fft_longest_span}));
    const std::int64_t n = FftGrid::around(bounds).nodes;
    if (on_host_) {
      // cpu/tsne_fft.cpp: points, placed and sorted; nodes, spectrum, both derivatives, fields,
      // influence and, while that is made, the kernel's rows: 14 bytes for each of n x n. Lines of
      // each thread.
      return bytes_of<char>({points, 36}) + bytes_of<char>({n + 2, n, 14}) +
             times_threads(bytes_of<char>({n, 200}));
    }
    // cuda/tsne_fft.cu: sums of the occupied quarter, nodes, two spectra, two fields, a quarter of
    // the influence; of the transforms' workspace, which cuFFT alone knows, two spectra.
    const std::int64_t half = n / 2 + 1;
    return bytes_of<double>({half, half}) + bytes_of<float>({n, n, 3}) +
           bytes_of<double>({n, half, 4}) + bytes_of<float>({half, half}) +
           bytes_of<double>(half + 1024);
  }

  /// cuda/repulsive_pairs.cuh: how many blocks share the points j for each 512 points i.
  [[nodiscard]] static std::int64_t slices(std::int64_t points_i, std::int64_t points_j) {
    const std::int64_t row_blocks = at_least_one(blocks(points_i, 512));
    return std::clamp<std::int64_t>(1056 / row_blocks, 1, at_least_one(blocks(points_j, 128)));
  }

  /// cpu/nearest_neighbours.cpp: pairs of a value and an index for each query that keeps so many,
  /// and its size and threshold.
  [[nodiscard]] static std::int64_t candidates_of(std::int64_t keep) {
    return keep + std::clamp<std::int64_t>(keep, 32, 256) + 32 + 1;
  }
  [[nodiscard]] static std::int64_t at_least_one(std::int64_t value) {
    return std::max<std::int64_t>(value, 1);
  }
  [[nodiscard]] static std::int64_t blocks(std::int64_t count, std::int64_t size) {
    return count / size + (count % size != 0 ? 1 : 0);
  }
  [[nodiscard]] std::uint64_t times_threads(std::uint64_t bytes) const {
    return std::min(bytes, most_bytes / 1024) * static_cast<std::uint64_t>(threads_);
  }
  /// Of the scratch memory, whose parts are rounded up to 256 bytes each on a GPU.
  [[nodiscard]] static Workspace scratch(std::uint64_t bytes) { return {bytes + 10 * 256, 0}; }
  /// cuda/column_sums.cuh: partial sums of at most 1,024 blocks of 32 columns, or one a column.
  [[nodiscard]] static std::uint64_t strips(std::int64_t columns) {
    return bytes_of<double>(std::max<std::int64_t>(columns, 32 * 1024) + 1024);
  }

  /// cuda/radix_sort.cu: keys, twice; of each 2,048 of them 256 counts and where they begin.
  [[nodiscard]] static std::uint64_t radix_sort(std::int64_t keys) {
    return bytes_of<std::uint64_t>({2, keys}) + bytes_of<char>({blocks(keys, 2048), 256, 4 + 8});
  }

  bool on_host_;
  int threads_;
};

}  // namespace hourglass
