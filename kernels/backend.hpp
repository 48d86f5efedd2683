// The table of operations. A backend (cpu, cuda, and sim in the tests) implements every one of
// them; everything under host/ is written once against this table and knows no device.
//
// Conventions
// - B rows a batch, D features, K code units, N points. Matrices are dense, row-major, float32.
// - All pointers and views point at memory of this backend (allocate()), host arguments are named
// so.
// - Operations of one backend run in the order in which they are called; they may return before the
// work is done.
//   download() and synchronize() wait. Nothing else does.
// - Outputs must not overlap inputs unless the operation says so. Views of size zero are legal and
// do nothing.
// - Shapes that do not fit together are a programming error: std::invalid_argument that names the
// operation.
// - Sums that feed a report or a decision are accumulated in float64. The order of every sum is
// fixed by the shapes (and, on the
//   CPU, by the number of threads), so equal calls give equal bits.
// - Scalars that change from step to step live in device memory (OptimiserState, TsneSchedule,
// losses, the number of the batch), so that a
//   sequence of operations can be captured once and replayed.
// - Formulas: math.hpp; stated once more, independently and in float64, in tests/oracle.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "kernels/math.hpp"
#include "kernels/views.hpp"

namespace hourglass {

struct BackendInfo {
  std::string backend;             ///< "cpu", "cuda" or "sim"
  std::string name;                ///< the processor's or GPU's own name
  int threads = 1;                 ///< host threads that compute (1 for cuda)
  std::uint64_t memory_bytes = 0;  ///< of the device, in all
  std::uint64_t free_bytes = 0;   ///< of these, what an allocation could have at the time of asking
  std::uint64_t cache_bytes = 0;  ///< of the last level: L2 of a GPU; 0 where it is not known
  bool host_memory = false;       ///< its memory is the host's: what it holds, the host reads
  bool tree = false;              ///< it has RepulsionMethod::tree
  bool tf32 = false;              ///< it has Precision::tf32
};

enum class Transpose : bool { no = false, yes = true };

/// What the output layer is trained by.
struct OutputLoss {
  bool cross_entropy = true;                    ///< else the squared error
  Activation activation = Activation::sigmoid;  ///< of the squared error: sigmoid or linear
  float clip = 1e-7f;                           ///< of the cross-entropy, as in sigmoid_bce
};

/// How the repulsive forces of t-SNE are summed.
enum class RepulsionMethod {
  exact,  ///< every pair
  tree,   ///< quadtree or octree with second moments: where BackendInfo::tree
  fft     ///< B-splines on a grid and two transforms; maps of two dimensions only
};

/// The box that holds a map; z is 0 to 0 in two dimensions.
struct MapBounds {
  std::array<float, 3> low{};
  std::array<float, 3> high{};

