#include "host/embed/tsne_optimiser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "host/embed/tsne_start.hpp"
#include "hourglass/error.hpp"
#include "kernels/fft_grid.hpp"

namespace hourglass {
namespace {

constexpr double report_seconds = 0.2;
constexpr int recorded_iterations = 10;  ///< of a sequence; even, since two maps take turns
constexpr int most_regrids = 3;          ///< of one interval whose map outgrew the grid
/// Below, a map and its affinities lie in the caches in any order.
constexpr std::int64_t least_sorted_points = 4096;

bool is_finite(const Matrix& map) {
  return std::all_of(map.values.begin(), map.values.end(),
                     [](float value) { return std::isfinite(value); });
}

MapBounds bounds_of(const Matrix& map) {
  MapBounds bounds;
  for (std::int64_t c = 0; c < map.columns; ++c) {
    const auto axis = static_cast<std::size_t>(c);
    bounds.low[axis] = bounds.high[axis] = map(0, c);
    for (std::int64_t i = 1; i < map.rows; ++i) {
      bounds.low[axis] = std::min(bounds.low[axis], map(i, c));
      bounds.high[axis] = std::max(bounds.high[axis], map(i, c));
    }
  }
  return bounds;
}

/// A step takes off the mean of the map before it; the last step's drift is left.
void centre(Matrix& map) {
  for (std::int64_t c = 0; c < map.columns; ++c) {
    double sum = 0;
    for (std::int64_t i = 0; i < map.rows; ++i)
      sum += map(i, c);
    const auto mean = static_cast<float>(sum / static_cast<double>(map.rows));
    for (std::int64_t i = 0; i < map.rows; ++i)
      map(i, c) -= mean;
  }
}

/// So many times by half of itself and by 8 on each side: a narrow map may well grow to many times
/// its span within an interval.
MapBounds widened(MapBounds bounds, int times) {
  for (std::size_t c = 0; c < bounds.low.size(); ++c) {
    const float centre = 0.5f * (bounds.low[c] + bounds.high[c]);
    const float side = bounds.high[c] - bounds.low[c];
    const float half = 0.5f * side + static_cast<float>(times) * (0.25f * side + 8.0f);
    bounds.low[c] = centre - half;
    bounds.high[c] = centre + half;
  }
  return bounds;
}

TsneMethod public_method(RepulsionMethod method) {
  switch (method) {
    case RepulsionMethod::tree:
      return TsneMethod::tree;
    case RepulsionMethod::fft:
      return TsneMethod::fft;
    case RepulsionMethod::exact:
      break;
  }
  return TsneMethod::exact;
}

RepulsionMethod without_grid(const Backend& backend) {
  return backend.info().tree ? RepulsionMethod::tree : RepulsionMethod::exact;
}

/// After the map's first coarse moves the order of its neighbours changes slowly.
bool sorts_at(int iteration, int early) {
  return iteration == 0 || iteration == 50 || iteration == 150 || iteration == early ||
         (iteration > early && iteration % 250 == 0);
}

}  // namespace

double effective_learning_rate(const TsneOptions& options, std::int64_t points,
                               double exaggeration) {
  if (options.learning_rate > 0) return options.learning_rate;
  return std::max(static_cast<double>(points) / exaggeration, 50.0);
}

TsneOptimiser::TsneOptimiser(Backend& backend, Affinities affinities, Matrix start,
                             const TsneOptions& options)
    : backend_(backend),
      options_(options),
      n_(affinities.rows),
      dims_(options.dimensions),
      early_(std::min(options.exaggeration_iterations, options.iterations)),
      affinities_(std::move(affinities)),
      step_(backend, n_ * dims_),
      gains_(backend, n_ * dims_),
      repulsive_(backend, n_ * dims_),
      zeros_(backend, dims_),
      ones_(backend,
            std::span<const float>(std::vector<float>(static_cast<std::size_t>(dims_), 1.0f))),
      partition_(backend, 1),
      kl_(backend, 1),
      schedule_(backend, 1) {
  for (Buffer<float>* buffer : {&maps_[0], &maps_[1], &kept_[0], &kept_[1], &kept_[2]})
    *buffer = Buffer<float>(backend, n_ * dims_);
  zeros_.zero();
  order_.resize(static_cast<std::size_t>(n_));
  std::iota(order_.begin(), order_.end(), 0);
  if (options.resume) {
    iteration_ = options.resume->iteration;
    last_kl_ = options.resume->kl_divergence;
    knows_kl_ = true;
    map_ = options.resume->map;
    place_points(options.resume->order);
    upload_rows(options.resume->step, step_);
    upload_rows(options.resume->gains, gains_);
  } else {
    map_ = std::move(start);
    step_.zero();
    gains_.upload(std::vector<float>(static_cast<std::size_t>(n_ * dims_), 1.0f));
  }
  upload_rows(map_, maps_[0]);
  bounds_ = bounds_of(map_);
}

Matrix TsneOptimiser::rows_of(const Buffer<float>& buffer) const {
  const std::vector<float> values = buffer.download();
  Matrix rows(n_, dims_);
  for (std::int64_t s = 0; s < n_; ++s) {
    std::copy_n(values.data() + s * dims_, dims_,
                rows.row(order_[static_cast<std::size_t>(s)]).data());
  }
  return rows;
}

void TsneOptimiser::upload_rows(const Matrix& rows, Buffer<float>& buffer) const {
  std::vector<float> values(rows.values.size());
  for (std::int64_t s = 0; s < n_; ++s) {
    std::copy_n(rows.row(order_[static_cast<std::size_t>(s)]).data(), dims_,
                values.data() + s * dims_);
  }
  buffer.upload(values);
}

/// Brings the affinities into another order of what now lies in memory.
void TsneOptimiser::place_points(const std::vector<std::int32_t>& order) {
  const Buffer<std::int32_t> permutation(backend_, std::span<const std::int32_t>(order));
  std::int64_t entries = 0;
  backend_.download(&entries, affinities_.offsets.data() + n_, sizeof(entries));
  Buffer<std::int64_t> offsets(backend_, n_ + 1);
  Buffer<std::int32_t> columns(backend_, entries);
  Buffer<float> values(backend_, entries);
  backend_.permute_affinities(affinities_.view(), permutation.span(),
                              {offsets.data(), columns.data(), values.data(), n_, entries});
  backend_.synchronize();  // before what it read goes
  affinities_.offsets = std::move(offsets);
  affinities_.columns = std::move(columns);
  affinities_.values = std::move(values);
  std::vector<std::int32_t> composed(order.size());
  for (std::size_t s = 0; s < order.size(); ++s)
    composed[s] = order_[static_cast<std::size_t>(order[s])];
  order_ = std::move(composed);
}

void TsneOptimiser::permute(Buffer<float>& buffer, const Buffer<std::int32_t>& order) {
  Buffer<float>& spare = maps_[1 - current_];
  const FeatureView from{buffer.data(), false, n_, dims_};
  backend_.gather_rows(from, order.data(), 0, std::as_const(zeros_).span(),
                       std::as_const(ones_).span(), view(spare));
  std::swap(buffer, spare);
}

void TsneOptimiser::sort_points() {
  const Range range(backend_, "sort");
  Buffer<std::int32_t> order(backend_, n_);
  backend_.locality_order(view(maps_[current_]), order.span());
  place_points(order.download());
  permute(step_, order);
  permute(gains_, order);
  permute(maps_[current_], order);
  sequence_.reset();
}

void TsneOptimiser::choose_method() {
  const auto span = static_cast<double>(bounds_.span());
  RepulsionMethod wanted = RepulsionMethod::exact;
  switch (options_.method) {
    case TsneMethod::automatic:
      wanted = backend_.best_repulsion(n_, dims_, span);
      break;
    case TsneMethod::tree:
      wanted = RepulsionMethod::tree;
      break;
    case TsneMethod::fft:
      wanted = RepulsionMethod::fft;
      break;
    case TsneMethod::exact:
      break;
  }
  if (wanted == RepulsionMethod::fft && !(bounds_.span() <= fft_longest_span))
    wanted = without_grid(backend_);
  if (!repulsion_ || wanted != method_) {
    sequence_.reset();
    repulsion_.reset();  // the old one's memory first
    repulsion_ = backend_.make_repulsion(wanted, n_, dims_);
    method_ = wanted;
  }
  if (methods_.empty() || methods_.back().method != public_method(method_))
    methods_.push_back({iteration_, public_method(method_)});
}

void TsneOptimiser::write_schedule() {
  const bool early = exaggerated(iteration_);
  TsneSchedule schedule;
  schedule.exaggeration = early ? static_cast<float>(options_.early_exaggeration) : 1.0f;
  schedule.learning_rate = static_cast<float>(
      effective_learning_rate(options_, n_, early ? options_.early_exaggeration : 1.0));
  schedule.momentum = static_cast<float>(early ? options_.early_momentum : options_.momentum);
  schedule.max_step = static_cast<float>(options_.max_step);
  schedule_.upload(std::span<const TsneSchedule>(&schedule, 1));
}

int TsneOptimiser::interval_end() const {
  const int next = (iteration_ / tsne_interval + 1) * tsne_interval;
  return std::min(next, exaggerated(iteration_) ? early_ : options_.iterations);
}

void TsneOptimiser::begin_interval() {
  if (n_ >= least_sorted_points && sorts_at(iteration_, early_)) sort_points();
  choose_method();
  write_schedule();
  const Buffer<float>* from[] = {&maps_[current_], &step_, &gains_};
  for (int i = 0; i < 3; ++i) {
    backend_.copy(kept_[i].data(), from[i]->data(),
                  static_cast<std::size_t>(n_ * dims_) * sizeof(float));
  }
}

void TsneOptimiser::step(int from) {
  const ConstMat y = view(maps_[from]);
  repulsion_->evaluate(y, view(repulsive_), partition_.data());
  backend_.tsne_step(affinities_.view(), y, view(repulsive_), partition_.data(), schedule_.data(),
                     y, view(maps_[1 - from]), view(step_), view(gains_));
}

void TsneOptimiser::iterate(int count) {
  const auto one = [&] {
    step(current_);
    current_ = 1 - current_;
    --count;
  };
  if (!sequence_ && count >= 2 + recorded_iterations) {
    one();  // workspace is there before it is recorded
    one();
    sequence_ = backend_.record([this, first = current_] {
      for (int i = 0; i < recorded_iterations; ++i)
        step(i % 2 == 0 ? first : 1 - first);
    });
    sequence_first_ = current_;
  }
  if (sequence_) {
    if (current_ != sequence_first_ && count > 0) one();
    sequence_->run(count / recorded_iterations);
    count %= recorded_iterations;
  }
  while (count > 0)
    one();
}

int TsneOptimiser::unwatched_iterations() const {
  if (!(iteration_seconds_ > 0)) return 2 + recorded_iterations;
  const double count = std::min(report_seconds / iteration_seconds_, double{tsne_interval});
  const int whole = static_cast<int>(count);
  return whole < recorded_iterations ? std::max(whole, 1)
                                     : whole / recorded_iterations * recorded_iterations;
}

void TsneOptimiser::report(int done) const {
  if (!options_.progress) return;
  TsneProgress progress;
  progress.iteration = done;
  progress.iterations = options_.iterations;
  progress.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  progress.span = static_cast<double>(bounds_.span());
  if (knows_kl_) progress.kl_divergence = last_kl_;
  if (!options_.progress(progress)) {
    throw Interrupted(
        fmt::format("t-SNE: interrupted after {} of {} iterations", done, options_.iterations));
  }
}

void TsneOptimiser::run_interval(int until) {
  const Range range(backend_, "interval");
  const auto n_bytes = static_cast<std::size_t>(n_ * dims_) * sizeof(float);
  for (int attempt = 0;; ++attempt) {
    repulsion_->prepare(widened(bounds_, attempt));
    if (method_ == RepulsionMethod::fft) sequence_.reset();  // its grid may lie elsewhere now
    for (int done = iteration_; done < until;) {
      const Clock::time_point begin = Clock::now();
      const int count = std::min(unwatched_iterations(), until - done);
      iterate(count);
      done += count;
      if (done == until) break;  // the map is downloaded next
      backend_.synchronize();
      iteration_seconds_ =
          std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(count);
      report(done);
    }
    map_ = rows_of(maps_[current_]);
    if (is_finite(map_)) break;
    if (method_ != RepulsionMethod::fft || attempt > most_regrids) {
      throw NumericsError(fmt::format(
          "t-SNE: the map stopped being finite in iterations {} to {}; a smaller learning rate "
          "than {:g} may help",
          iteration_ + 1, until,
          effective_learning_rate(options_, n_,
                                  exaggerated(iteration_) ? options_.early_exaggeration : 1.0)));
    }
    // The map outgrew its grid: once more from the interval's start, on a larger one.
    Buffer<float>* to[] = {&maps_[current_], &step_, &gains_};
    for (int i = 0; i < 3; ++i)
      backend_.copy(to[i]->data(), kept_[i].data(), n_bytes);
    const float next_span = widened(bounds_, attempt + 1).span();
    if (attempt == most_regrids || !(next_span <= fft_longest_span)) {
      method_ = without_grid(backend_);
      sequence_.reset();
      repulsion_ = backend_.make_repulsion(method_, n_, dims_);
      methods_.push_back({iteration_, public_method(method_)});
    }
  }
  iteration_ = until;
  bounds_ = bounds_of(map_);
}

void TsneOptimiser::finish_exaggeration() {
  // Exaggeration draws points of equal neighbourhoods together until float32 cannot tell them
  // apart; the second phase is to part them again.
  if (part_equal_rows(map_, options_.seed)) upload_rows(map_, maps_[current_]);
}

double TsneOptimiser::kl_divergence(bool exact_partition) {
  const ConstMat y = view(maps_[current_]);
  if (!exact_partition) {
    choose_method();
    repulsion_->prepare(bounds_);
    repulsion_->evaluate(y, view(repulsive_), partition_.data());
  }
  backend_.tsne_kl(affinities_.view(), y, exact_partition ? nullptr : partition_.data(),
                   kl_.data());
  return kl_.download().front();
}

double TsneOptimiser::force_error(std::int64_t sample) {
  if (method_ == RepulsionMethod::exact || sample < 1) return 0;
  choose_method();
  repulsion_->prepare(bounds_);
  repulsion_->evaluate(view(maps_[current_]), view(repulsive_), partition_.data());
  const Matrix got = rows_of(repulsive_);
  const auto d = static_cast<std::size_t>(dims_);
  double error = 0, square = 0;
  for (std::int64_t a = 0; a < sample; ++a) {
    const std::int64_t i = a * n_ / sample;
    double force[3] = {};
    for (std::int64_t j = 0; j < n_; ++j) {
      double difference[3] = {}, d2 = 0;
      for (std::size_t c = 0; c < d; ++c) {
        const auto column = static_cast<std::int64_t>(c);
        difference[c] = static_cast<double>(map_(i, column)) - map_(j, column);
        d2 += difference[c] * difference[c];
      }
      const double q = 1.0 / (1.0 + d2);
      for (std::size_t c = 0; c < d; ++c)
        force[c] += q * q * difference[c];
    }
    for (std::size_t c = 0; c < d; ++c) {
      const double off = got(i, static_cast<std::int64_t>(c)) - force[c];
      error += off * off;
      square += force[c] * force[c];
    }
  }
  return square > 0 ? std::sqrt(error / square) : 0;
}

void TsneOptimiser::take_snapshot() {
  if (!options_.snapshot) return;
  TsneState state;
  state.iteration = iteration_;
  state.map = map_;
  state.step = rows_of(step_);
  state.gains = rows_of(gains_);
  state.order = order_;
  state.kl_divergence = last_kl_;
  options_.snapshot(state);
}

void TsneOptimiser::run(TsneResult& result) {
  start_ = Clock::now();
  result.iterations = iteration_;
  const bool watched = options_.progress || options_.snapshot || options_.stop_below > 0;
  while (iteration_ < options_.iterations && !result.stopped_early) {
    begin_interval();
    run_interval(interval_end());
    if (iteration_ == early_) finish_exaggeration();
    if (watched) {
      const double before = last_kl_;
      const bool comparable = knows_kl_ && iteration_ - tsne_interval >= early_;
      last_kl_ = kl_divergence(false);
      knows_kl_ = true;
      result.stopped_early =
          comparable && options_.stop_below > 0 && before - last_kl_ < options_.stop_below * before;
    }
    const bool last = iteration_ == options_.iterations || result.stopped_early;
    if (last || iteration_ % options_.snapshot_every == 0) take_snapshot();
    report(iteration_);
  }
  if (result.iterations < iteration_) centre(map_);
  result.map = map_;
  result.methods = methods_;
  if (!methods_.empty()) result.method = methods_.back().method;
  result.iterations = iteration_;
  result.span = static_cast<double>(bounds_.span());
}

}  // namespace hourglass
