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
#include "kernels/fft_grid.hpp"

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

/// Coordinates parted into arrays, and forces likewise.
template <int dims, class T>
struct Arrays {
  T* c[dims];
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// Adds the forces between rows [begin, end) and all later ones to `force`; returns the sum of q
/// over these pairs. `at` is padded by a vector of far-away points.
template <int dims>
double repel_rows(Arrays<dims, const float> at, std::int64_t n, std::int64_t begin,
                  std::int64_t end, Arrays<dims, float> force) {
  const hn::ScalableTag<float> f;
  using V = hn::Vec<decltype(f)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto one = hn::Set(f, 1.0f);
  double partition = 0;
  for (std::int64_t i = begin; i < end; i += 4) {
    const std::int64_t rows = std::min<std::int64_t>(4, end - i);
    for (std::int64_t a = i; a < i + rows; ++a) {  // the triangle among the four
      for (std::int64_t b = a + 1; b < i + rows; ++b) {
        float d[dims], d2 = 0;
        for (int c = 0; c < dims; ++c) {
          d[c] = at.c[c][a] - at.c[c][b];
          d2 += d[c] * d[c];
        }
        const float q = 1.0f / (1.0f + d2);
        partition += static_cast<double>(q);
        for (int c = 0; c < dims; ++c) {
          force.c[c][a] += q * q * d[c];
          force.c[c][b] -= q * q * d[c];
        }
      }
    }
    // Rows that do not exist stand far away: they neither push nor are pushed.
    V yi[4][dims], fi[4][dims];
    for (std::int64_t a = 0; a < 4; ++a) {
      for (int c = 0; c < dims; ++c) {
        yi[a][c] = hn::Set(f, a < rows ? at.c[c][i + a] : -far_away);
        fi[a][c] = hn::Zero(f);
      }
    }
    auto z = hn::Zero(f);
    std::int64_t flushed = i + rows;
    for (std::int64_t j = i + rows; j < n; j += lanes) {
      V yj[dims], fj[dims];
      for (int c = 0; c < dims; ++c) {
        yj[c] = hn::LoadU(f, at.c[c] + j);
        fj[c] = hn::LoadU(f, force.c[c] + j);
      }
      for (int a = 0; a < 4; ++a) {
        V d[dims];
        auto denominator = one;
        for (int c = 0; c < dims; ++c) {
          d[c] = hn::Sub(yi[a][c], yj[c]);
          denominator = hn::MulAdd(d[c], d[c], denominator);
        }
        const auto q = reciprocal(f, denominator);
        const auto q2 = hn::Mul(q, q);
        z = hn::Add(z, q);
        for (int c = 0; c < dims; ++c) {
          fi[a][c] = hn::MulAdd(q2, d[c], fi[a][c]);
          fj[c] = hn::NegMulAdd(q2, d[c], fj[c]);
        }
      }
      for (int c = 0; c < dims; ++c)
        hn::StoreU(fj[c], f, force.c[c] + j);
      if (j - flushed >= 4096) {  // float32 lanes hold a few thousand terms without loss
        partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z)));
        z = hn::Zero(f);
        flushed = j;
      }
    }
    partition += static_cast<double>(hn::GetLane(hn::SumOfLanes(f, z)));
    for (std::int64_t a = 0; a < rows; ++a) {
      for (int c = 0; c < dims; ++c)
        force.c[c][i + a] += hn::GetLane(hn::SumOfLanes(f, fi[a][c]));
    }
  }
  return partition;
}

double repel_rows_2(Arrays<2, const float> at, std::int64_t n, std::int64_t begin, std::int64_t end,
                    Arrays<2, float> force) {
  return repel_rows<2>(at, n, begin, end, force);
}

