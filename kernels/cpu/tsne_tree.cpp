// tsne_repulsion, tree: forces from a quadtree over points in Morton order (Barnes and Hut 1986;
// van der Maaten 2014), with second moments.
//
// A node of mass m, centre of mass c and central second moments M = sum of e e^T stands for its
// points in the sums of a target at distance vector d = y - c, with q = 1 / (1 + |d|^2), by the
// Taylor expansion about c whose first order vanishes:
//   sum q     = m q + 4 q^3 d.Md - q^2 tr M
//   sum q^2 d = (m q^2 + 12 q^4 d.Md - 2 q^3 tr M) d - 4 q^3 M d
// The kernel's poles lie at distance sqrt(1 + d^2) in the complex plane, so what is small against
// the kernel's width needs no opening, and a map of span 1e-4 is one node: a node stands for its
// points where r^2 < opening^2 (1/4 + d^2). Its radius r is that of evenly spread points with the
// same second moments, r^2 = 3 tr M / m, and d the distance from the group's bounding box.
//
// A step:
// - gather: points into the tree's order, 16 bytes a point;
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

/// The interaction list of one group, in consecutive memory.
struct PackedList {
  const float* node_x;  ///< centres of mass
  const float* node_y;
  const float* node_mass;
  const float* node_xx;  ///< second moments
  const float* node_xy;
  const float* node_yy;
  std::int64_t nodes;  ///< a multiple of list_padding
  const float* point_x;
  const float* point_y;
  std::int64_t points;  ///< a multiple of list_padding
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// Forces on targets [0, count) from a list; returns the sum of q over targets and list.
double evaluate_list(const PackedList& list, const float* HWY_RESTRICT x,
                     const float* HWY_RESTRICT y, std::int64_t count, float* HWY_RESTRICT force_x,
                     float* HWY_RESTRICT force_y) {
  const hn::ScalableTag<float> f;
  using V = hn::Vec<decltype(f)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto one = hn::Set(f, 1.0f);
  const auto two = hn::Set(f, 2.0f), four = hn::Set(f, 4.0f), twelve = hn::Set(f, 12.0f);
  double partition = 0;

  const auto add_points = [&](V px, V py, V xi, V yi, V& fx, V& fy, V& z) HWY_ATTR {
    const auto dx = hn::Sub(xi, px), dy = hn::Sub(yi, py);
    const auto q = reciprocal(f, hn::MulAdd(dx, dx, hn::MulAdd(dy, dy, one)));
    const auto q2 = hn::Mul(q, q);
    z = hn::Add(z, q);
    fx = hn::MulAdd(q2, dx, fx);
    fy = hn::MulAdd(q2, dy, fy);
  };
  const auto add_nodes = [&](std::int64_t j, V xi, V yi, V& fx, V& fy, V& z) HWY_ATTR {
    const auto mass = hn::LoadU(f, list.node_mass + j);
    const auto xx = hn::LoadU(f, list.node_xx + j), xy = hn::LoadU(f, list.node_xy + j);
    const auto yy = hn::LoadU(f, list.node_yy + j);
    const auto dx = hn::Sub(xi, hn::LoadU(f, list.node_x + j));
    const auto dy = hn::Sub(yi, hn::LoadU(f, list.node_y + j));
    const auto q = reciprocal(f, hn::MulAdd(dx, dx, hn::MulAdd(dy, dy, one)));
    const auto mx = hn::MulAdd(xx, dx, hn::Mul(xy, dy));  // M d
    const auto my = hn::MulAdd(xy, dx, hn::Mul(yy, dy));
    const auto dmd = hn::MulAdd(dx, mx, hn::Mul(dy, my));
    const auto trace = hn::Add(xx, yy);
    const auto q2 = hn::Mul(q, q);
    const auto q3_4 = hn::Mul(four, hn::Mul(q2, q));
    // m q - q^2 tr M + 4 q^3 d.Md
    z = hn::Add(z, hn::MulAdd(q3_4, dmd, hn::Mul(q, hn::NegMulAdd(q, trace, mass))));
    // q^2 (m + 2 q (6 q d.Md - tr M))
    const auto inner = hn::MulAdd(hn::Mul(twelve, q), dmd, hn::Neg(hn::Mul(two, trace)));
    const auto along = hn::Mul(q2, hn::MulAdd(q, inner, mass));
    fx = hn::MulAdd(along, dx, hn::NegMulAdd(q3_4, mx, fx));
    fy = hn::MulAdd(along, dy, hn::NegMulAdd(q3_4, my, fy));
  };

  std::int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const auto x0 = hn::Set(f, x[i]), y0 = hn::Set(f, y[i]);
    const auto x1 = hn::Set(f, x[i + 1]), y1 = hn::Set(f, y[i + 1]);
    auto fx0 = hn::Zero(f), fy0 = fx0, fx1 = fx0, fy1 = fx0, z0 = fx0, z1 = fx0;
    for (std::int64_t j = 0; j < list.points; j += lanes) {
      const auto px = hn::LoadU(f, list.point_x + j), py = hn::LoadU(f, list.point_y + j);
      add_points(px, py, x0, y0, fx0, fy0, z0);
      add_points(px, py, x1, y1, fx1, fy1, z1);
    }
    for (std::int64_t j = 0; j < list.nodes; j += lanes) {
      add_nodes(j, x0, y0, fx0, fy0, z0);
      add_nodes(j, x1, y1, fx1, fy1, z1);
    }
    force_x[i] = hn::GetLane(hn::SumOfLanes(f, fx0));
    force_y[i] = hn::GetLane(hn::SumOfLanes(f, fy0));
    force_x[i + 1] = hn::GetLane(hn::SumOfLanes(f, fx1));
    force_y[i + 1] = hn::GetLane(hn::SumOfLanes(f, fy1));
    partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z0)));
    partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z1)));
  }
  for (; i < count; ++i) {
    const auto x0 = hn::Set(f, x[i]), y0 = hn::Set(f, y[i]);
    auto fx0 = hn::Zero(f), fy0 = fx0, z0 = fx0;
    for (std::int64_t j = 0; j < list.points; j += lanes) {
      add_points(hn::LoadU(f, list.point_x + j), hn::LoadU(f, list.point_y + j), x0, y0, fx0, fy0,
                 z0);
    }
    for (std::int64_t j = 0; j < list.nodes; j += lanes)
      add_nodes(j, x0, y0, fx0, fy0, z0);
    force_x[i] = hn::GetLane(hn::SumOfLanes(f, fx0));
    force_y[i] = hn::GetLane(hn::SumOfLanes(f, fy0));
    partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z0)));
  }
  return partition;
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

