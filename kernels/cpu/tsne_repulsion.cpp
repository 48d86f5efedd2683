// tsne_repulsion, exact: force[i] = sum over j of q_ij^2 (y_i - y_j) and the partition, every pair
// computed once.
//
// N^2 / 2 pairs of 13 FLOPs and a reciprocal. Four points i against a vector of points j > i: the
// forces on i stay in registers, those on j are subtracted in memory. Each thread takes every T-th
// block of rows and sums into arrays of its own, which are added in order: equal bits from run to
// run for a number of threads.
#include "kernels/cpu/tsne_repulsion.hpp"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_repulsion.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/reciprocal-inl.hpp"

#ifndef HOURGLASS_EXACT_REPULSION
#define HOURGLASS_EXACT_REPULSION
namespace hourglass::cpu {

/// Padding beyond the last point, far enough for q^2 to vanish and near enough for d^2 to stay
/// finite.
inline constexpr float far_away = 1e18f;
inline constexpr std::int64_t row_block = 64;

struct ForceArrays {
  float* x;
  float* y;
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// Adds the forces between rows [begin, end) and all later ones to `force`; returns the sum of q
/// over these pairs. x and y are padded by a vector of far-away points.
double repel_rows(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::int64_t n,
                  std::int64_t begin, std::int64_t end, ForceArrays force) {
  const hn::ScalableTag<float> f;
  using V = hn::Vec<decltype(f)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto one = hn::Set(f, 1.0f);
  double partition = 0;
  for (std::int64_t i = begin; i < end; i += 4) {
    const std::int64_t rows = std::min<std::int64_t>(4, end - i);
    for (std::int64_t a = i; a < i + rows; ++a) {  // the triangle among the four
      for (std::int64_t b = a + 1; b < i + rows; ++b) {
        const float dx = x[a] - x[b], dy = y[a] - y[b];
        const float q = 1.0f / (1.0f + dx * dx + dy * dy);
        const float q2 = q * q;
        partition += static_cast<double>(q);
        force.x[a] += q2 * dx;
        force.y[a] += q2 * dy;
        force.x[b] -= q2 * dx;
        force.y[b] -= q2 * dy;
      }
    }
    // Rows that do not exist stand far away: they neither push nor are pushed.
    V xi[4], yi[4], fx[4], fy[4];
    for (std::int64_t a = 0; a < 4; ++a) {
      xi[a] = hn::Set(f, a < rows ? x[i + a] : -far_away);
      yi[a] = hn::Set(f, a < rows ? y[i + a] : -far_away);
      fx[a] = fy[a] = hn::Zero(f);
    }
    auto z = hn::Zero(f);
    std::int64_t flushed = i + rows;
    for (std::int64_t j = i + rows; j < n; j += lanes) {
      const auto xj = hn::LoadU(f, x + j), yj = hn::LoadU(f, y + j);
      auto fxj = hn::LoadU(f, force.x + j), fyj = hn::LoadU(f, force.y + j);
      for (int a = 0; a < 4; ++a) {
        const auto dx = hn::Sub(xi[a], xj), dy = hn::Sub(yi[a], yj);
        const auto q = reciprocal(f, hn::MulAdd(dx, dx, hn::MulAdd(dy, dy, one)));
        const auto q2 = hn::Mul(q, q);
        z = hn::Add(z, q);
        fx[a] = hn::MulAdd(q2, dx, fx[a]);
        fy[a] = hn::MulAdd(q2, dy, fy[a]);
        fxj = hn::NegMulAdd(q2, dx, fxj);
        fyj = hn::NegMulAdd(q2, dy, fyj);
      }
      hn::StoreU(fxj, f, force.x + j);
      hn::StoreU(fyj, f, force.y + j);
      if (j - flushed >= 4096) {  // float32 lanes hold a few thousand terms without loss
        partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z)));
        z = hn::Zero(f);
        flushed = j;
      }
    }
    partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z)));
    for (std::int64_t a = 0; a < rows; ++a) {
      force.x[i + a] += hn::GetLane(hn::SumOfLanes(f, fx[a]));
      force.y[i + a] += hn::GetLane(hn::SumOfLanes(f, fy[a]));
    }
  }
  return partition;
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

HWY_EXPORT(repel_rows);

class ExactRepulsion final : public Repulsion {
 public:
  ExactRepulsion(ThreadPool& pool, std::int64_t points)
      : pool_(pool),
        n_(points),
        padded_((points + padding + padding - 1) / padding * padding),
        x_(static_cast<std::size_t>(padded_), far_away),
        y_(static_cast<std::size_t>(padded_), far_away),
        force_(static_cast<std::size_t>(2 * padded_ * pool.threads())),
        partition_(static_cast<std::size_t>(pool.threads())) {}

  void evaluate(ConstMat y, Mat force, double* partition) override {
    require(y.rows == n_ && force.rows == n_ && y.columns == 2 && force.columns == 2,
            "tsne_repulsion", "y and force of N x 2");
    for (std::int64_t i = 0; i < n_; ++i) {
      x_[static_cast<std::size_t>(i)] = y.data[2 * i];
      y_[static_cast<std::size_t>(i)] = y.data[2 * i + 1];
    }
    const int threads = pool_.threads();
    const std::int64_t blocks = (n_ + row_block - 1) / row_block;
    pool_.run([&](int part) {
      float* fx = force_.data() + 2 * padded_ * part;
      const ForceArrays arrays{fx, fx + padded_};
      std::fill(fx, fx + 2 * padded_, 0.0f);
      double sum = 0;
      for (std::int64_t b = part; b < blocks; b += threads) {
        sum += HWY_DYNAMIC_DISPATCH(repel_rows)(x_.data(), y_.data(), n_, b * row_block,
                                                std::min((b + 1) * row_block, n_), arrays);
      }
      partition_[static_cast<std::size_t>(part)] = sum;
    });
    double total = 0;
    for (const double sum : partition_)
      total += sum;
    *partition = 2 * total;
    pool_.for_ranges(n_, 1024, 4096, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        float fx = 0, fy = 0;
        for (int part = 0; part < threads; ++part) {
          fx += force_[static_cast<std::size_t>(2 * padded_ * part + i)];
          fy += force_[static_cast<std::size_t>(2 * padded_ * part + padded_ + i)];
        }
        force.data[2 * i] = fx;
        force.data[2 * i + 1] = fy;
      }
    });
  }

 private:
  static constexpr std::int64_t padding = 64;
  ThreadPool& pool_;
  std::int64_t n_;
  std::int64_t padded_;
  std::vector<float> x_, y_, force_;
  std::vector<double> partition_;
};

}  // namespace

std::unique_ptr<Repulsion> make_exact_repulsion(ThreadPool& pool, std::int64_t points) {
  return std::make_unique<ExactRepulsion>(pool, points);
}

std::unique_ptr<Repulsion> CpuBackend::make_repulsion(RepulsionMethod method, std::int64_t points) {
  require(points >= 0, "make_repulsion", "a number of points that is not negative");
  if (method == RepulsionMethod::tree) return make_tree_repulsion(pool_, points);
  return make_exact_repulsion(pool_, points);
}

RepulsionMethod CpuBackend::best_repulsion(std::int64_t points) const {
  // Zen 4, one thread, a whole iteration on maps of 16-D codes: 59 us exact against 61 by the tree
  // at 400 points, 123 against 115 at 700, 842 against 462 at 2,500.
  constexpr std::int64_t crossover = 600;
  return points < crossover ? RepulsionMethod::exact : RepulsionMethod::tree;
}

}  // namespace hourglass::cpu
#endif
