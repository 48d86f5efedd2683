// How much memory a piece of work takes of its device, known before it begins. fit(), tsne() and
// the others make such a plan first and throw DeviceError where it does not fit into what is free,
// instead of failing in their midst.
//
// A plan goes through the same allocations as the work and keeps the largest sum. It counts what is
// taken beyond what the caller holds already (the data, the labels, the model): buffers of the
// device and the workspace of its operations; on the CPU, whose buffers lie in the host's memory,
// also results and copies of the host. Not counted are the host's memory where the device has its
// own, and what libraries keep for themselves: OpenBLAS some 32 MiB a thread, of which small
// products touch little; CUDA its context, which is there before a plan is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hourglass/autoencoder.hpp"
#include "hourglass/dataset.hpp"
#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"
#include "hourglass/rows.hpp"
#include "hourglass/scaler.hpp"
#include "hourglass/training.hpp"
#include "hourglass/tsne.hpp"

namespace hourglass {

struct MemoryPart {
  std::string name;  ///< "data", "affinities", "workspace"
  std::uint64_t bytes = 0;
};

class MemoryPlan {
 public:
  /// `work`: "t-SNE of 70,000 x 784 points"; `advice`: what takes less, in the imperative; `parts`
  /// of the moment at which the most is taken.
  MemoryPlan(std::string work, std::string advice, std::vector<MemoryPart> parts);

  [[nodiscard]] const std::string& work() const { return work_; }
  [[nodiscard]] const std::vector<MemoryPart>& parts() const { return parts_; }  ///< largest first
  [[nodiscard]] std::uint64_t total_bytes() const;
  /// "12.3 GiB (data 5.9, affinities 5.8, other 0.6)".
  [[nodiscard]] std::string needs() const;

  /// Throws DeviceError where the total is more than what is free on the device now: one line that
  /// says what is needed and for what, what is free, and what to do. Does nothing where the device
  /// does not know what is free.
  void check(Device& device) const;

 private:
  std::string work_;
  std::string advice_;
  std::vector<MemoryPart> parts_;
};

/// The size of a dataset, a matrix or the rows of a file.
struct DataShape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  bool bytes = false;    ///< one byte a value, else float32
  bool in_file = false;  ///< read as it is needed; else in the host's memory already

  DataShape(std::int64_t row_count, std::int64_t column_count, bool of_bytes = false,
            bool of_file = false)
      : rows(row_count), columns(column_count), bytes(of_bytes), in_file(of_file) {}
  // NOLINTNEXTLINE(google-explicit-constructor): rows have a shape wherever they lie
  DataShape(const RowSource& source)
      : DataShape(source.rows(), source.columns(), source.is_bytes(), !source.in_memory()) {}
  // NOLINTNEXTLINE(google-explicit-constructor): so has a dataset
  DataShape(const Dataset& data) : DataShape(data.rows, data.columns, data.is_bytes()) {}
  // NOLINTNEXTLINE(google-explicit-constructor): and a matrix
  DataShape(const Matrix& x) : DataShape(x.rows, x.columns) {}
};

// All plans throw UsageError where the work itself would: a perplexity too large for the points.

/// Whether fit() brings the rows to the device batch by batch: where training with all of them
/// there takes more than options.memory_bytes, or than device.free_bytes, and this takes less.
bool training_streams(const DeviceInfo& device, const AutoencoderSpec& spec, const DataShape& data,
                      const TrainingOptions& options,
                      const std::optional<DataShape>& validation = std::nullopt);
/// fit() on `data`, in the way that it takes. Throws UsageError where that is more than
/// options.memory_bytes.
MemoryPlan training_memory(const DeviceInfo& device, const AutoencoderSpec& spec,
                           const DataShape& data, const TrainingOptions& options,
                           const std::optional<DataShape>& validation = std::nullopt);

/// What a trained model is asked for.
enum class ModelOutput {
  codes,                  ///< Autoencoder::encode(), activations()
  reconstructions,        ///< reconstruct(), decode()
  loss,                   ///< reconstruction_loss(), squared_error()
  code_blocks,            ///< encode(), activations() into a RowSink
  reconstruction_blocks,  ///< reconstruct() into one
};
/// `layer`: of activations(); without, the code layer.
MemoryPlan model_memory(const DeviceInfo& device, const AutoencoderSpec& spec,
                        const DataShape& data, ModelOutput output,
                        std::optional<std::size_t> layer = std::nullopt);

/// Scaler::fit().
MemoryPlan scaler_fit_memory(const DeviceInfo& device, const DataShape& data, Scaling scaling);
/// Scaler::transform().
MemoryPlan scaler_transform_memory(const DeviceInfo& device, const DataShape& data);

/// Pca::fit().
MemoryPlan pca_fit_memory(const DeviceInfo& device, const DataShape& x, std::int64_t components);
/// Pca::transform() of `x`.
MemoryPlan pca_transform_memory(const DeviceInfo& device, const DataShape& x,
                                std::int64_t components);
/// Pca::inverse_transform() to `x`.
MemoryPlan pca_inverse_memory(const DeviceInfo& device, const DataShape& x,
                              std::int64_t components);

/// tsne().
MemoryPlan tsne_memory(const DeviceInfo& device, const DataShape& x, const TsneOptions& options);
/// `new_rows` rows placed in a map of `reference`'s.
MemoryPlan tsne_transform_memory(const DeviceInfo& device, const DataShape& reference,
                                 std::int64_t new_rows, std::int64_t dimensions, double perplexity);

/// one_nn_accuracy(), and one_nn_leave_one_out_accuracy() without `test`.
MemoryPlan one_nn_memory(const DeviceInfo& device, const DataShape& train,
                         const std::optional<DataShape>& test);
/// one_nn_split_accuracy().
MemoryPlan one_nn_split_memory(const DeviceInfo& device, const DataShape& x);
/// linear_probe_accuracy(): host memory alone.
MemoryPlan linear_probe_memory(const DeviceInfo& device, const DataShape& train,
                               const DataShape& test, std::int64_t classes);
/// trustworthiness(), neighbour_preservation().
MemoryPlan trustworthiness_memory(const DeviceInfo& device, const DataShape& x,
                                  const DataShape& map, int neighbours);
MemoryPlan neighbour_preservation_memory(const DeviceInfo& device, const DataShape& x,
                                         const DataShape& map, int neighbours);
/// map_figures().
MemoryPlan map_figures_memory(const DeviceInfo& device, const DataShape& x, const DataShape& map,
                              std::int64_t sample = 0);
/// silhouette().
MemoryPlan silhouette_memory(const DeviceInfo& device, const DataShape& x, std::int64_t classes);
/// tsne_kl_divergence().
MemoryPlan tsne_kl_memory(const DeviceInfo& device, const DataShape& x, double perplexity);

}  // namespace hourglass