HWY_EXPORT(evaluate_list);

/// Less than 1: nodes nearer than the kernel's width are opened sooner than its poles ask for.
constexpr float near_opening = 0.25f;

/// Spreads the low 16 bits of v to the even bits of the result.
std::uint32_t spread(std::uint32_t v) {
  v &= 0xffffu;
  v = (v | (v << 8)) & 0x00ff00ffu;
  v = (v | (v << 4)) & 0x0f0f0f0fu;
  v = (v | (v << 2)) & 0x33333333u;
  v = (v | (v << 1)) & 0x55555555u;
  return v;
}

struct Box {
  float x0 = std::numeric_limits<float>::infinity();
  float x1 = -std::numeric_limits<float>::infinity();
  float y0 = std::numeric_limits<float>::infinity();
  float y1 = -std::numeric_limits<float>::infinity();
  void add(float x, float y) {
    x0 = std::min(x0, x);
    x1 = std::max(x1, x);
    y0 = std::min(y0, y);
    y1 = std::max(y1, y);
  }
  void add(const Box& b) {
    x0 = std::min(x0, b.x0);
    x1 = std::max(x1, b.x1);
    y0 = std::min(y0, b.y0);
    y1 = std::max(y1, b.y1);
  }
};

struct Node {
  std::int32_t begin, end;             ///< points, in the tree's order
  std::int32_t first_child, children;  ///< children lie one after another, behind their parent
};