  /// The longest side.
  [[nodiscard]] float span() const {
    return std::max({high[0] - low[0], high[1] - low[1], high[2] - low[2]});
  }
};

/// Sums the repulsive forces of a map. Created by Backend::make_repulsion for one N; holds its own
/// workspace.
class Repulsion {
 public:
  virtual ~Repulsion() = default;
  /// Makes ready for maps within `bounds` and some way beyond them, how far is the method's own,
  /// and forgets all earlier maps: what evaluate() gives from here on depends on the calls from
  /// here on. May allocate and wait, so that evaluate() need not. Comes before the first
  /// evaluate(), and again as the map grows.
  virtual void prepare(const MapBounds& bounds) = 0;
  /// force[i] = sum over j != i of q_ij^2 (y_i - y_j), *partition = sum over i != j of q_ij (both
  /// directions), with q = 1 / (1 + |y_i - y_j|^2). y and force are N x 2 or N x 3; partition is
  /// one float64 in device memory. A map beyond what prepare() made ready for, or one that is not
  /// finite, gives a partition of NaN and forces that mean nothing.
  virtual void evaluate(ConstMat y, Mat force, double* partition) = 0;
};

/// Operations that were recorded once, to be run many times.
class Sequence {
 public:
  virtual ~Sequence() = default;
  /// Runs all of them `times` times over, in order.
  virtual void run(int times) = 0;
};

/// Measures how long the operations between start() and stop() took, on the device's own clock:
/// events of a GPU, which leave out how long the host took to queue them; the steady clock of a
/// CPU.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
  /// Between the last start() and stop(); waits for the operations between them.
  [[nodiscard]] virtual double seconds() = 0;
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] virtual BackendInfo info() const = 0;

  // ---- memory
  // -------------------------------------------------------------------------------------------------
  /// At least `bytes` bytes, aligned to 256. Throws DeviceError with the sizes where there is not
  /// enough.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  /// Host to device. The host memory may be reused on return.
  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  /// Device to host; waits for the operations before it.
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill(void* device, unsigned char value, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  /// What `operations` calls on this backend, as a sequence: a graph of the device, where it has
  /// such, that costs one launch. `operations` may be called now, once, or at every run, so it must
  /// do the same each time, and neither allocate nor wait (upload, download, synchronize); it and
  /// its memory must outlive the sequence. Run the operations once by themselves before recording:
  /// their workspace is then there.
  [[nodiscard]] virtual std::unique_ptr<Sequence> record(std::function<void()> operations) = 0;

  // ---- measuring
  // ------------------------------------------------------------------------------------------
  [[nodiscard]] virtual std::unique_ptr<Stopwatch> make_stopwatch() = 0;

  /// values[i] = v after `terms` turns of v = v a + b, one fused multiply-add each (rounded twice
  /// where the machine has none). 2 FLOP a turn and 8 bytes a value in all: measures the arithmetic
  /// ceiling, against which benchmarks hold the other operations. terms >= 0.
  virtual void fma_chain(float a, float b, int terms, std::span<float> values) = 0;

  /// A name for all that is done until end_range(), shown by a profiler of the device (NVTX);
  /// nests. Use Range.
  virtual void begin_range(const char* name) noexcept = 0;
  virtual void end_range() noexcept = 0;

  // ---- batches
  // ------------------------------------------------------------------------------------------------
  /// out[b, d] = (source[row(b), d] - offset[d]) * factor[d], where row(b) = index[b], or first_row
  /// + b where index is null. Reads B D elements of the source, writes 4 B D bytes. offset and
  /// factor have D elements.
  virtual void gather_rows(FeatureView source, const std::int32_t* index, std::int64_t first_row,
                           std::span<const float> offset, std::span<const float> factor,
                           Mat out) = 0;

  /// order = the rows 0 .. N-1 as epoch number `epoch` visits them: by shuffle_key(seed, row,
  /// epoch) (philox.hpp), equal keys by row. The same on every backend.
  virtual void shuffle_rows(std::uint64_t seed, std::uint32_t epoch,
                            std::span<std::int32_t> order) = 0;

  /// gather_rows of the batch whose turn it is: row(b) = order[first + b], first = (*step mod S)
  /// batch, where S = ceil(N / batch) batches make an epoch of the source's N rows and *step, in
  /// device memory, is the number of steps done. out has `batch` rows, or, where it is the last of
  /// an epoch, those that are left.
  virtual void gather_batch(FeatureView source, std::span<const std::int32_t> order,
                            std::int64_t batch, const std::int64_t* step,
                            std::span<const float> offset, std::span<const float> factor,
                            Mat out) = 0;

  /// noisy = a corrupted copy of `clean` (both B x D); noise.kind is not none. The random words are
  /// those of philox4x32(seed, element / 4, RandomStream::noise, *step), word element % 4, element
  /// = b D + d; a Gaussian pair is made of words 0 and 1, and of 2 and 3 (normal_pair), a uniform
  /// of one (unit_uniform). *step, in device memory, is the number of steps done, of which the
  /// lower 32 bits count. The range limits Gaussian noise; masked values become 0. Masks are the
  /// same in every bit on every backend, Gaussian noise within 1e-6 deviations before its sum is
  /// rounded.
  virtual void corrupt(ConstMat clean, Noise noise, NoiseRange range, std::uint64_t seed,
                       const std::int64_t* step, Mat noisy) = 0;

  /// mean[d] and population standard deviation[d] (ddof 0) of each column, two passes, float64.
  virtual void column_statistics(FeatureView x, std::span<double> mean,
                                 std::span<double> deviation) = 0;

  // ---- dense layers
  // -------------------------------------------------------------------------------------------
  /// How gemm multiplies from here on; float32 at first. Refuses what info() does not say that
  /// there is. sparse_gemm and output_layer follow it; no other operation does, products within
  /// them included.
  virtual void set_gemm_precision(Precision precision) = 0;

  /// c = alpha op(a) op(b) + beta c; beta = 0 never reads c.
  virtual void gemm(Transpose transpose_a, Transpose transpose_b, float alpha, ConstMat a,
                    ConstMat b, float beta, Mat c) = 0;

  /// c = op(a) b + beta c, of an `a` that in many places of column d holds zero[d], as scaled rows
  /// do of data that is mostly 0; an empty `zero` is all 0. A backend may pass over these places:
  /// what would multiply an infinity or a NaN there is then not seen. beta = 0 never reads c.
  virtual void sparse_gemm(Transpose transpose_a, ConstMat a, std::span<const float> zero,
                           ConstMat b, float beta, Mat c) = 0;

  /// pre[b, k] += bias[k], then out = f(pre). out may be pre itself for activations whose
  /// derivative follows from their output (derivative_from_output in math.hpp).
  virtual void bias_activation(Activation activation, std::span<const float> bias, Mat pre,
                               Mat out) = 0;

  /// gradient (in: dL/dout, out: dL/dpre) *= f'(pre); bias_gradient[k] = sum over b of gradient[b,
  /// k]. pre may be out itself where derivative_from_output holds; it is read only where it does
  /// not.
  virtual void bias_activation_backward(Activation activation, ConstMat pre, ConstMat out,
                                        Mat gradient, std::span<float> bias_gradient) = 0;

  // ---- losses at the output layer, one pass
  // ------------------------------------------------------------------
  /// z = pre + bias; *loss += sum over b of (mean over d of bce(z, target)); gradient = dL/dz of
  /// the batch mean, so divided by D B; bias_gradient[d] = column sums of gradient. An empty
  /// gradient (and bias_gradient) asks for the loss alone. gradient may be pre. clip is semantics'
  /// epsilon (1e-7), 0 for the unclipped loss (bce() in math.hpp).
  virtual void sigmoid_bce(ConstMat pre, std::span<const float> bias, ConstMat targets, float clip,
                           Mat gradient, std::span<float> bias_gradient, double* loss) = 0;

  /// The same with loss (y - t)^2, y = f(z); `activation` is sigmoid or linear.
  virtual void squared_error(Activation activation, ConstMat pre, std::span<const float> bias,
                             ConstMat targets, Mat gradient, std::span<float> bias_gradient,
                             double* loss) = 0;

  /// The last layer in one: z = input W + bias (input B x K, W K x D); *loss, dL/dz and
  /// bias_gradient as sigmoid_bce or squared_error give them, and
  /// input_gradient = dL/dz W^T, weights_gradient = input^T dL/dz. Without gradients (all three
  /// empty) the loss alone. The logits need not be written to memory: work (B x D) holds nothing
  /// afterwards.
  virtual void output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                            std::span<const float> bias, ConstMat targets, Mat work,
                            Mat input_gradient, Mat weights_gradient,
                            std::span<float> bias_gradient, double* loss) = 0;

  // ---- penalties on the code
  // ---------------------------------------------------------------------------------
  /// *penalty += B * weight * sum over b, k of |codes|; gradient += weight * sign(codes). For the
  /// mean over the rows of lambda * sum_k |h| pass weight = lambda / B; for the sum over the rows
  /// pass lambda. (The penalty is thus weighted by the rows, like the loss.) An empty gradient asks
  /// for the value alone.
  virtual void l1_penalty(ConstMat codes, float weight, Mat gradient, double* penalty) = 0;

  /// mean_activation[k] = mean over b of codes[b, k]; *penalty += B * beta * sum_k KL(rho ||
  /// mean_activation[k]); gradient[b, k] += kl_gradient(...) / B. mean_activation (K) is written
  /// unclipped. An empty gradient asks for the value alone.
  virtual void kl_penalty(ConstMat codes, float rho, float beta, Mat gradient,
                          std::span<float> mean_activation, double* penalty) = 0;

  /// *penalty += B * lambda * mean over b of sum_k f'(a_bk)^2 |W_k|^2, the square Frobenius norm of
  /// the Jacobian of the codes by the inputs, W_k the k-th column of the weights (D x K) of the one
  /// layer that makes them (Rifai et al. 2011). gradient[b, k] += (lambda / B) 2 f''(a_bk) |W_k|^2:
  /// what is left of the derivative by a_bk when bias_activation_backward has multiplied by f'.
  /// weights_gradient[j, k] = beta weights_gradient[j, k] + (2 lambda / B) W_jk sum_b f'(a_bk)^2;
  /// beta = 0 never reads it. pre as in bias_activation_backward. A gradient that is empty is not
  /// asked for. Of no rows the penalty is 0.
  virtual void contractive_penalty(Activation activation, ConstMat weights, ConstMat pre,
                                   ConstMat codes, float lambda, float beta, Mat gradient,
                                   Mat weights_gradient, double* penalty) = 0;

  /// *penalty += rows * lambda / 2 * sum of weights^2; gradient += lambda weights. An empty
  /// gradient asks for the value alone.
  virtual void l2_penalty(std::span<const float> weights, float lambda, std::int64_t rows,
                          std::span<float> gradient, double* penalty) = 0;

  // ---- optimisers
  // ---------------------------------------------------------------------------------------------
  /// state->gradient_norm = the Euclidean norm of the gradients, float64; state->gradient_scale =
  /// clip_scale(that, max_norm), which the next step of an optimiser multiplies them with.
  virtual void gradient_norm(std::span<const float> gradients, float max_norm,
                             OptimiserState* state) = 0;

  /// One step of Adam over one flat buffer (Kingma and Ba 2015, in Keras's form): ++state->step,
  /// the step size of that step, then every parameter. Only the first `decayed` parameters shrink
  /// by options.weight_decay (AdamW: Loshchilov and Hutter 2019). Ends a step of training: files
  /// its figures (file_figures). Reads 16 and writes 12 bytes a parameter.
  virtual void adam(std::span<float> parameters, std::span<const float> gradients,
                    std::span<float> first_moment, std::span<float> second_moment,
                    std::int64_t decayed, AdamOptions options, OptimiserState* state,
                    StepFigures figures) = 0;

  /// One step of stochastic gradient descent with momentum: ++state->step, then every parameter
  /// (sgd_update). Files the step's figures as adam does. Reads 12 and writes 8 bytes a parameter.
  virtual void sgd(std::span<float> parameters, std::span<const float> gradients,
                   std::span<float> velocity, float momentum, OptimiserState* state,
                   StepFigures figures) = 0;

  // ---- linear algebra on data
  // --------------------------------------------------------------------------------
  /// covariance[i * D + j] = sum over rows of (x_i - mean_i)(x_j - mean_j) / (N - 1), float64, both
  /// triangles.
  virtual void covariance(ConstMat x, std::span<const double> mean,
                          std::span<double> covariance) = 0;

  // ---- neighbours
  // --------------------------------------------------------------------------------------------
  /// Exact k nearest rows of `references` for every row of `queries` by squared Euclidean distance,
  /// ascending; ties by the lower index. `same` says that both are one matrix: a point is then not
  /// its own neighbour. Distances are recomputed by differences for the chosen ones, so near
  /// duplicates do not suffer from cancellation. k <= rows (- 1 where `same`).
  virtual void nearest_neighbours(ConstMat queries, ConstMat references, bool same,
                                  MatrixView<std::int32_t> index, Mat squared_distance) = 0;

  /// rank[i, a] = the place (1 = nearest) that x's row neighbours[i, a] takes among all other rows
  /// by distance from row i; ties by the lower index. Trustworthiness is made of these (Venna and
  /// Kaski 2001).
  virtual void neighbour_ranks(ConstMat x, MatrixView<const std::int32_t> neighbours,
                               MatrixView<std::int32_t> rank) = 0;

  // ---- t-SNE (van der Maaten and Hinton 2008)
  // ----------------------------------------------------------------
  /// For each row the precision beta at which the entropy of p_j|i ~ exp(-beta d_ij^2) over its k
  /// neighbours is log(perplexity), within 1e-5; conditional = that distribution. Rows of equal
  /// distances get the uniform one.
  virtual void perplexity_search(ConstMat squared_distance, float perplexity, Mat conditional,
                                 std::span<float> precision) = 0;

  /// P = (P_cond + P_cond^T) / (2 N) over the union of both edge sets, columns ascending in each
  /// row; the sum of P is 1. affinities.capacity must be at least 2 N k; offsets[N] is the number
  /// of entries.
  virtual void symmetrise(MatrixView<const std::int32_t> index, ConstMat conditional,
                          CsrView affinities) = 0;

  /// `dimensions` of the map: 2 or 3.
  [[nodiscard]] virtual std::unique_ptr<Repulsion> make_repulsion(RepulsionMethod method,
                                                                  std::int64_t points,
                                                                  std::int64_t dimensions) = 0;
  /// The method to take here for N points in a map of such a span: the fastest of those that this
  /// backend has.
  [[nodiscard]] virtual RepulsionMethod best_repulsion(std::int64_t points, std::int64_t dimensions,
                                                       double span) const = 0;

  /// One step of every row of y: attraction = sum over j of p_ij q_ij (y_i - s_j), s the rows of
  /// `sources`, which the affinities' columns number (y itself where a map is made; the map where
  /// new points are placed in it); gradient = exaggeration * attraction - repulsion / partition;
  /// gains; momentum; the length of the point's step clipped (tsne_gain, tsne_coordinate_step);
  /// next = y + step, less the mean of y where schedule->recentre: so the map stays within one
  /// step's drift of the origin, and no second pass is needed. step and gains are updated in place;
  /// next must not overlap y or sources. A partition of 0 means no repulsion. Reads the affinities
  /// once.
  virtual void tsne_step(ConstCsrView affinities, ConstMat sources, ConstMat repulsion,
                         const double* partition, const TsneSchedule* schedule, ConstMat y,
                         Mat next, Mat step, Mat gains) = 0;

  /// What repels each target from all `sources`, for points placed in a map that stands still:
  /// force[i] = sum over j of q_ij^2 (t_i - s_j) / sum over j of q_ij. Every pair.
  virtual void tsne_field(ConstMat targets, ConstMat sources, Mat force) = 0;

  /// order = the points along a Morton curve through the map's bounding box (morton_code), equal
  /// codes by index: points near one another on the map are near one another in memory.
  virtual void locality_order(ConstMat y, std::span<std::int32_t> order) = 0;

  /// Row s of `permuted` is row order[s] of `affinities`, its entries in the same order, its
  /// columns numbered as the points are after the permutation. permuted.capacity must hold the
  /// entries.
  virtual void permute_affinities(ConstCsrView affinities, std::span<const std::int32_t> order,
                                  CsrView permuted) = 0;

  /// *kl = sum over entries of P of p log(p / q), float64, with the partition given, or, where that
  /// is null, summed over every pair: O(N^2).
  virtual void tsne_kl(ConstCsrView affinities, ConstMat y, const double* partition,
                       double* kl) = 0;

  // ---- scores
  // ------------------------------------------------------------------------------------------------
  /// sums[i, c] = sum over the rows j with labels[j] = c of |x_i - x_j|, float64. A row whose label
  /// is outside 0 .. C-1 belongs to no class: it adds to no sum, but has its row of sums.
  /// Silhouettes are made of these.
  virtual void class_distance_sums(ConstMat x, std::span<const std::int32_t> labels,
                                   MatrixView<double> sums) = 0;
};

