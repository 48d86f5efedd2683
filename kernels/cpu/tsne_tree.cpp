// tsne_repulsion, tree: forces from a quadtree, or an octree in three dimensions, over points in
// Morton order (Barnes and Hut 1986; van der Maaten 2014), with second moments.
//
// A node of mass m, centre of mass c and central second moments M = sum of e e^T stands for its
// points in the sums of a target at distance vector d = y - c, with q = 1 / (1 + |d|^2), by the
// Taylor expansion about c whose first order vanishes:
//   sum q     = m q + 4 q^3 d.Md - q^2 tr M
//   sum q^2 d = (m q^2 + 12 q^4 d.Md - 2 q^3 tr M) d - 4 q^3 M d
// The kernel's poles lie at distance sqrt(1 + d^2) in the complex plane, so what is small against
// the kernel's width needs no opening, and a map of span 1e-4 is one node: a node stands for its
// points where r^2 < opening^2 (1/4 + d^2). Its radius r is that of evenly spread points with the
// same second moments (r^2 = 2 tr M / m over a disc, 3 over a square, 5 / 3 over a ball): r^2 = 3
// tr M / m, and d the distance from the group's bounding box.
//
// A step:
// - gather: points into the tree's order, parted by coordinate;
// - rebuild, only when a point has moved by `stale_after`: Morton codes, radix sort, tree, and for
//   each group of neighbouring points the list of nodes and single points that it interacts with;
// - moments of every node from the points as they are now, leaves first;
// - evaluate each group's list in SIMD lanes: lists are copied to consecutive memory, then run over
//   for two targets at a time.
// Every group is computed by one thread in a fixed order: equal bits with any number of threads.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/morton_sort.hpp"
#include "kernels/cpu/tsne_repulsion.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_tree.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/reciprocal-inl.hpp"

