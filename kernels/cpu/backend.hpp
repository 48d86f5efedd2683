// The CPU backend: every operation of the table, with SIMD by run-time dispatch (Highway), OpenBLAS
// for the large products and threads of its own. Each operation is defined in the file that bears
// its name.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cpu/thread_pool.hpp"

namespace hourglass::cpu {

/// Memory that lives as long as its owner and grows to the largest request: operations use it for
/// partial sums and tiles, so that nothing is allocated in a training step after the first.
class Scratch {
 public:
  /// At least `count` elements, aligned to 64 bytes, contents undefined.
  template <class T>
  T* reserve(std::int64_t count) {
    return static_cast<T*>(reserve_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }

 private:
  void* reserve_bytes(std::size_t bytes);
  struct Release {
    void operator()(void* memory) const noexcept;
  };
  std::unique_ptr<void, Release> memory_;
  std::size_t bytes_ = 0;
};

class CpuBackend final : public Backend {
 public:
  /// `threads` 0 takes every processor that this process may run on.
  explicit CpuBackend(int threads = 0);
  ~CpuBackend() override;

  [[nodiscard]] ThreadPool& pool() { return pool_; }

  [[nodiscard]] BackendInfo info() const override;
  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void upload(void* device, const void* host, std::size_t bytes) override;
  void download(void* host, const void* device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  void fill(void* device, unsigned char value, std::size_t bytes) override;
  void synchronize() override {}
  [[nodiscard]] std::unique_ptr<Sequence> record(std::function<void()> operations) override;
  [[nodiscard]] std::unique_ptr<Stopwatch> make_stopwatch() override;
  void begin_range(const char*) noexcept override {}  // perf and its like see function names
  void end_range() noexcept override {}

  void fma_chain(float a, float b, int terms, std::span<float> values) override;
  void gather_rows(FeatureView source, const std::int32_t* index, std::int64_t first_row,
                   std::span<const float> offset, std::span<const float> factor, Mat out) override;
  void shuffle_rows(std::uint64_t seed, std::uint32_t epoch,
                    std::span<std::int32_t> order) override;
  void gather_batch(FeatureView source, std::span<const std::int32_t> order, std::int64_t batch,
                    const std::int64_t* step, std::span<const float> offset,
                    std::span<const float> factor, Mat out) override;
  void corrupt(ConstMat clean, Noise noise, NoiseRange range, std::uint64_t seed,
               const std::int64_t* step, Mat noisy) override;
  void column_statistics(FeatureView x, std::span<double> mean,
                         std::span<double> deviation) override;
  void set_gemm_precision(Precision precision) override;
  void gemm(Transpose transpose_a, Transpose transpose_b, float alpha, ConstMat a, ConstMat b,
            float beta, Mat c) override;
  void sparse_gemm(Transpose transpose_a, ConstMat a, std::span<const float> zero, ConstMat b,
                   float beta, Mat c) override;
  void bias_activation(Activation activation, std::span<const float> bias, Mat pre,
                       Mat out) override;
  void bias_activation_backward(Activation activation, ConstMat pre, ConstMat out, Mat gradient,
                                std::span<float> bias_gradient) override;
  void sigmoid_bce(ConstMat pre, std::span<const float> bias, ConstMat targets, float clip,
                   Mat gradient, std::span<float> bias_gradient, double* loss) override;
  void squared_error(Activation activation, ConstMat pre, std::span<const float> bias,
                     ConstMat targets, Mat gradient, std::span<float> bias_gradient,
                     double* loss) override;
  void output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                    std::span<const float> bias, ConstMat targets, Mat work, Mat input_gradient,
                    Mat weights_gradient, std::span<float> bias_gradient, double* loss) override;
  void l1_penalty(ConstMat codes, float weight, Mat gradient, double* penalty) override;
  void kl_penalty(ConstMat codes, float rho, float beta, Mat gradient,
                  std::span<float> mean_activation, double* penalty) override;
  void contractive_penalty(Activation activation, ConstMat weights, ConstMat pre, ConstMat codes,
                           float lambda, float beta, Mat gradient, Mat weights_gradient,
                           double* penalty) override;
  void l2_penalty(std::span<const float> weights, float lambda, std::int64_t rows,
                  std::span<float> gradient, double* penalty) override;
  void gradient_norm(std::span<const float> gradients, float max_norm,
                     OptimiserState* state) override;
  void adam(std::span<float> parameters, std::span<const float> gradients,
            std::span<float> first_moment, std::span<float> second_moment, std::int64_t decayed,
            AdamOptions options, OptimiserState* state, StepFigures figures) override;
  void sgd(std::span<float> parameters, std::span<const float> gradients, std::span<float> velocity,
           float momentum, OptimiserState* state, StepFigures figures) override;
  void covariance(ConstMat x, std::span<const double> mean, std::span<double> covariance) override;
  void nearest_neighbours(ConstMat queries, ConstMat references, bool same,
                          MatrixView<std::int32_t> index, Mat squared_distance) override;
  void neighbour_ranks(ConstMat x, MatrixView<const std::int32_t> neighbours,
                       MatrixView<std::int32_t> rank) override;
  void perplexity_search(ConstMat squared_distance, float perplexity, Mat conditional,
                         std::span<float> precision) override;
  void symmetrise(MatrixView<const std::int32_t> index, ConstMat conditional,
                  CsrView affinities) override;
  [[nodiscard]] std::unique_ptr<Repulsion> make_repulsion(RepulsionMethod method,
                                                          std::int64_t points,
                                                          std::int64_t dimensions) override;
  [[nodiscard]] RepulsionMethod best_repulsion(std::int64_t points, std::int64_t dimensions,
                                               double span) const override;
  void tsne_step(ConstCsrView affinities, ConstMat sources, ConstMat repulsion,
                 const double* partition, const TsneSchedule* schedule, ConstMat y, Mat next,
                 Mat step, Mat gains) override;
  void tsne_field(ConstMat targets, ConstMat sources, Mat force) override;
  void locality_order(ConstMat y, std::span<std::int32_t> order) override;
  void permute_affinities(ConstCsrView affinities, std::span<const std::int32_t> order,
                          CsrView permuted) override;
  void tsne_kl(ConstCsrView affinities, ConstMat y, const double* partition, double* kl) override;
  void class_distance_sums(ConstMat x, std::span<const std::int32_t> labels,
                           MatrixView<double> sums) override;

 private:
  ThreadPool pool_;
  Scratch scratch_;
};

}  // namespace hourglass::cpu
