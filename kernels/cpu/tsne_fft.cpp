// tsne_repulsion, fft: forces by a grid and two transforms. kernels/fft_grid.hpp has the grid and
// the formulas.
//
// A step over N points and n x n nodes, of which n / 2 x n / 2 are occupied:
// - sort: the points by the row of their first node, a stable counting sort;
// - spread: each thread owns a strip of rows and adds what falls into it, 16 nodes a point, points
//   in sorted order: no atomics, the same sums for any number of threads;
// - forward: real transforms along the occupied rows only, complex ones along the n / 2 + 1
// columns,
//   where half of the inputs are the padding's zeros;
// - a column at a time, while it is in L1: times the influence, partition by Parseval, and back for
//   both derivatives, of which half of the outputs are kept;
// - backward along the occupied rows;
// - gather: 16 nodes of both fields a point.
// Some 11 n^2 log2 n FLOPs of transforms (kissfft) and 20 ns a point. The grid is written
// transposed between rows and columns, eight at a time, so that whole cache lines are written.
#include <kissfft/kiss_fft.h>
#include <kissfft/kiss_fftr.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <kissfft/kissfft.hh>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/morton_sort.hpp"
#include "kernels/cpu/tsne_repulsion.hpp"
#include "kernels/fft_grid.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_fft.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef HOURGLASS_FFT
#define HOURGLASS_FFT
namespace hourglass::cpu {

/// A point as the grid sees it.
struct Placed {
  std::int32_t row, column;  ///< of its first node
  float x, y;                ///< how far it lies above its second node, 0 to 1
};

/// Nodes of one strip of rows.
struct Strip {
  std::int64_t first_row, last_row;
  float* nodes;          ///< of all rows
  std::int64_t columns;  ///< of a row
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Adds points [begin, end) of `points` to the strip's nodes.
void spread(const Placed* HWY_RESTRICT points, std::int64_t begin, std::int64_t end, Strip strip) {
  const hn::FixedTag<float, fft_support> four;
  for (std::int64_t s = begin; s < end; ++s) {
    const Placed p = points[s];
    float wx[fft_support];
    HWY_ALIGN float wy[fft_support];
    cubic_spline_weights(p.x, wx);
    cubic_spline_weights(p.y, wy);
    const auto along = hn::Load(four, wy);
    for (std::int64_t a = 0; a < fft_support; ++a) {
      const std::int64_t row = p.row + a;
      if (row < strip.first_row || row >= strip.last_row) continue;
      float* nodes = strip.nodes + row * strip.columns + p.column;
      hn::StoreU(hn::MulAdd(hn::Set(four, wx[a]), along, hn::LoadU(four, nodes)), four, nodes);
    }
  }
}

/// -1/2 of both fields at a point; `field` holds pairs, rows of `columns` pairs.
void gather_force(const Placed& p, const float* HWY_RESTRICT field, std::int64_t columns,
                  float* HWY_RESTRICT force) {
  const hn::FixedTag<float, fft_support> four;
  float wx[fft_support], wy[fft_support];
  cubic_spline_weights(p.x, wx);
  cubic_spline_weights(p.y, wy);
  auto low = hn::Zero(four), high = low;
  for (std::int64_t a = 0; a < fft_support; ++a) {
    const float* pairs = field + 2 * ((p.row + a) * columns + p.column);
    const auto w = hn::Set(four, wx[a]);
    low = hn::MulAdd(w, hn::LoadU(four, pairs), low);
    high = hn::MulAdd(w, hn::LoadU(four, pairs + fft_support), high);
  }
  HWY_ALIGN float at[2 * fft_support];
  hn::Store(low, four, at);
  hn::Store(high, four, at + fft_support);
  float fx = 0, fy = 0;
  for (int b = 0; b < fft_support; ++b) {
    fx += wy[b] * at[2 * b];
    fy += wy[b] * at[2 * b + 1];
  }
  force[0] = -0.5f * fx;
  force[1] = -0.5f * fy;
}

void gather_forces(const Placed* HWY_RESTRICT points, const std::int32_t* HWY_RESTRICT order,
                   std::int64_t begin, std::int64_t end, const float* HWY_RESTRICT field,
                   std::int64_t columns, float* HWY_RESTRICT force) {
  for (std::int64_t s = begin; s < end; ++s)
    gather_force(points[s], field, columns, force + 2 * std::int64_t{order[s]});
}

/// A column of the spectrum of the points, n values, into the columns of both derivative fields;
/// returns the sum of |G|^2 times the influence. `influence` has n / 2 + 1 values, along x;
/// wavenumber_x n, wavenumber_y is the column's.
double derive_column(const float* HWY_RESTRICT spectrum, const float* HWY_RESTRICT influence,
                     const float* HWY_RESTRICT wavenumber_x, float wavenumber_y, std::int64_t n,
                     float* HWY_RESTRICT along_x, float* HWY_RESTRICT along_y) {
  const hn::ScalableTag<float> f;
  const hn::RepartitionToWide<decltype(f)> wide;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto ky = hn::Set(f, wavenumber_y);
  auto power = hn::Zero(wide);
  std::int64_t m = 0;
  for (; m + lanes <= n; m += lanes) {
    hn::Vec<decltype(f)> re, im;
    hn::LoadInterleaved2(f, spectrum + 2 * m, re, im);
    const auto factor = hn::LoadU(f, influence + m);
    const auto kx = hn::LoadU(f, wavenumber_x + m);
    const auto br = hn::Mul(re, factor), bi = hn::Mul(im, factor);
    const auto square = hn::MulAdd(re, br, hn::Mul(im, bi));
    power = hn::Add(power, hn::PromoteTo(wide, hn::LowerHalf(square)));
    power = hn::Add(power, hn::PromoteTo(wide, hn::UpperHalf(hn::Half<decltype(f)>(), square)));
    // i k (br + i bi)
    hn::StoreInterleaved2(hn::Neg(hn::Mul(kx, bi)), hn::Mul(kx, br), f, along_x + 2 * m);
    hn::StoreInterleaved2(hn::Neg(hn::Mul(ky, bi)), hn::Mul(ky, br), f, along_y + 2 * m);
  }
  double total = hn::GetLane(hn::SumOfLanes(wide, power));
  for (; m < n; ++m) {
    const float re = spectrum[2 * m], im = spectrum[2 * m + 1];
    const float br = re * influence[m], bi = im * influence[m];
    total += static_cast<double>(re * br + im * bi);
    along_x[2 * m] = -wavenumber_x[m] * bi;
    along_x[2 * m + 1] = wavenumber_x[m] * br;
    along_y[2 * m] = -wavenumber_y * bi;
    along_y[2 * m + 1] = wavenumber_y * br;
  }
  return total;
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {
namespace {

HWY_EXPORT(spread);
HWY_EXPORT(gather_forces);
HWY_EXPORT(derive_column);

using Complex = kiss_fft_cpx;
static_assert(sizeof(Complex) == 2 * sizeof(float), "libkissfft-float");

struct Free {
  void operator()(void* plan) const { kiss_fft_free(plan); }
};
template <class Plan>
Plan checked(Plan plan) {
  if (plan == nullptr) throw std::bad_alloc();
  return plan;
}

constexpr std::int64_t lines = 8;  ///< rows or columns that are transposed at once: 64 bytes

/// Plans and line buffers of one thread.
struct Worker {
  std::unique_ptr<kiss_fft_state, Free> forward, inverse;
  std::unique_ptr<kiss_fftr_state, Free> real_forward, real_inverse;
  std::vector<Complex> block;         // `lines` lines, twice
  std::vector<Complex> line, result;  // n
  std::vector<Complex> along_x, along_y;
  std::vector<float> real;

  void prepare(std::int64_t nodes) {
    const int n = static_cast<int>(nodes);
    forward.reset(checked(kiss_fft_alloc(n, 0, nullptr, nullptr)));
    inverse.reset(checked(kiss_fft_alloc(n, 1, nullptr, nullptr)));
    real_forward.reset(checked(kiss_fftr_alloc(n, 0, nullptr, nullptr)));
    real_inverse.reset(checked(kiss_fftr_alloc(n, 1, nullptr, nullptr)));
    const auto size = static_cast<std::size_t>(nodes);
    block.resize(2 * static_cast<std::size_t>(lines) * size);
    for (auto* buffer : {&line, &result, &along_x, &along_y})
      buffer->assign(size, Complex{0, 0});
    real.assign(size, 0.0f);
  }
};

class FftRepulsion final : public Repulsion {
 public:
  FftRepulsion(ThreadPool& pool, std::int64_t points) : pool_(pool), n_(points) {
    require(points < std::numeric_limits<std::int32_t>::max(), "tsne_repulsion",
            "fewer than 2^31 points for a grid");
    const auto size = static_cast<std::size_t>(points);
    placed_.resize(size);
    sorted_.resize(size);
    order_.resize(size);
    workers_.resize(static_cast<std::size_t>(pool.threads()));
  }

  void prepare(const MapBounds& bounds) override {
    if (n_ == 0 || !(bounds.span() <= fft_longest_span)) return;
    const FftGrid grid = FftGrid::around(bounds);
    if (grid.nodes != grid_.nodes || grid.spacing != grid_.spacing) set_size(grid);
    grid_ = grid;
  }

  void evaluate(ConstMat y, Mat force, double* partition) override {
    require(y.rows == n_ && force.rows == n_ && y.columns == 2 && force.columns == 2,
            "tsne_repulsion", "y and force of N x 2");
    if (n_ == 0) {
      *partition = 0;
      return;
    }
    const FoundBounds found = find_bounds(pool_, y);
    if (found.finite && !grid_.holds(found.bounds)) prepare(found.bounds);
    if (!found.finite || !grid_.holds(found.bounds)) {
      std::fill(force.data, force.data + 2 * n_, std::numeric_limits<float>::quiet_NaN());
      *partition = std::numeric_limits<double>::quiet_NaN();
      return;
    }
    sort_points(y);
    spread_points();
    transform_rows();
    transform_columns();
    transform_back();
    pool_.for_ranges(n_, 256, 2048, [&](std::int64_t begin, std::int64_t end, int) {
      HWY_DYNAMIC_DISPATCH(gather_forces)
      (sorted_.data(), order_.data(), begin, end, field_.data(), grid_.occupied(), force.data);
    });
    double power = 0;
    for (const double column : column_power_)
      power += column;
    // Every point met itself, at q = 1.
    *partition = std::max(0.0, power - static_cast<double>(n_));
  }

 private:
  [[nodiscard]] std::int64_t columns() const { return grid_.nodes / 2 + 1; }  // of a spectrum

  /// Plans, buffers and the influence for another number of nodes or another spacing.
  void set_size(const FftGrid& grid) {
    const std::int64_t n = grid.nodes, half = n / 2;
    for (Worker& worker : workers_)
      worker.prepare(n);
    const auto plane = static_cast<std::size_t>(half * n);
    nodes_.resize(plane);
    spectrum_.resize(static_cast<std::size_t>((half + 1) * half));
    derived_.resize(2 * spectrum_.size());
    field_.resize(2 * static_cast<std::size_t>(half * half));
    column_power_.resize(static_cast<std::size_t>(half + 1));
    row_begin_.resize(static_cast<std::size_t>(half) + 1);
    counts_.resize(static_cast<std::size_t>(half) * workers_.size());
    wavenumber_.resize(static_cast<std::size_t>(n));
    const double unit =
        2 * 3.14159265358979323846 / (static_cast<double>(n) * static_cast<double>(grid.spacing));
    for (std::int64_t m = 0; m < n; ++m) {
      const std::int64_t signed_m = m <= half ? m : m - n;
      wavenumber_[static_cast<std::size_t>(m)] =
          m == half ? 0.0f : static_cast<float>(unit * static_cast<double>(signed_m));
    }
    make_influence(grid);
  }

  /// influence_[ky * n + kx]. The kernel is even along both axes, so its transform is real, and
  /// that of a real even line is one real transform.
  void make_influence(const FftGrid& grid) {
    const std::int64_t n = grid.nodes, half = n / 2, width = half + 1;
    influence_.resize(static_cast<std::size_t>(width * n));
    std::vector<double> rows(static_cast<std::size_t>(width * width));
    std::vector<double> windows(static_cast<std::size_t>(width));
    for (std::int64_t m = 0; m < width; ++m) {
      const double w = cubic_spline_transform(m, n);
      windows[static_cast<std::size_t>(m)] = 1.0 / (w * w);
    }
    const auto transform_even = [n, width](const kissfft<double>& plan, auto&& value, auto&& sink) {
      std::vector<double> line(static_cast<std::size_t>(n));
      std::vector<std::complex<double>> out(static_cast<std::size_t>(n / 2));
      for (std::int64_t i = 0; i < width; ++i) {
        line[static_cast<std::size_t>(i)] = value(i);
        if (i > 0) line[static_cast<std::size_t>(n - i)] = value(i);
      }
      plan.transform_real(line.data(), out.data());
      for (std::int64_t m = 0; m < n / 2; ++m)
        sink(m, out[static_cast<std::size_t>(m)].real());
      sink(n / 2, out[0].imag());  // where kissfft keeps the highest wavenumber
    };
    pool_.for_ranges(width, 8, 32, [&](std::int64_t begin, std::int64_t end, int) {
      const kissfft<double> plan(static_cast<std::size_t>(half), false);
      for (std::int64_t i = begin; i < end; ++i) {
        transform_even(
            plan, [&](std::int64_t j) { return 1.0 / (1.0 + grid.squared_distance(i, j)); },
            [&](std::int64_t m, double v) { rows[static_cast<std::size_t>(m * width + i)] = v; });
      }
    });
    const double norm = 1.0 / (static_cast<double>(n) * static_cast<double>(n));
    pool_.for_ranges(width, 8, 32, [&](std::int64_t begin, std::int64_t end, int) {
      const kissfft<double> plan(static_cast<std::size_t>(half), false);
      for (std::int64_t ky = begin; ky < end; ++ky) {
        float* column = influence_.data() + ky * n;
        transform_even(
            plan, [&](std::int64_t i) { return rows[static_cast<std::size_t>(ky * width + i)]; },
            [&](std::int64_t kx, double v) {
              const double value = norm * v * windows[static_cast<std::size_t>(kx)] *
                                   windows[static_cast<std::size_t>(ky)];
              column[kx] = static_cast<float>(value);
              if (kx > 0) column[n - kx] = static_cast<float>(value);
            });
      }
    });
  }

  void sort_points(ConstMat y) {
    const std::int64_t half = grid_.occupied();
    const float inverse = 1.0f / grid_.spacing;
    const auto place = [&](float v, std::size_t axis, float& above) {
      const float at = (v - grid_.origin[axis]) * inverse;
      const float below = std::floor(at);
      above = at - below;
      return static_cast<std::int32_t>(below) - 1;
    };
    std::fill(counts_.begin(), counts_.end(), 0);
    pool_.for_ranges(n_, 256, sort_serially, [&](std::int64_t begin, std::int64_t end, int part) {
      std::int32_t* counts = counts_.data() + part * half;
      for (std::int64_t i = begin; i < end; ++i) {
        Placed p{};
        p.row = place(y.data[2 * i], 0, p.x);
        p.column = place(y.data[2 * i + 1], 1, p.y);
        placed_[static_cast<std::size_t>(i)] = p;
        ++counts[p.row];
      }
    });
    std::int32_t total = 0;
    for (std::int64_t row = 0; row < half; ++row) {
      row_begin_[static_cast<std::size_t>(row)] = total;
      for (std::size_t part = 0; part < workers_.size(); ++part) {
        std::int32_t& count =
            counts_[part * static_cast<std::size_t>(half) + static_cast<std::size_t>(row)];
        const std::int32_t begin = total;
        total += count;
        count = begin;
      }
    }
    row_begin_[static_cast<std::size_t>(half)] = total;
    pool_.for_ranges(n_, 256, sort_serially, [&](std::int64_t begin, std::int64_t end, int part) {
      std::int32_t* next = counts_.data() + part * half;
      for (std::int64_t i = begin; i < end; ++i) {
        const Placed& p = placed_[static_cast<std::size_t>(i)];
        const auto at = static_cast<std::size_t>(next[p.row]++);
        sorted_[at] = p;
        order_[at] = static_cast<std::int32_t>(i);
      }
    });
  }

  /// The row below which a share part / parts of the points lies.
  [[nodiscard]] std::int64_t strip_begin(int part) const {
    const std::int64_t half = grid_.occupied();
    if (part == pool_.threads()) return half;
    const auto wanted = static_cast<std::int32_t>(n_ * part / pool_.threads());
    const auto at = std::lower_bound(row_begin_.begin(), row_begin_.end(), wanted);
    return part == 0 ? 0 : at - row_begin_.begin();
  }

  void spread_points() {
    const std::int64_t n = grid_.nodes;
    pool_.run([&](int part) {
      const Strip strip{strip_begin(part), strip_begin(part + 1), nodes_.data(), n};
      if (strip.first_row >= strip.last_row) return;
      std::fill(nodes_.data() + strip.first_row * n, nodes_.data() + strip.last_row * n, 0.0f);
      const std::int64_t first = std::max<std::int64_t>(0, strip.first_row - fft_support + 1);
      HWY_DYNAMIC_DISPATCH(spread)
      (sorted_.data(), row_begin_[static_cast<std::size_t>(first)],
       row_begin_[static_cast<std::size_t>(strip.last_row)], strip);
    });
  }

  /// spectrum_[ky * half + x] = transform along y.
  void transform_rows() {
    const std::int64_t n = grid_.nodes, half = grid_.occupied(), width = columns();
    pool_.for_chunks(
        (half + lines - 1) / lines, 1, [&](std::int64_t begin, std::int64_t, int part) {
          Worker& worker = workers_[static_cast<std::size_t>(part)];
          const std::int64_t first = begin * lines, count = std::min(lines, half - first);
          for (std::int64_t r = 0; r < count; ++r) {
            kiss_fftr(worker.real_forward.get(), nodes_.data() + (first + r) * n,
                      worker.block.data() + r * n);
          }
          for (std::int64_t ky = 0; ky < width; ++ky) {
            for (std::int64_t r = 0; r < count; ++r) {
              spectrum_[static_cast<std::size_t>(ky * half + first + r)] =
                  worker.block[static_cast<std::size_t>(r * n + ky)];
            }
          }
        });
  }

  /// derived_: [x * width + ky], of the field along x and then of that along y.
  void transform_columns() {
    const std::int64_t n = grid_.nodes, half = grid_.occupied(), width = columns();
    Complex* fields[2] = {derived_.data(), derived_.data() + spectrum_.size()};
    pool_.for_chunks(
        (width + lines - 1) / lines, 1, [&](std::int64_t begin, std::int64_t, int part) {
          Worker& worker = workers_[static_cast<std::size_t>(part)];
          const std::int64_t first = begin * lines, count = std::min(lines, width - first);
          for (std::int64_t c = 0; c < count; ++c) {
            const std::int64_t ky = first + c;
            std::copy_n(spectrum_.data() + ky * half, half,
                        worker.line.data());  // the rest stays 0
            kiss_fft(worker.forward.get(), worker.line.data(), worker.result.data());
            const double power = HWY_DYNAMIC_DISPATCH(derive_column)(
                &worker.result[0].r, influence_.data() + ky * n, wavenumber_.data(),
                wavenumber_[static_cast<std::size_t>(ky)], n, &worker.along_x[0].r,
                &worker.along_y[0].r);
            // The columns from n / 2 + 1 on are the others' mirror images.
            column_power_[static_cast<std::size_t>(ky)] = ky == 0 || ky == half ? power : 2 * power;
            kiss_fft(worker.inverse.get(), worker.along_x.data(), worker.block.data() + c * n);
            kiss_fft(worker.inverse.get(), worker.along_y.data(),
                     worker.block.data() + (lines + c) * n);
          }
          for (std::int64_t axis = 0; axis < 2; ++axis) {
            const Complex* block = worker.block.data() + axis * lines * n;
            for (std::int64_t x = 0; x < half; ++x) {
              for (std::int64_t c = 0; c < count; ++c)
                fields[axis][x * width + first + c] = block[c * n + x];
            }
          }
        });
  }

  /// field_[2 * (x * half + y)]: both derivatives.
  void transform_back() {
    const std::int64_t half = grid_.occupied(), width = columns();
    const Complex* fields[2] = {derived_.data(), derived_.data() + spectrum_.size()};
    pool_.for_chunks(half, lines, [&](std::int64_t begin, std::int64_t end, int part) {
      Worker& worker = workers_[static_cast<std::size_t>(part)];
      for (std::int64_t x = begin; x < end; ++x) {
        for (std::int64_t axis = 0; axis < 2; ++axis) {
          kiss_fftri(worker.real_inverse.get(), fields[axis] + x * width, worker.real.data());
          float* out = field_.data() + 2 * x * half + axis;
          for (std::int64_t y = 0; y < half; ++y)
            out[2 * y] = worker.real[static_cast<std::size_t>(y)];
        }
      }
    });
  }

  static constexpr std::int64_t sort_serially = 8192;

  ThreadPool& pool_;
  std::int64_t n_;
  FftGrid grid_;
  std::vector<Placed> placed_, sorted_;
  std::vector<std::int32_t> order_;      // of sorted_
  std::vector<std::int32_t> row_begin_;  // the first sorted point of each row of nodes
  std::vector<std::int32_t> counts_;     // points by part and row, then where the next one goes
  std::vector<float> nodes_;             // n / 2 rows of n
  std::vector<Complex> spectrum_, derived_;
  std::vector<float> field_;
  std::vector<float> influence_, wavenumber_;
  std::vector<double> column_power_;
  std::vector<Worker> workers_;
};

}  // namespace

std::unique_ptr<Repulsion> make_fft_repulsion(ThreadPool& pool, std::int64_t points) {
  return std::make_unique<FftRepulsion>(pool, points);
}

}  // namespace hourglass::cpu
#endif