double repel_rows_3(Arrays<3, const float> at, std::int64_t n, std::int64_t begin, std::int64_t end,
                    Arrays<3, float> force) {
  return repel_rows<3>(at, n, begin, end, force);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

HWY_EXPORT(repel_rows_2);
HWY_EXPORT(repel_rows_3);

template <int dims>
class ExactRepulsion final : public Repulsion {
 public:
  ExactRepulsion(ThreadPool& pool, std::int64_t points)
      : pool_(pool),
        n_(points),
        padded_((points + padding + padding - 1) / padding * padding),
        at_(static_cast<std::size_t>(dims * padded_), far_away),
        force_(static_cast<std::size_t>(dims * padded_ * pool.threads())),
        partition_(static_cast<std::size_t>(pool.threads())) {}

  void prepare(const MapBounds&) override {}

  void evaluate(ConstMat y, Mat force, double* partition) override {
    require(y.rows == n_ && force.rows == n_ && y.columns == dims && force.columns == dims,
            "tsne_repulsion", "y and force of the size that it was made for");
    Arrays<dims, const float> at{};
    for (int c = 0; c < dims; ++c) {
      float* coordinates = at_.data() + c * padded_;
      for (std::int64_t i = 0; i < n_; ++i)
        coordinates[i] = y.data[dims * i + c];
      at.c[c] = coordinates;
    }
    const int threads = pool_.threads();
    const std::int64_t blocks = (n_ + row_block - 1) / row_block;
    pool_.run([&](int part) {
      float* own = force_.data() + dims * padded_ * part;
      Arrays<dims, float> forces{};
      for (int c = 0; c < dims; ++c)
        forces.c[c] = own + c * padded_;
      std::fill(own, own + dims * padded_, 0.0f);
      double sum = 0;
      for (std::int64_t b = part; b < blocks; b += threads) {
        const std::int64_t end = std::min((b + 1) * row_block, n_);
        if constexpr (dims == 2) {
          sum += HWY_DYNAMIC_DISPATCH(repel_rows_2)(at, n_, b * row_block, end, forces);
        } else {
          sum += HWY_DYNAMIC_DISPATCH(repel_rows_3)(at, n_, b * row_block, end, forces);
        }
      }
      partition_[static_cast<std::size_t>(part)] = sum;
    });
    double total = 0;
    for (const double sum : partition_)
      total += sum;
    *partition = 2 * total;
    pool_.for_ranges(n_, 1024, 4096, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (int c = 0; c < dims; ++c) {
          float sum = 0;
          for (int part = 0; part < threads; ++part)
            sum += force_[static_cast<std::size_t>(padded_ * (dims * part + c) + i)];
          force.data[dims * i + c] = sum;
        }
      }
    });
  }

 private:
  static constexpr std::int64_t padding = 64;
  ThreadPool& pool_;
  std::int64_t n_;
  std::int64_t padded_;
  std::vector<float> at_, force_;
  std::vector<double> partition_;
};

}  // namespace

std::unique_ptr<Repulsion> make_exact_repulsion(ThreadPool& pool, std::int64_t points,
                                                std::int64_t dimensions) {
  if (dimensions == 3) return std::make_unique<ExactRepulsion<3>>(pool, points);
  return std::make_unique<ExactRepulsion<2>>(pool, points);
}

std::unique_ptr<Repulsion> CpuBackend::make_repulsion(RepulsionMethod method, std::int64_t points,
                                                      std::int64_t dimensions) {
  const char* name = "make_repulsion";
  require(points >= 0, name, "a number of points that is not negative");
  require(dimensions == 2 || dimensions == 3, name, "two or three dimensions");
  switch (method) {
    case RepulsionMethod::tree:
      return make_tree_repulsion(pool_, points, dimensions);
    case RepulsionMethod::fft:
      require(dimensions == 2, name, "two dimensions for a grid");
      return make_fft_repulsion(pool_, points);
    case RepulsionMethod::exact:
      break;
  }
  return make_exact_repulsion(pool_, points, dimensions);
}

RepulsionMethod CpuBackend::best_repulsion(std::int64_t points, std::int64_t dimensions,
                                           double span) const {
  // Zen 4, one thread, a whole iteration on maps of 16-D codes: 59 us exact against 61 by the tree
  // at 400 points, 123 against 115 at 700, 842 against 462 at 2,500.
  constexpr std::int64_t crossover = 600;
  if (points < crossover) return RepulsionMethod::exact;
  if (dimensions == 3 || span > widest_fft_span(points, true)) return RepulsionMethod::tree;
  return RepulsionMethod::fft;
}

}  // namespace hourglass::cpu
#endif
