// The optimisation of a t-SNE map: repulsion and step in turn, in intervals at whose ends the host
// looks at the map.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "host/embed/affinities.hpp"
#include "hourglass/tsne.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

/// The learning rate in a phase of such an exaggeration: the option's, or max(N / exaggeration,
/// 50).
double effective_learning_rate(const TsneOptions& options, std::int64_t points,
                               double exaggeration);

/// Moves a map and all that belongs to it through the iterations.
///
/// Everything that an iteration needs stays in device memory, points and affinities in the order of
/// a Morton curve over the map. At the start of an interval (tsne_interval iterations, or up to
/// the end of a phase) the method is chosen and prepared; what the interval does depends on that
/// moment's state alone, so that a run can go on from it bitwise. Within an interval the host waits
/// only to report progress.
class TsneOptimiser {
 public:
  /// From options.resume where that is set, else from `start` (rows in the order of the data).
  /// options must outlive it.
  TsneOptimiser(Backend& backend, Affinities affinities, Matrix start, const TsneOptions& options);

  /// All iterations that are left; fills in result's map, methods, iterations, stopped_early, span.
  void run(TsneResult& result);

  /// The divergence of the map as it is, with the exact partition or the method's own.
  [[nodiscard]] double kl_divergence(bool exact_partition);
  /// TsneResult::force_error over `sample` points spread evenly over the data.
  [[nodiscard]] double force_error(std::int64_t sample);

 private:
  using Clock = std::chrono::steady_clock;

  void begin_interval();
  void iterate(int count);
  void step(int from);
  void sort_points();
  void choose_method();
  void write_schedule();
  void finish_exaggeration();
  /// Interval by interval, until the map is finite or a larger grid does not help.
  void run_interval(int until);
  void report(int done) const;
  /// How many to do before the host looks up, by what one took: about report_seconds' worth.
  [[nodiscard]] int unwatched_iterations() const;
  void take_snapshot();
  [[nodiscard]] bool exaggerated(int iteration) const { return iteration < early_; }
  [[nodiscard]] int interval_end() const;
  /// Downloaded, rows in the order of the data.
  [[nodiscard]] Matrix rows_of(const Buffer<float>& buffer) const;
  void upload_rows(const Matrix& rows, Buffer<float>& buffer) const;
  void place_points(const std::vector<std::int32_t>& order);
  void permute(Buffer<float>& buffer, const Buffer<std::int32_t>& order);
  [[nodiscard]] Mat view(Buffer<float>& buffer) const { return buffer.matrix(n_, dims_); }

  Backend& backend_;
  const TsneOptions& options_;
  std::int64_t n_;
  std::int64_t dims_;
  int early_;  ///< iterations with exaggeration
  int iteration_ = 0;
  Affinities affinities_;
  std::vector<std::int32_t> order_;  ///< of the data, as it lies in the buffers
  Buffer<float> maps_[2];
  int current_ = 0;  ///< which of maps_
  Buffer<float> step_, gains_, repulsive_;
  Buffer<float> kept_[3];  ///< map, step and gains at the start of the interval
  Buffer<float> zeros_, ones_;
  Buffer<double> partition_, kl_;
  Buffer<TsneSchedule> schedule_;
  std::unique_ptr<Repulsion> repulsion_;
  RepulsionMethod method_ = RepulsionMethod::exact;
  std::unique_ptr<Sequence> sequence_;
  int sequence_first_ = 0;  ///< the map that it starts from
  Matrix map_;              ///< at the start of the interval, rows in the order of the data
  MapBounds bounds_;
  double iteration_seconds_ = 0;  ///< when last measured; 0 before
  double last_kl_ = 0;
  bool knows_kl_ = false;
  Clock::time_point start_;
  std::vector<TsneMethodUse> methods_;
};

}  // namespace hourglass
