// The ways in which the CPU backend sums repulsive forces (Backend::make_repulsion).
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cpu/thread_pool.hpp"

namespace hourglass::cpu {

/// Every pair once, in SIMD lanes; O(N^2).
std::unique_ptr<Repulsion> make_exact_repulsion(ThreadPool& pool, std::int64_t points,
                                                std::int64_t dimensions);

/// What trades speed for accuracy in the tree. The defaults keep the root mean square error of the
/// force below 1 % of its root mean square at every span of the map
/// (tests/parity/tsne_repulsion_test.cpp).
struct TreeOptions {
  /// A node stands for its points where it looks smaller than this; see tsne_tree.cpp.
  float opening = 0.45f;
  /// A leaf holds no more, but for points closer than the sort resolves.
  std::int64_t leaf_points = 32;
  /// Neighbouring points that share one interaction list.
  std::int64_t group_points = 128;
  /// Lists are kept until some point has moved this far, in units of the kernel's width.
  float stale_after = 0.2f;
};

/// A quadtree or an octree over points in Morton order, nodes with second moments; O(N log N).
std::unique_ptr<Repulsion> make_tree_repulsion(ThreadPool& pool, std::int64_t points,
                                               std::int64_t dimensions,
                                               const TreeOptions& options = {});

/// A grid over a map of two dimensions and Fourier transforms; O(N + span^2 log span).
std::unique_ptr<Repulsion> make_fft_repulsion(ThreadPool& pool, std::int64_t points);

}  // namespace hourglass::cpu
