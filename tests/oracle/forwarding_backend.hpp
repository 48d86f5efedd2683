// A backend that hands every operation on to another: the base of backends for tests, which change
// or watch a few of them.
#pragma once

#include <memory>
#include <utility>

#include "kernels/backend.hpp"

namespace hourglass::testing_support {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> inner)
      : owned_(std::move(inner)), inner_(owned_.get()) {}
  /// Of one that outlives it.
  explicit ForwardingBackend(Backend& inner) : inner_(&inner) {}
  [[nodiscard]] Backend& inner() const { return *inner_; }

  [[nodiscard]] BackendInfo info() const override { return inner_->info(); }
  [[nodiscard]] void* allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  void release(void* memory) noexcept override { inner_->release(memory); }
  void upload(void* device, const void* host, std::size_t bytes) override {
    inner_->upload(device, host, bytes);
  }
  void download(void* host, const void* device, std::size_t bytes) override {
    inner_->download(host, device, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    inner_->copy(to, from, bytes);
  }
  void fill(void* device, unsigned char value, std::size_t bytes) override {
    inner_->fill(device, value, bytes);
  }
  void synchronize() override { inner_->synchronize(); }
  [[nodiscard]] std::unique_ptr<Sequence> record(std::function<void()> operations) override {
    return inner_->record(std::move(operations));
  }
  [[nodiscard]] std::unique_ptr<Stopwatch> make_stopwatch() override {
    return inner_->make_stopwatch();
  }
  void fma_chain(float a, float b, int terms, std::span<float> values) override {
    inner_->fma_chain(a, b, terms, values);
  }
  void begin_range(const char* name) noexcept override { inner_->begin_range(name); }
  void end_range() noexcept override { inner_->end_range(); }

  void gather_rows(FeatureView source, const std::int32_t* index, std::int64_t first_row,
                   std::span<const float> offset, std::span<const float> factor, Mat out) override {
    inner_->gather_rows(source, index, first_row, offset, factor, out);
  }
  void shuffle_rows(std::uint64_t seed, std::uint32_t epoch,
                    std::span<std::int32_t> order) override {
    inner_->shuffle_rows(seed, epoch, order);
  }
  void gather_batch(FeatureView source, std::span<const std::int32_t> order, std::int64_t batch,
                    const std::int64_t* step, std::span<const float> offset,
                    std::span<const float> factor, Mat out) override {
    inner_->gather_batch(source, order, batch, step, offset, factor, out);
  }
  void corrupt(ConstMat clean, Noise noise, NoiseRange range, std::uint64_t seed,
               const std::int64_t* step, Mat noisy) override {
    inner_->corrupt(clean, noise, range, seed, step, noisy);
  }
  void column_statistics(FeatureView x, std::span<double> mean,
                         std::span<double> deviation) override {
    inner_->column_statistics(x, mean, deviation);
  }
  void set_gemm_precision(Precision precision) override { inner_->set_gemm_precision(precision); }
  void gemm(Transpose transpose_a, Transpose transpose_b, float alpha, ConstMat a, ConstMat b,
            float beta, Mat c) override {
    inner_->gemm(transpose_a, transpose_b, alpha, a, b, beta, c);
  }
  void sparse_gemm(Transpose transpose_a, ConstMat a, std::span<const float> zero, ConstMat b,
                   float beta, Mat c) override {
    inner_->sparse_gemm(transpose_a, a, zero, b, beta, c);
  }
  void bias_activation(Activation activation, std::span<const float> bias, Mat pre,
                       Mat out) override {
    inner_->bias_activation(activation, bias, pre, out);
  }
  void bias_activation_backward(Activation activation, ConstMat pre, ConstMat out, Mat gradient,
                                std::span<float> bias_gradient) override {
    inner_->bias_activation_backward(activation, pre, out, gradient, bias_gradient);
  }
  void sigmoid_bce(ConstMat pre, std::span<const float> bias, ConstMat targets, float clip,
                   Mat gradient, std::span<float> bias_gradient, double* loss) override {
    inner_->sigmoid_bce(pre, bias, targets, clip, gradient, bias_gradient, loss);
  }
  void squared_error(Activation activation, ConstMat pre, std::span<const float> bias,
                     ConstMat targets, Mat gradient, std::span<float> bias_gradient,
                     double* loss) override {
    inner_->squared_error(activation, pre, bias, targets, gradient, bias_gradient, loss);
  }
  void output_layer(OutputLoss loss_of, ConstMat input, ConstMat weights,
                    std::span<const float> bias, ConstMat targets, Mat work, Mat input_gradient,
                    Mat weights_gradient, std::span<float> bias_gradient, double* loss) override {
    inner_->output_layer(loss_of, input, weights, bias, targets, work, input_gradient,
                         weights_gradient, bias_gradient, loss);
  }
  void l1_penalty(ConstMat codes, float weight, Mat gradient, double* penalty) override {
    inner_->l1_penalty(codes, weight, gradient, penalty);
  }
  void kl_penalty(ConstMat codes, float rho, float beta, Mat gradient,
                  std::span<float> mean_activation, double* penalty) override {
    inner_->kl_penalty(codes, rho, beta, gradient, mean_activation, penalty);
  }
  void contractive_penalty(Activation activation, ConstMat weights, ConstMat pre, ConstMat codes,
                           float lambda, float beta, Mat gradient, Mat weights_gradient,
                           double* penalty) override {
    inner_->contractive_penalty(activation, weights, pre, codes, lambda, beta, gradient,
                                weights_gradient, penalty);
  }
  void l2_penalty(std::span<const float> weights, float lambda, std::int64_t rows,
                  std::span<float> gradient, double* penalty) override {
    inner_->l2_penalty(weights, lambda, rows, gradient, penalty);
  }
  void gradient_norm(std::span<const float> gradients, float max_norm,
                     OptimiserState* state) override {
    inner_->gradient_norm(gradients, max_norm, state);
  }
  void adam(std::span<float> parameters, std::span<const float> gradients,
            std::span<float> first_moment, std::span<float> second_moment, std::int64_t decayed,
            AdamOptions options, OptimiserState* state, StepFigures figures) override {
    inner_->adam(parameters, gradients, first_moment, second_moment, decayed, options, state,
                 figures);
  }
  void sgd(std::span<float> parameters, std::span<const float> gradients, std::span<float> velocity,
           float momentum, OptimiserState* state, StepFigures figures) override {
    inner_->sgd(parameters, gradients, velocity, momentum, state, figures);
  }
  void covariance(ConstMat x, std::span<const double> mean, std::span<double> covariance) override {
    inner_->covariance(x, mean, covariance);
  }
  void nearest_neighbours(ConstMat queries, ConstMat references, bool same,
                          MatrixView<std::int32_t> index, Mat squared_distance) override {
    inner_->nearest_neighbours(queries, references, same, index, squared_distance);
  }
  void neighbour_ranks(ConstMat x, MatrixView<const std::int32_t> neighbours,
                       MatrixView<std::int32_t> rank) override {
    inner_->neighbour_ranks(x, neighbours, rank);
  }
  void perplexity_search(ConstMat squared_distance, float perplexity, Mat conditional,
                         std::span<float> precision) override {
    inner_->perplexity_search(squared_distance, perplexity, conditional, precision);
  }
  void symmetrise(MatrixView<const std::int32_t> index, ConstMat conditional,
                  CsrView affinities) override {
    inner_->symmetrise(index, conditional, affinities);
  }
  [[nodiscard]] std::unique_ptr<Repulsion> make_repulsion(RepulsionMethod method,
                                                          std::int64_t points,
                                                          std::int64_t dimensions) override {
    return inner_->make_repulsion(method, points, dimensions);
  }
  [[nodiscard]] RepulsionMethod best_repulsion(std::int64_t points, std::int64_t dimensions,
                                               double span) const override {
    return inner_->best_repulsion(points, dimensions, span);
  }
  void tsne_step(ConstCsrView affinities, ConstMat sources, ConstMat repulsion,
                 const double* partition, const TsneSchedule* schedule, ConstMat y, Mat next,
                 Mat step, Mat gains) override {
    inner_->tsne_step(affinities, sources, repulsion, partition, schedule, y, next, step, gains);
  }
  void tsne_field(ConstMat targets, ConstMat sources, Mat force) override {
    inner_->tsne_field(targets, sources, force);
  }
  void locality_order(ConstMat y, std::span<std::int32_t> order) override {
    inner_->locality_order(y, order);
  }
  void permute_affinities(ConstCsrView affinities, std::span<const std::int32_t> order,
                          CsrView permuted) override {
    inner_->permute_affinities(affinities, order, permuted);
  }
  void tsne_kl(ConstCsrView affinities, ConstMat y, const double* partition, double* kl) override {
    inner_->tsne_kl(affinities, y, partition, kl);
  }
  void class_distance_sums(ConstMat x, std::span<const std::int32_t> labels,
                           MatrixView<double> sums) override {
    inner_->class_distance_sums(x, labels, sums);
  }

 private:
  std::unique_ptr<Backend> owned_;
  Backend* inner_;
};

}  // namespace hourglass::testing_support
