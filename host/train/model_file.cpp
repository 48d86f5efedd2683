// A trained autoencoder as a safetensors file.
#include <fmt/core.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "host/data/safetensors.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr const char* format_name = "hourglass-autoencoder-1";

const std::string& metadata_of(const TensorFile& file, const std::string& path, const char* key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) {
    throw InputError(
        fmt::format("{}: metadata \"{}\" is missing; expected a model of Hourglass", path, key));
  }
  return found->second;
}

const std::vector<float>& tensor_of(const TensorFile& file, const std::string& path,
                                    const std::string& name,
                                    const std::vector<std::int64_t>& shape) {
  const NamedTensor* tensor = file.find(name);
  const std::string expected = fmt::format("{}", fmt::join(shape, " x "));
  if (tensor == nullptr) {
    throw InputError(fmt::format("{}: tensor \"{}\" ({}) is missing", path, name, expected));
  }
  if (tensor->shape != shape) {
    throw InputError(fmt::format("{}: tensor \"{}\" is {}; the spec expects {}", path, name,
                                 fmt::join(tensor->shape, " x "), expected));
  }
  for (std::size_t i = 0; i < tensor->values.size(); ++i) {
    if (!std::isfinite(tensor->values[i])) {
      throw InputError(fmt::format("{}: tensor \"{}\", element {} is {}; expected a finite number",
                                   path, name, i, tensor->values[i]));
    }
  }
  return tensor->values;
}

}  // namespace

void Autoencoder::save(const std::string& path,
                       const std::map<std::string, std::string>& extra) const {
  spec.validate();
  if (std::cmp_not_equal(parameters.size(), spec.parameter_count()) ||
      scaler.columns() != spec.inputs || scaler.offset.size() != scaler.factor.size()) {
    throw UsageError(fmt::format(
        "cannot write {}: the model is not complete ({} parameters of {}, "
        "a scaler of {} columns for {} inputs)",
        path, parameters.size(), spec.parameter_count(), scaler.columns(), spec.inputs));
  }
  TensorFile file;
  file.metadata = extra;
  file.metadata["format"] = format_name;
  file.metadata["spec"] = spec.to_json();
  file.metadata["scaling"] = name_of(scaler.scaling);
  const auto layers = layer_offsets(spec);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const LayerOffsets& at = layers[l];
    const std::string name = layer_name(spec, l);
    const auto weights = parameters.begin() + at.weights;
    const auto bias = parameters.begin() + at.bias;
    if (!at.transposed) {
      file.tensors.push_back(
          {name + ".weight", {at.fan_in, at.fan_out}, {weights, weights + at.fan_in * at.fan_out}});
    }
    file.tensors.push_back({name + ".bias", {at.fan_out}, {bias, bias + at.fan_out}});
  }
  file.tensors.push_back({"scaler.offset", {spec.inputs}, scaler.offset});
  file.tensors.push_back({"scaler.factor", {spec.inputs}, scaler.factor});
  save_safetensors(path, file);
}

Autoencoder Autoencoder::load(const std::string& path) {
  const TensorFile file = load_safetensors(path);
  if (const std::string& format = metadata_of(file, path, "format"); format != format_name) {
    throw InputError(fmt::format("{}: metadata \"format\" is \"{}\"; expected \"{}\"", path, format,
                                 format_name));
  }
  Autoencoder model;
  model.spec =
      AutoencoderSpec::from_json(metadata_of(file, path, "spec"), path + ": metadata \"spec\"");
  if (model.spec.inputs == 0) {
    throw InputError(fmt::format("{}: metadata \"spec\": key \"inputs\" is missing", path));
  }
  try {
    model.scaler.scaling = parse_scaling(metadata_of(file, path, "scaling"));
  } catch (const UsageError& error) {
    throw InputError(fmt::format("{}: metadata \"scaling\": {}", path, error.what()));
  }
  model.scaler.offset = tensor_of(file, path, "scaler.offset", {model.spec.inputs});
  model.scaler.factor = tensor_of(file, path, "scaler.factor", {model.spec.inputs});
  for (std::size_t j = 0; j < model.scaler.factor.size(); ++j) {
    if (!(model.scaler.factor[j] > 0.0f)) {
      throw InputError(
          fmt::format("{}: tensor \"scaler.factor\", element {} is {}; expected a number above 0",
                      path, j, model.scaler.factor[j]));
    }
  }
  // Tensors are looked up before room is made for them: a spec may promise more than the file
  // holds. Weights come first in the buffer.
  const auto layers = layer_offsets(model.spec);
  const auto append = [&](const std::vector<float>& values) {
    model.parameters.insert(model.parameters.end(), values.begin(), values.end());
  };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (layers[l].transposed) continue;
    append(tensor_of(file, path, layer_name(model.spec, l) + ".weight",
                     {layers[l].fan_in, layers[l].fan_out}));
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    append(tensor_of(file, path, layer_name(model.spec, l) + ".bias", {layers[l].fan_out}));
  }
  return model;
}

}  // namespace hourglass