#ifndef HOURGLASS_TREE
#define HOURGLASS_TREE
namespace hourglass::cpu {

inline constexpr std::int64_t list_padding = 32;  ///< lists are padded to whole vectors
inline constexpr float padding_distance = 1e18f;  ///< q^2 vanishes there, d^2 is finite

/// Second moments of D coordinates: the upper triangle, row by row (xx xy yy; xx xy xz yy yz zz).
template <int D>
inline constexpr int moment_count = D*(D + 1) / 2;

/// The interaction list of one group, in consecutive memory.
template <int D>
struct PackedList {
  const float* centre[D];  ///< centres of mass
  const float* mass;
  const float* moment[moment_count<D>];
  std::int64_t nodes;  ///< a multiple of list_padding
  const float* point[D];
  std::int64_t points;  ///< a multiple of list_padding
};

/// Points of a group, by coordinate, and where their forces go.
template <int D>
struct Targets {
  const float* at[D];
  float* force[D];
  std::int64_t count;
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

/// What one target has gathered.
template <int D>
struct Sums {
  V force[D];
  V z;
  HWY_INLINE void clear() {
    for (int c = 0; c < D; ++c)
      force[c] = hn::Zero(F());
    z = hn::Zero(F());
  }
};

template <int D>
HWY_INLINE void add_points(const V* points, const V* at, Sums<D>& sums) {
  const F f;
  V d[D];
  auto denominator = hn::Set(f, 1.0f);
  for (int c = D; c-- > 0;) {
    d[c] = hn::Sub(at[c], points[c]);
    denominator = hn::MulAdd(d[c], d[c], denominator);
  }
  const auto q = reciprocal(f, denominator);
  const auto q2 = hn::Mul(q, q);
  sums.z = hn::Add(sums.z, q);
  for (int c = 0; c < D; ++c)
    sums.force[c] = hn::MulAdd(q2, d[c], sums.force[c]);
}

template <int D>
HWY_INLINE void add_nodes(const PackedList<D>& list, std::int64_t j, const V* at, Sums<D>& sums) {
  const F f;
  const auto two = hn::Set(f, 2.0f), four = hn::Set(f, 4.0f), twelve = hn::Set(f, 12.0f);
  const auto mass = hn::LoadU(f, list.mass + j);
  V d[D];
  auto denominator = hn::Set(f, 1.0f);
  for (int c = D; c-- > 0;) {
    d[c] = hn::Sub(at[c], hn::LoadU(f, list.centre[c] + j));
    denominator = hn::MulAdd(d[c], d[c], denominator);
  }
  const auto q = reciprocal(f, denominator);
  V md[D];  // M d
  V trace;
  if constexpr (D == 2) {
    const auto xx = hn::LoadU(f, list.moment[0] + j), xy = hn::LoadU(f, list.moment[1] + j);
    const auto yy = hn::LoadU(f, list.moment[2] + j);
    md[0] = hn::MulAdd(xx, d[0], hn::Mul(xy, d[1]));
    md[1] = hn::MulAdd(xy, d[0], hn::Mul(yy, d[1]));
    trace = hn::Add(xx, yy);
  } else {
    const auto xx = hn::LoadU(f, list.moment[0] + j), xy = hn::LoadU(f, list.moment[1] + j);
    const auto xz = hn::LoadU(f, list.moment[2] + j), yy = hn::LoadU(f, list.moment[3] + j);
    const auto yz = hn::LoadU(f, list.moment[4] + j), zz = hn::LoadU(f, list.moment[5] + j);
    md[0] = hn::MulAdd(xx, d[0], hn::MulAdd(xy, d[1], hn::Mul(xz, d[2])));
    md[1] = hn::MulAdd(xy, d[0], hn::MulAdd(yy, d[1], hn::Mul(yz, d[2])));
    md[2] = hn::MulAdd(xz, d[0], hn::MulAdd(yz, d[1], hn::Mul(zz, d[2])));
    trace = hn::Add(hn::Add(xx, yy), zz);
  }
  auto dmd = hn::Mul(d[D - 1], md[D - 1]);
  for (int c = D - 1; c-- > 0;)
    dmd = hn::MulAdd(d[c], md[c], dmd);
  const auto q2 = hn::Mul(q, q);
  const auto q3_4 = hn::Mul(four, hn::Mul(q2, q));
  // m q - q^2 tr M + 4 q^3 d.Md
  sums.z = hn::Add(sums.z, hn::MulAdd(q3_4, dmd, hn::Mul(q, hn::NegMulAdd(q, trace, mass))));
  // q^2 (m + 2 q (6 q d.Md - tr M))
  const auto inner = hn::MulAdd(hn::Mul(twelve, q), dmd, hn::Neg(hn::Mul(two, trace)));
  const auto along = hn::Mul(q2, hn::MulAdd(q, inner, mass));
  for (int c = 0; c < D; ++c) {
    sums.force[c] = hn::MulAdd(along, d[c], hn::NegMulAdd(q3_4, md[c], sums.force[c]));
  }
}

/// Forces on `count` targets at once from a list; returns the sum of q over targets and list.
template <int D, int count>
HWY_INLINE double evaluate_targets(const PackedList<D>& list, const Targets<D>& t, std::int64_t i) {
  const F f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  V at[count][D];
  Sums<D> sums[count];
  for (int a = 0; a < count; ++a) {
    sums[a].clear();
    for (int c = 0; c < D; ++c)
      at[a][c] = hn::Set(f, t.at[c][i + a]);
  }
  for (std::int64_t j = 0; j < list.points; j += lanes) {
    V points[D];
    for (int c = 0; c < D; ++c)
      points[c] = hn::LoadU(f, list.point[c] + j);
    for (int a = 0; a < count; ++a)
      add_points<D>(points, at[a], sums[a]);
  }
  for (std::int64_t j = 0; j < list.nodes; j += lanes) {
    for (int a = 0; a < count; ++a)
      add_nodes<D>(list, j, at[a], sums[a]);
  }
  double partition = 0;
  for (int a = 0; a < count; ++a) {
    for (int c = 0; c < D; ++c)
      t.force[c][i + a] = hn::GetLane(hn::SumOfLanes(f, sums[a].force[c]));
    partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, sums[a].z)));
  }
  return partition;
}

