// The autoencoder: its description, its parameters, and what one does with a trained one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"
#include "hourglass/options.hpp"
#include "hourglass/rows.hpp"
#include "hourglass/scaler.hpp"

namespace hourglass {

/// "relu", "leaky_relu", "elu", "selu", "gelu", "tanh", "sigmoid" or "linear"; throws UsageError
/// otherwise.
Activation parse_activation(std::string_view name);
std::string_view name_of(Activation activation);

enum class Loss {
  bce,  ///< binary cross-entropy of a sigmoid output, from logits, clipped as Keras 2.2.4 clips it
  mse   ///< squared error of a sigmoid or linear output
};
Loss parse_loss(std::string_view name);
std::string_view name_of(Loss loss);

/// Dense layers inputs -> hidden[0] -> ... -> hidden.back() (the code) -> decoder... -> inputs.
/// y = f(x W + b), W is fan_in x fan_out.
struct AutoencoderSpec {
  std::int64_t inputs = 784;
  std::vector<std::int64_t> hidden = {32};  ///< the encoder's widths; the last is the code's
  /// The decoder's hidden widths, from the code outwards; none: the encoder's, mirrored.
  std::optional<std::vector<std::int64_t>> decoder{};
  /// The decoder's weights are the encoder's, transposed; biases are its own. Only where mirrored.
  bool tied = false;
  Activation activation = Activation::relu;
  Activation code_activation = Activation::relu;
  Activation output_activation = Activation::sigmoid;  ///< with mse also linear
  Loss loss = Loss::bce;
  float bce_clip = 1e-7f;  ///< epsilon of the clip on sigmoid(z); 0 for none

  [[nodiscard]] std::int64_t code_size() const { return hidden.back(); }
  /// inputs, hidden..., the decoder's ..., inputs.
  [[nodiscard]] std::vector<std::int64_t> widths() const;
  [[nodiscard]] std::size_t layers() const {
    return hidden.size() + (decoder ? decoder->size() + 1 : hidden.size());
  }
  [[nodiscard]] std::size_t code_layer() const { return hidden.size() - 1; }
  /// The last layer is linear here: output_activation belongs to the loss.
  [[nodiscard]] Activation activation_of(std::size_t layer) const;
  [[nodiscard]] std::int64_t parameter_count() const;
  /// Of the parameters, weights; they come first in the flat buffer.
  [[nodiscard]] std::int64_t weight_count() const;
  /// "784-32-784".
  [[nodiscard]] std::string name() const;
  /// Throws UsageError that names the field: no layer, a width below 1, sizes that overflow, tied
  /// weights of a decoder that is no mirror, an output activation that does not go with the loss, a
  /// clip outside [0, 0.5).
  void validate() const;

  /// One JSON object; `indent` as nlohmann's dump(): -1 for a single line.
  [[nodiscard]] std::string to_json(int indent = -1) const;
  /// Reads such an object. Keys and their defaults:
  ///   "inputs"             columns of the data; where missing, 0, to be set by the caller
  ///   "hidden"             [32]
  ///   "decoder"            null (mirrored), or a list, which may be empty
  ///   "tied"               false
  ///   "activation"         "relu"
  ///   "code_activation"    "relu"
  ///   "output_activation"  "sigmoid"
  ///   "loss"               "bce"
  ///   "bce_clip"           1e-7
  /// Throws InputError that names `source` and the key: unknown keys, values of another type or out
  /// of range, and whatever validate() refuses.
  static AutoencoderSpec from_json(const std::string& text, const std::string& source);