/// Names what its scope does, for profilers: a phase ("train"), a step of it. Operations name
/// themselves.
class Range {
 public:
  Range(Backend& backend, const char* name) noexcept : backend_(backend) {
    backend_.begin_range(name);
  }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range() { backend_.end_range(); }

 private:
  Backend& backend_;
};

/// Products of another precision in its scope, and of float32 after it.
class GemmPrecision {
 public:
  GemmPrecision(Backend& backend, Precision precision)
      : backend_(backend), changed_(precision != Precision::float32) {
    if (changed_) backend_.set_gemm_precision(precision);
  }
  GemmPrecision(const GemmPrecision&) = delete;
  GemmPrecision& operator=(const GemmPrecision&) = delete;
  ~GemmPrecision() {
    if (changed_) backend_.set_gemm_precision(Precision::float32);
  }

 private:
  Backend& backend_;
  bool changed_;
};

/// What the shared library of a backend exports. The version changes with this header, so that a
/// library of another build is refused instead of called.
inline constexpr int backend_version = 6;
using OpenBackend = Backend* (*)(int version, int device);        // throws DeviceError
using CountDevices = int (*)(int version, const char** reason);   // 0 devices: *reason says why
using DescribeDevice = BackendInfo (*)(int version, int device);  // throws DeviceError
inline constexpr const char* open_backend_symbol = "hourglass_open_backend";
inline constexpr const char* count_devices_symbol = "hourglass_count_devices";
inline constexpr const char* describe_device_symbol = "hourglass_describe_device";

}  // namespace hourglass