template <int D>
double evaluate_list(const PackedList<D>& list, const Targets<D>& t) {
  double partition = 0;
  std::int64_t i = 0;
  for (; i + 2 <= t.count; i += 2)
    partition += evaluate_targets<D, 2>(list, t, i);
  if (i < t.count) partition += evaluate_targets<D, 1>(list, t, i);
  return partition;
}

double evaluate_list_2(const PackedList<2>& list, const Targets<2>& t) {
  return evaluate_list<2>(list, t);
}
double evaluate_list_3(const PackedList<3>& list, const Targets<3>& t) {
  return evaluate_list<3>(list, t);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

HWY_EXPORT(evaluate_list_2);
HWY_EXPORT(evaluate_list_3);

/// Less than 1: nodes nearer than the kernel's width are opened sooner than its poles ask for.
constexpr float near_opening = 0.25f;

template <int D>
struct Box {
  std::array<float, D> low, high;
  Box() {
    low.fill(std::numeric_limits<float>::infinity());
    high.fill(-std::numeric_limits<float>::infinity());
  }
  void add(const Box& b) {
    for (std::size_t c = 0; c < D; ++c) {
      low[c] = std::min(low[c], b.low[c]);
      high[c] = std::max(high[c], b.high[c]);
    }
  }
};

struct Node {
  std::int32_t begin, end;             ///< points, in the tree's order
  std::int32_t first_child, children;  ///< children lie one after another, behind their parent
};

template <int D>
struct Moments {
  std::array<float, D> centre;  ///< of mass
  float mass;
  std::array<float, moment_count<D>> second;

  [[nodiscard]] float trace() const {
    if constexpr (D == 2)
      return second[0] + second[2];
    else
      return second[0] + second[3] + second[5];
  }
  /// += mass e e^T
  void add_second(const std::array<float, D>& e, float m) {
    std::size_t at = 0;
    for (std::size_t a = 0; a < D; ++a) {
      for (std::size_t b = a; b < D; ++b)
        second[at++] += m * e[a] * e[b];
    }
  }
};

/// What a group interacts with: node_lists[first_node, ...) and point_lists[first_run, ...).
struct Group {
  std::int32_t begin, end;
  std::int64_t first_node, nodes;
  std::int64_t first_run, runs;
  std::int64_t points;  ///< in all runs
};

struct Run {
  std::int32_t begin, end;  ///< consecutive points
};

std::int64_t padded(std::int64_t count) {
  return (count + list_padding - 1) / list_padding * list_padding;
}

template <int D>
class TreeRepulsion final : public Repulsion {
 public:
  TreeRepulsion(ThreadPool& pool, std::int64_t points, const TreeOptions& options)
      : pool_(pool), n_(points), options_(options) {
    require(points < std::numeric_limits<std::int32_t>::max(), "tsne_repulsion",
            "fewer than 2^31 points for a tree");
    const auto size = static_cast<std::size_t>(points);
    for (std::size_t c = 0; c < D; ++c) {
      for (auto* array : {&at_[c], &force_[c], &built_[c]})
        array->resize(size);
    }
    workers_.resize(static_cast<std::size_t>(pool.threads()));
  }

  void prepare(const MapBounds&) override { is_built_ = false; }

  void evaluate(ConstMat y, Mat force, double* partition) override {
    require(y.rows == n_ && force.rows == n_ && y.columns == D && force.columns == D,
            "tsne_repulsion", "y and force of the size that it was made for");
    if (n_ == 0) {
      *partition = 0;
      return;
    }
    if (!follow(y)) {
      // A tree over NaN or infinity has no meaning: say so in the result.
      std::fill(force.data, force.data + D * n_, std::numeric_limits<float>::quiet_NaN());
      *partition = std::numeric_limits<double>::quiet_NaN();
      is_built_ = false;
      return;
    }
    compute_moments();
    evaluate_groups();
    double total = 0;
    for (const double sum : group_partition_)
      total += sum;
    *partition =
        std::max(0.0, total - static_cast<double>(n_));  // every point met itself, at q = 1
    scatter(force);
  }

 private:
  using Moments = cpu::Moments<D>;
  using Box = cpu::Box<D>;

  struct Worker {
    std::vector<float> node_values, point_values;  // lists in consecutive memory
    std::vector<std::int32_t> stack;
    std::vector<std::int32_t> all_nodes;  // of the groups of this worker
    std::vector<Run> all_runs;
  };

  /// Points into the tree's order, and a new tree where they have moved too far. False where a
  /// coordinate is not finite.
  bool follow(ConstMat y) {
    if (is_built_) {
      const float moved = gather(y);
      if (!std::isfinite(moved)) return false;
      if (moved <= options_.stale_after * options_.stale_after) return true;
    }
    const FoundBounds found = find_bounds(pool_, y);
    if (!found.finite) return false;
    morton_sort(y, found.bounds, keys_, spare_keys_);
    for (std::size_t s = 0; s < keys_.size(); ++s) {
      for (std::size_t c = 0; c < D; ++c)
        at_[c][s] = y.data[D * index_of(keys_[s]) + static_cast<std::int64_t>(c)];
    }
    build_nodes();
    compute_moments();
    build_lists();
    built_ = at_;
    is_built_ = true;
    return true;
  }

  /// The square of the longest way that a point has gone since the tree was built; NaN is kept.
  float gather(ConstMat y) {
    farthest_.assign(static_cast<std::size_t>(pool_.threads()), 0.0f);
    pool_.for_ranges(n_, 1024, 8192, [&](std::int64_t begin, std::int64_t end, int part) {
      float most = 0;
      for (std::int64_t s = begin; s < end; ++s) {
        const std::size_t at = static_cast<std::size_t>(s);
        const float* point = y.data + D * index_of(keys_[at]);
        float moved = 0;
        for (std::size_t c = 0; c < D; ++c) {
          at_[c][at] = point[c];
          moved += (point[c] - built_[c][at]) * (point[c] - built_[c][at]);
        }
        most = moved <= most ? most : moved;  // NaN is kept
      }
      farthest_[static_cast<std::size_t>(part)] = most;
    });
    float most = 0;
    for (const float part : farthest_)
      most = part <= most ? most : part;
    return most;
  }

  [[nodiscard]] std::uint32_t code(std::int32_t s) const {
    return code_of(keys_[static_cast<std::size_t>(s)]);
  }

  /// Level by level, so that children follow their parent and moments can be summed backwards.
  void build_nodes() {
    constexpr std::uint32_t children = (1u << D) - 1;
    nodes_.clear();
    nodes_.push_back({0, static_cast<std::int32_t>(n_), 0, 0});
    for (std::size_t at = 0; at < nodes_.size(); ++at) {
      const std::int32_t begin = nodes_[at].begin, end = nodes_[at].end;
      if (end - begin <= options_.leaf_points) continue;
      // The first level at which these points part: single children are skipped.
      const std::uint32_t differing = code(begin) ^ code(end - 1);
      if (differing == 0) continue;  // closer than the sort resolves
      int highest = 31;
      while ((differing >> highest) == 0)
        --highest;
      const int shift = highest / D * D;
      nodes_[at].first_child = static_cast<std::int32_t>(nodes_.size());
      std::int32_t child_begin = begin;
      while (child_begin < end) {
        const std::uint32_t digit = (code(child_begin) >> shift) & children;
        std::int32_t low = child_begin, high = end;  // first point of a later digit
        while (low < high) {
          const std::int32_t middle = low + (high - low) / 2;
          if (((code(middle) >> shift) & children) <= digit) {
            low = middle + 1;
          } else {
            high = middle;
          }
        }
        nodes_.push_back({child_begin, low, 0, 0});
        ++nodes_[at].children;
        child_begin = low;
      }
    }
    moments_.resize(nodes_.size());
    boxes_.resize(nodes_.size());
  }

  void compute_moments() {
    const auto count = static_cast<std::int64_t>(nodes_.size());
    pool_.for_ranges(count, 16, 512, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t a = begin; a < end; ++a) {
        if (nodes_[static_cast<std::size_t>(a)].children == 0) leaf_moments(a);
      }
    });
    for (std::int64_t a = count; a-- > 0;) {
      if (nodes_[static_cast<std::size_t>(a)].children > 0) inner_moments(a);
    }
  }

  void leaf_moments(std::int64_t a) {
    const Node& node = nodes_[static_cast<std::size_t>(a)];
    const auto begin = static_cast<std::size_t>(node.begin);
    const auto end = static_cast<std::size_t>(node.end);
    Moments m{};
    Box box;
    m.mass = static_cast<float>(node.end - node.begin);
    for (std::size_t c = 0; c < D; ++c) {
      double sum = 0;
      for (std::size_t s = begin; s < end; ++s) {
        sum += static_cast<double>(at_[c][s]);
        box.low[c] = std::min(box.low[c], at_[c][s]);
        box.high[c] = std::max(box.high[c], at_[c][s]);
      }
      m.centre[c] = static_cast<float>(sum / static_cast<double>(m.mass));
    }
    for (std::size_t s = begin; s < end; ++s) {
      std::array<float, D> e;
      for (std::size_t c = 0; c < D; ++c)
        e[c] = at_[c][s] - m.centre[c];
      m.add_second(e, 1.0f);
    }
    moments_[static_cast<std::size_t>(a)] = m;
    boxes_[static_cast<std::size_t>(a)] = box;
  }

  void inner_moments(std::int64_t a) {
    const Node& node = nodes_[static_cast<std::size_t>(a)];
    const auto first = static_cast<std::size_t>(node.first_child);
    const auto last = first + static_cast<std::size_t>(node.children);
    Moments m{};
    Box box;
    m.mass = static_cast<float>(node.end - node.begin);
    for (std::size_t k = first; k < last; ++k) {
      for (std::size_t c = 0; c < D; ++c)
        m.centre[c] += moments_[k].mass / m.mass * moments_[k].centre[c];
    }
    for (std::size_t k = first; k < last; ++k) {
      const Moments& child = moments_[k];
      std::array<float, D> e;
      for (std::size_t c = 0; c < D; ++c)
        e[c] = child.centre[c] - m.centre[c];
      for (std::size_t i = 0; i < m.second.size(); ++i)
        m.second[i] += child.second[i];
      m.add_second(e, child.mass);  // parallel axes
      box.add(boxes_[k]);
    }
    moments_[static_cast<std::size_t>(a)] = m;
    boxes_[static_cast<std::size_t>(a)] = box;
  }

  void build_lists() {
    radius2_.resize(nodes_.size());
    for (std::size_t a = 0; a < nodes_.size(); ++a) {
      radius2_[a] = 3.0f * moments_[a].trace() / moments_[a].mass;
    }
    // Groups: the largest nodes that hold at most group_points, and leaves that hold more.
    groups_.clear();
    group_nodes_.clear();
    std::vector<std::int32_t>& stack = workers_[0].stack;
    stack.assign(1, 0);
    while (!stack.empty()) {
      const std::int32_t a = stack.back();
      stack.pop_back();
      const Node& node = nodes_[static_cast<std::size_t>(a)];
      if (node.end - node.begin <= options_.group_points || node.children == 0) {
        // A leaf of points that the sort cannot part may be of any size: in pieces.
        for (std::int32_t begin = node.begin; begin < node.end;) {
          const auto size = std::min<std::int64_t>(node.end - begin, 4 * options_.group_points);
          const auto end = static_cast<std::int32_t>(begin + size);
          groups_.push_back({begin, end, 0, 0, 0, 0, 0});
          group_nodes_.push_back(a);
          begin = end;
        }
        continue;
      }
      for (std::int32_t c = node.children; c-- > 0;)
        stack.push_back(node.first_child + c);
    }
    const auto count = static_cast<std::int64_t>(groups_.size());
    group_partition_.resize(groups_.size());
    for (Worker& worker : workers_) {
      worker.all_nodes.clear();
      worker.all_runs.clear();
    }
    list_owner_.resize(groups_.size());
    pool_.for_chunks(count, 8, [&](std::int64_t begin, std::int64_t end, int part) {
      Worker& worker = workers_[static_cast<std::size_t>(part)];
      for (std::int64_t g = begin; g < end; ++g) {
        list_owner_[static_cast<std::size_t>(g)] = part;
        build_list(groups_[static_cast<std::size_t>(g)], group_nodes_[static_cast<std::size_t>(g)],
                   worker);
      }
    });
  }

  void build_list(Group& group, std::int32_t group_node, Worker& worker) {
    const Box& box = boxes_[static_cast<std::size_t>(group_node)];
    const float opening2 = options_.opening * options_.opening;
    group.first_node = static_cast<std::int64_t>(worker.all_nodes.size());
    group.first_run = static_cast<std::int64_t>(worker.all_runs.size());
    group.points = 0;
    worker.stack.assign(1, 0);
    while (!worker.stack.empty()) {
      const auto a = static_cast<std::size_t>(worker.stack.back());
      worker.stack.pop_back();
      const Node& node = nodes_[a];
      const Moments& m = moments_[a];
      // A node that holds the group lies around it, wherever its centre of mass may be: one far
      // outlier draws that away but hardly widens the second moments.
      const bool around = node.begin <= group.begin && group.end <= node.end;
      float distance2 = 0;
      for (std::size_t c = 0; c < D && !around; ++c) {
        const float d = std::max({box.low[c] - m.centre[c], m.centre[c] - box.high[c], 0.0f});
        distance2 += d * d;
      }
      if (radius2_[a] < opening2 * (near_opening + distance2)) {
        worker.all_nodes.push_back(static_cast<std::int32_t>(a));
      } else if (node.children == 0) {
        group.points += node.end - node.begin;
        if (group.first_run < static_cast<std::int64_t>(worker.all_runs.size()) &&
            worker.all_runs.back().end == node.begin) {
          worker.all_runs.back().end = node.end;
        } else {
          worker.all_runs.push_back({node.begin, node.end});
        }
      } else {
        for (std::int32_t c = node.children; c-- > 0;) {
          worker.stack.push_back(node.first_child + c);
        }
      }
    }
    group.nodes = static_cast<std::int64_t>(worker.all_nodes.size()) - group.first_node;
    group.runs = static_cast<std::int64_t>(worker.all_runs.size()) - group.first_run;
  }

  void evaluate_groups() {
    pool_.for_chunks(static_cast<std::int64_t>(groups_.size()), 8,
                     [&](std::int64_t begin, std::int64_t end, int part) {
                       for (std::int64_t g = begin; g < end; ++g) {
                         evaluate_group(static_cast<std::size_t>(g),
                                        workers_[static_cast<std::size_t>(part)]);
                       }
                     });
  }

  void evaluate_group(std::size_t g, Worker& worker) {
    constexpr int values = D + 1 + moment_count<D>;  // of a node
    const Group& group = groups_[g];
    const Worker& owner = workers_[static_cast<std::size_t>(list_owner_[g])];
    const std::int64_t nodes = padded(group.nodes), points = padded(group.points);
    worker.node_values.resize(static_cast<std::size_t>(values * nodes));
    worker.point_values.resize(static_cast<std::size_t>(D * points));
    PackedList<D> list{};
    float* v[values];
    for (int i = 0; i < values; ++i)
      v[i] = worker.node_values.data() + i * nodes;
    for (std::int64_t j = 0; j < group.nodes; ++j) {
      const auto at = static_cast<std::size_t>(group.first_node + j);
      const Moments& m = moments_[static_cast<std::size_t>(owner.all_nodes[at])];
      for (std::size_t c = 0; c < D; ++c)
        v[c][j] = m.centre[c];
      v[D][j] = m.mass;
      for (std::size_t i = 0; i < m.second.size(); ++i)
        v[D + 1 + i][j] = m.second[i];
    }
    for (int i = 0; i < values; ++i)
      std::fill(v[i] + group.nodes, v[i] + nodes, i < D ? padding_distance : 0.0f);
    list.mass = v[D];
    for (int i = 0; i < moment_count<D>; ++i)
      list.moment[i] = v[D + 1 + i];
    list.nodes = nodes;
    list.points = points;
    Targets<D> targets{};
    targets.count = group.end - group.begin;
    for (std::size_t c = 0; c < D; ++c) {
      float* own = worker.point_values.data() + static_cast<std::int64_t>(c) * points;
      float* to = own;
      for (std::int64_t r = 0; r < group.runs; ++r) {
        const Run run = owner.all_runs[static_cast<std::size_t>(group.first_run + r)];
        to = std::copy(at_[c].data() + run.begin, at_[c].data() + run.end, to);
      }
      std::fill(to, own + points, padding_distance);
      list.centre[c] = v[c];
      list.point[c] = own;
      targets.at[c] = at_[c].data() + group.begin;
      targets.force[c] = force_[c].data() + group.begin;
    }
    if constexpr (D == 2) {
      group_partition_[g] = HWY_DYNAMIC_DISPATCH(evaluate_list_2)(list, targets);
    } else {
      group_partition_[g] = HWY_DYNAMIC_DISPATCH(evaluate_list_3)(list, targets);
    }
  }

  void scatter(Mat force) {
    pool_.for_ranges(n_, 1024, 8192, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t s = begin; s < end; ++s) {
        const std::size_t at = static_cast<std::size_t>(s);
        for (std::size_t c = 0; c < D; ++c)
          force.data[D * index_of(keys_[at]) + static_cast<std::int64_t>(c)] = force_[c][at];
      }
    });
  }

  ThreadPool& pool_;
  std::int64_t n_;
  TreeOptions options_;
  bool is_built_ = false;

  // Points in the tree's order.
  std::vector<std::uint64_t> keys_, spare_keys_;  // Morton code, then index
  std::array<std::vector<float>, D> at_, force_;
  std::array<std::vector<float>, D> built_;  // where they were when the lists were made
  std::vector<float> farthest_;

  std::vector<Node> nodes_;
  std::vector<Moments> moments_;
  std::vector<Box> boxes_;
  std::vector<float> radius2_;

  std::vector<Group> groups_;
  std::vector<std::int32_t> group_nodes_;
  std::vector<int> list_owner_;  // the worker whose vectors hold a group's list
  std::vector<double> group_partition_;
  std::vector<Worker> workers_;
};

}  // namespace

std::unique_ptr<Repulsion> make_tree_repulsion(ThreadPool& pool, std::int64_t points,
                                               std::int64_t dimensions,
                                               const TreeOptions& options) {
  if (dimensions == 3) return std::make_unique<TreeRepulsion<3>>(pool, points, options);
  return std::make_unique<TreeRepulsion<2>>(pool, points, options);
}

}  // namespace hourglass::cpu
#endif