  bool operator==(const AutoencoderSpec&) const = default;
};

/// Where layer l's weights and bias lie in the flat buffer: first the weights of all layers, then
/// the biases of all.
struct LayerOffsets {
  std::int64_t weights = 0;  ///< W, fan_in x fan_out, row-major
  std::int64_t bias = 0;
  std::int64_t fan_in = 0;
  std::int64_t fan_out = 0;
  /// The weights are another layer's, which lie there as fan_out x fan_in: W is their transpose.
  bool transposed = false;
};
std::vector<LayerOffsets> layer_offsets(const AutoencoderSpec& spec);

/// "encoder.0", ..., "decoder.0", ...: what model files and messages call a layer.
std::string layer_name(const AutoencoderSpec& spec, std::size_t layer);
/// The layer of that name; throws UsageError that names those there are.
std::size_t parse_layer(const AutoencoderSpec& spec, std::string_view name);

/// Takes a result a block of rows at a time, in their order: the number of the first row, and the
/// values of all, with which it may do what it likes.
using RowSink = std::function<void(std::int64_t first, std::span<float> values)>;

/// How well rows are given back: means over all rows and columns; NaN without rows.
struct ReconstructionFigures {
  double loss = 0;           ///< Autoencoder::reconstruction_loss()
  double squared_error = 0;  ///< Autoencoder::squared_error()
};

struct Autoencoder {
  AutoencoderSpec spec;
  Scaler scaler;  ///< applied to every input; its inverse to every reconstruction where asked
  std::vector<float> parameters;  ///< one flat buffer, see layer_offsets()

  /// Glorot uniform weights (Glorot and Bengio 2010) drawn from Philox keyed by seed and layer;
  /// biases 0.
  static Autoencoder initialise(const AutoencoderSpec& spec, Scaler scaler, std::uint64_t seed);

  /// N x K codes: activations() of the code layer. As all that follow, goes through the rows once,
  /// a block at a time, and throws InputError that names the data where its columns do not fit or a
  /// value is not finite.
  [[nodiscard]] Matrix encode(Device& device, const RowSource& rows) const;
  /// The same codes, of which a block at a time is in memory.
  void encode(Device& device, const RowSource& rows, const RowSink& codes) const;
  /// What layer `layer` (0 is the encoder's first) gives for each row, after its activation.
  /// UsageError where there is no such layer.
  [[nodiscard]] Matrix activations(Device& device, const RowSource& rows, std::size_t layer) const;
  /// The same, of which a block at a time is in memory.
  void activations(Device& device, const RowSource& rows, std::size_t layer,
                   const RowSink& sink) const;
  /// N x D reconstructions in the scaled space (after the output activation).
  [[nodiscard]] Matrix reconstruct(Device& device, const RowSource& rows) const;
  /// The same reconstructions, of which a block at a time is in memory, and their figures.
  ReconstructionFigures reconstruct(Device& device, const RowSource& rows,
                                    const RowSink& reconstructions) const;
  /// N x D reconstructions in the scaled space from N x K codes.
  [[nodiscard]] Matrix decode(Device& device, const Matrix& codes) const;
  /// Mean reconstruction loss (spec.loss) of the data, without penalties.
  [[nodiscard]] double reconstruction_loss(Device& device, const RowSource& rows) const;
  /// Mean squared error of the reconstructions in the scaled space.
  [[nodiscard]] double squared_error(Device& device, const RowSource& rows) const;

  /// Mean over the rows of |dh/dx|_F^2, the square Frobenius norm of the Jacobian of the codes by
  /// the scaled inputs: what a contractive penalty makes small. UsageError for encoders of more
  /// than one layer.
  [[nodiscard]] double jacobian_norm(Device& device, const RowSource& rows) const;

  /// safetensors: "encoder.0.weight" (fan_in x fan_out), "encoder.0.bias", ..., "decoder.0.weight"
  /// (tied: not there), "decoder.0.bias", ..., "scaler.offset", "scaler.factor"; the metadata holds
  /// "format", the spec as JSON ("spec"), the scaling's name ("scaling") and `extra`. Written
  /// beside, then renamed.
  void save(const std::string& path, const std::map<std::string, std::string>& extra = {}) const;
  /// Throws InputError that says what is missing or does not fit.
  static Autoencoder load(const std::string& path);
};

}  // namespace hourglass