struct Moments {
  float x, y;  ///< centre of mass
  float mass;
  float xx, xy, yy;
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

class TreeRepulsion final : public Repulsion {
 public:
  TreeRepulsion(ThreadPool& pool, std::int64_t points, const TreeOptions& options)
      : pool_(pool), n_(points), options_(options) {
    require(points < std::numeric_limits<std::int32_t>::max(), "tsne_repulsion",
            "fewer than 2^31 points for a tree");
    const auto size = static_cast<std::size_t>(points);
    order_.resize(size);
    keys_.resize(size);
    sorted_keys_.resize(size);
    for (auto* array : {&x_, &y_, &force_x_, &force_y_, &built_x_, &built_y_})
      array->resize(size);
    workers_.resize(static_cast<std::size_t>(pool.threads()));
  }

  void evaluate(ConstMat y, Mat force, double* partition) override {
    require(y.rows == n_ && force.rows == n_ && y.columns == 2 && force.columns == 2,
            "tsne_repulsion", "y and force of N x 2");
    if (n_ == 0) {
      *partition = 0;
      return;
    }
    if (!gather(y)) {
      // A tree over NaN or infinity has no meaning: say so in the result.
      std::fill(force.data, force.data + 2 * n_, std::numeric_limits<float>::quiet_NaN());
      *partition = std::numeric_limits<double>::quiet_NaN();
      built_ = false;
      return;
    }
    if (stale_) rebuild(y);
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
  struct Worker {
    std::vector<float> node_values, point_values;  // lists in consecutive memory
    std::vector<std::int32_t> stack;
    std::vector<std::int32_t> all_nodes;  // of the groups of this worker
    std::vector<Run> all_runs;
  };

  /// Points into the tree's order. False where a coordinate is not finite. Sets stale_.
  bool gather(ConstMat y) {
    if (!built_) {
      bool finite = true;
      for (std::int64_t i = 0; i < 2 * n_; ++i)
        finite &= std::isfinite(y.data[i]);
      stale_ = true;
      return finite;
    }
    std::vector<float>& farthest = farthest_;
    farthest.assign(static_cast<std::size_t>(pool_.threads()), 0.0f);
    pool_.for_ranges(n_, 1024, 8192, [&](std::int64_t begin, std::int64_t end, int part) {
      float most = 0;
      for (std::int64_t s = begin; s < end; ++s) {
        const std::size_t at = static_cast<std::size_t>(s);
        const std::int64_t i = order_[at];
        x_[at] = y.data[2 * i];
        y_[at] = y.data[2 * i + 1];
        const float dx = x_[at] - built_x_[at], dy = y_[at] - built_y_[at];
        const float moved = dx * dx + dy * dy;
        most = moved <= most ? most : moved;  // NaN is kept
      }
      farthest[static_cast<std::size_t>(part)] = most;
    });
    stale_ = false;
    for (const float most : farthest) {
      if (!std::isfinite(most)) return false;
      if (most > options_.stale_after * options_.stale_after) stale_ = true;
    }
    return true;
  }

  void rebuild(ConstMat y) {
    sort_points(y);
    build_nodes();
    compute_moments();
    build_lists();
    built_x_ = x_;
    built_y_ = y_;
    built_ = true;
    stale_ = false;
  }

  void sort_points(ConstMat y) {
    Box box;
    for (std::int64_t i = 0; i < n_; ++i)
      box.add(y.data[2 * i], y.data[2 * i + 1]);
    const float side = std::max({box.x1 - box.x0, box.y1 - box.y0, 1e-30f});
    const float scale = 65535.0f / side;
    for (std::int64_t i = 0; i < n_; ++i) {
      const auto cx = static_cast<std::uint32_t>((y.data[2 * i] - box.x0) * scale);
      const auto cy = static_cast<std::uint32_t>((y.data[2 * i + 1] - box.y0) * scale);
      const std::uint64_t code = spread(cx) | (spread(cy) << 1);
      keys_[static_cast<std::size_t>(i)] = (code << 32) | static_cast<std::uint64_t>(i);
    }
    // Least significant digit first, 11 bits a pass over the 32 bits of the code.
    for (int shift = 32; shift < 64; shift += 11) {
      std::array<std::int64_t, 2049> begin{};
      for (const std::uint64_t key : keys_)
        ++begin[((key >> shift) & 2047u) + 1];
      for (std::size_t digit = 1; digit < begin.size(); ++digit)
        begin[digit] += begin[digit - 1];
      for (const std::uint64_t key : keys_) {
        sorted_keys_[static_cast<std::size_t>(begin[(key >> shift) & 2047u]++)] = key;
      }
      keys_.swap(sorted_keys_);
    }
    for (std::size_t s = 0; s < keys_.size(); ++s) {
      order_[s] = static_cast<std::int32_t>(keys_[s] & 0xffffffffu);
      x_[s] = y.data[2 * std::int64_t{order_[s]}];
      y_[s] = y.data[2 * std::int64_t{order_[s]} + 1];
    }
  }

  [[nodiscard]] std::uint32_t code(std::int32_t s) const {
    return static_cast<std::uint32_t>(keys_[static_cast<std::size_t>(s)] >> 32);
  }

  /// Level by level, so that children follow their parent and moments can be summed backwards.
  void build_nodes() {
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
      const int shift = highest / 2 * 2;
      nodes_[at].first_child = static_cast<std::int32_t>(nodes_.size());
      std::int32_t child_begin = begin;
      while (child_begin < end) {
        const std::uint32_t digit = (code(child_begin) >> shift) & 3u;
        std::int32_t low = child_begin, high = end;  // first point of a later digit
        while (low < high) {
          const std::int32_t middle = low + (high - low) / 2;
          if (((code(middle) >> shift) & 3u) <= digit) {
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
    double sx = 0, sy = 0;
    for (std::int32_t s = node.begin; s < node.end; ++s) {
      sx += static_cast<double>(x_[static_cast<std::size_t>(s)]);
      sy += static_cast<double>(y_[static_cast<std::size_t>(s)]);
    }
    const auto mass = static_cast<float>(node.end - node.begin);
    const auto cx = static_cast<float>(sx / static_cast<double>(mass));
    const auto cy = static_cast<float>(sy / static_cast<double>(mass));
    Moments m{cx, cy, mass, 0, 0, 0};
    Box box;
    for (std::int32_t s = node.begin; s < node.end; ++s) {
      const float px = x_[static_cast<std::size_t>(s)], py = y_[static_cast<std::size_t>(s)];
      const float ex = px - cx, ey = py - cy;
      m.xx += ex * ex;
      m.xy += ex * ey;
      m.yy += ey * ey;
      box.add(px, py);
    }
    moments_[static_cast<std::size_t>(a)] = m;
    boxes_[static_cast<std::size_t>(a)] = box;
  }

  void inner_moments(std::int64_t a) {
    const Node& node = nodes_[static_cast<std::size_t>(a)];
    const auto first = static_cast<std::size_t>(node.first_child);
    const auto last = first + static_cast<std::size_t>(node.children);
    const auto mass = static_cast<float>(node.end - node.begin);
    float sx = 0, sy = 0;
    for (std::size_t c = first; c < last; ++c) {
      sx += moments_[c].mass / mass * moments_[c].x;
      sy += moments_[c].mass / mass * moments_[c].y;
    }
    Moments m{sx, sy, mass, 0, 0, 0};
    Box box;
    for (std::size_t c = first; c < last; ++c) {
      const Moments& child = moments_[c];
      const float ex = child.x - sx, ey = child.y - sy;  // parallel axes
      m.xx += child.xx + child.mass * ex * ex;
      m.xy += child.xy + child.mass * ex * ey;
      m.yy += child.yy + child.mass * ey * ey;
      box.add(boxes_[c]);
    }
    moments_[static_cast<std::size_t>(a)] = m;
    boxes_[static_cast<std::size_t>(a)] = box;
  }

  void build_lists() {
    radius2_.resize(nodes_.size());
    for (std::size_t a = 0; a < nodes_.size(); ++a) {
      radius2_[a] = 3.0f * (moments_[a].xx + moments_[a].yy) / moments_[a].mass;
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
      const float dx = std::max({box.x0 - m.x, m.x - box.x1, 0.0f});
      const float dy = std::max({box.y0 - m.y, m.y - box.y1, 0.0f});
      if (radius2_[a] < opening2 * (near_opening + dx * dx + dy * dy)) {
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
    const Group& group = groups_[g];
    const Worker& owner = workers_[static_cast<std::size_t>(list_owner_[g])];
    const std::int64_t nodes = padded(group.nodes), points = padded(group.points);
    worker.node_values.resize(static_cast<std::size_t>(6 * nodes));
    worker.point_values.resize(static_cast<std::size_t>(2 * points));
    float* v = worker.node_values.data();
    for (std::int64_t j = 0; j < group.nodes; ++j) {
      const auto at = static_cast<std::size_t>(group.first_node + j);
      const Moments& m = moments_[static_cast<std::size_t>(owner.all_nodes[at])];
      v[j] = m.x;
      v[nodes + j] = m.y;
      v[2 * nodes + j] = m.mass;
      v[3 * nodes + j] = m.xx;
      v[4 * nodes + j] = m.xy;
      v[5 * nodes + j] = m.yy;
    }
    for (std::int64_t j = group.nodes; j < nodes; ++j) {
      v[j] = v[nodes + j] = padding_distance;
      v[2 * nodes + j] = v[3 * nodes + j] = v[4 * nodes + j] = v[5 * nodes + j] = 0.0f;
    }
    float* px = worker.point_values.data();
    float* py = px + points;
    std::int64_t at = 0;
    for (std::int64_t r = 0; r < group.runs; ++r) {
      const Run run = owner.all_runs[static_cast<std::size_t>(group.first_run + r)];
      std::copy(x_.data() + run.begin, x_.data() + run.end, px + at);
      std::copy(y_.data() + run.begin, y_.data() + run.end, py + at);
      at += run.end - run.begin;
    }
    std::fill(px + at, px + points, padding_distance);
    std::fill(py + at, py + points, padding_distance);
    const PackedList list{
        v,  v + nodes, v + 2 * nodes, v + 3 * nodes, v + 4 * nodes, v + 5 * nodes, nodes,
        px, py,        points};
    group_partition_[g] = HWY_DYNAMIC_DISPATCH(evaluate_list)(
        list, x_.data() + group.begin, y_.data() + group.begin, group.end - group.begin,
        force_x_.data() + group.begin, force_y_.data() + group.begin);
  }

  void scatter(Mat force) {
    pool_.for_ranges(n_, 1024, 8192, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t s = begin; s < end; ++s) {
        const std::size_t at = static_cast<std::size_t>(s);
        const std::int64_t i = order_[at];
        force.data[2 * i] = force_x_[at];
        force.data[2 * i + 1] = force_y_[at];
      }
    });
  }

  ThreadPool& pool_;
  std::int64_t n_;
  TreeOptions options_;
  bool built_ = false, stale_ = true;

  // Points in the tree's order.
  std::vector<std::int32_t> order_;
  std::vector<std::uint64_t> keys_, sorted_keys_;  // Morton code, then index
  std::vector<float> x_, y_, force_x_, force_y_;
  std::vector<float> built_x_, built_y_;  // where they were when the lists were made
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
                                               const TreeOptions& options) {
  return std::make_unique<TreeRepulsion>(pool, points, options);
}

}  // namespace hourglass::cpu
#endif
