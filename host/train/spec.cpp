#include "host/train/spec.hpp"

#include <fmt/core.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr std::array<std::pair<std::string_view, Activation>, 8> activations{
    {{"relu", Activation::relu},
     {"leaky_relu", Activation::leaky_relu},
     {"elu", Activation::elu},
     {"selu", Activation::selu},
     {"gelu", Activation::gelu},
     {"tanh", Activation::tanh},
     {"sigmoid", Activation::sigmoid},
     {"linear", Activation::linear}}};

constexpr std::array<std::pair<std::string_view, Loss>, 2> losses{
    {{"bce", Loss::bce}, {"mse", Loss::mse}}};

template <class Table>
std::string names_of(const Table& table) {
  std::string names;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (i > 0) names += i + 1 == table.size() ? " or " : ", ";
    names += table[i].first;
  }
  return names;
}

template <class Table>
auto parse(const Table& table, std::string_view what, std::string_view name) {
  for (const auto& [known, value] : table) {
    if (known == name) return value;
  }
  throw UsageError(fmt::format("{} '{}': expected {}", what, name, names_of(table)));
}

template <class Table, class Value>
std::string_view find_name(const Table& table, Value value) {
  for (const auto& [name, known] : table) {
    if (known == value) return name;
  }
  return "unknown";
}

// Parameters are counted in 64 bits and held, with gradients and two moments, in memory: 2^40 of
// them would take 16 TiB.
constexpr std::int64_t most_parameters = std::int64_t{1} << 40;

}  // namespace

Activation parse_activation(std::string_view name) {
  return parse(activations, "activation", name);
}
std::string_view name_of(Activation activation) {
  return find_name(activations, activation);
}

Loss parse_loss(std::string_view name) {
  return parse(losses, "loss", name);
}
std::string_view name_of(Loss loss) {
  return find_name(losses, loss);
}

std::vector<std::int64_t> AutoencoderSpec::widths() const {
  std::vector<std::int64_t> all{inputs};
  all.insert(all.end(), hidden.begin(), hidden.end());
  for (std::size_t i = hidden.size(); i-- > 1;)
    all.push_back(hidden[i - 1]);
  all.push_back(inputs);
  return all;
}

Activation AutoencoderSpec::activation_of(std::size_t layer) const {
  if (layer + 1 == layers()) return Activation::linear;
  return layer == code_layer() ? code_activation : activation;
}

std::int64_t AutoencoderSpec::parameter_count() const {
  std::int64_t count = 0;
  for (const LayerOffsets& layer : layer_offsets(*this)) {
    count += (layer.fan_in + 1) * layer.fan_out;
  }
  return count;
}

std::string AutoencoderSpec::name() const {
  return fmt::format("{}", fmt::join(widths(), "-"));
}

void AutoencoderSpec::validate() const {
  constexpr std::int64_t widest = std::numeric_limits<std::int32_t>::max();
  if (inputs < 1 || inputs > widest) {
    throw UsageError(fmt::format("inputs {}: expected 1 to {}", inputs, widest));
  }
  if (hidden.empty()) throw UsageError("hidden: expected one width or more, the code's last");
  std::int64_t count = 0;
  std::int64_t fan_in = inputs;
  for (std::size_t i = 0; i <= hidden.size(); ++i) {
    const std::int64_t fan_out = i < hidden.size() ? hidden[i] : inputs;
    if (fan_out < 1 || fan_out > widest) {
      throw UsageError(
          fmt::format("hidden: width {} of layer {}; expected 1 to {}", fan_out, i + 1, widest));
    }
    if (fan_out > most_parameters / (fan_in + 1)) {
      throw UsageError(fmt::format("hidden: a layer of {} x {} weights is too large (at most 2^40)",
                                   fan_in, fan_out));
    }
    // Layer i of the encoder has its mirror image in the decoder.
    if (i < hidden.size()) count += 2 * (fan_in + 1) * fan_out;
    if (count > most_parameters) throw UsageError("hidden: more than 2^40 parameters");
    fan_in = fan_out;
  }
  if (output_activation != Activation::sigmoid && output_activation != Activation::linear) {
    throw UsageError(fmt::format("output activation '{}': expected sigmoid or linear",
                                 name_of(output_activation)));
  }
  if (loss == Loss::bce && output_activation != Activation::sigmoid) {
    throw UsageError(fmt::format("output activation '{}': loss bce needs sigmoid; use loss mse",
                                 name_of(output_activation)));
  }
  if (!(bce_clip >= 0.0f && bce_clip < 0.5f)) {
    throw UsageError(fmt::format("bce clip {}: expected 0 (no clip) to below 0.5", bce_clip));
  }
  if (bce_clip > 0.0f && 1.0f - bce_clip >= 1.0f) {
    throw UsageError(fmt::format(
        "bce clip {}: 1 - clip is 1 in float32; expected 0 (no clip) or at least 6e-08", bce_clip));
  }
}

std::vector<LayerOffsets> layer_offsets(const AutoencoderSpec& spec) {
  const auto widths = spec.widths();
  std::vector<LayerOffsets> layers;
  std::int64_t next = 0;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    LayerOffsets layer;
    layer.fan_in = widths[l];
    layer.fan_out = widths[l + 1];
    layer.weights = next;
    layer.bias = next + layer.fan_in * layer.fan_out;
    next = layer.bias + layer.fan_out;
    layers.push_back(layer);
  }
  return layers;
}

std::string layer_name(const AutoencoderSpec& spec, std::size_t layer) {
  const std::size_t half = spec.hidden.size();
  return layer < half ? fmt::format("encoder.{}", layer) : fmt::format("decoder.{}", layer - half);
}

std::string spec_to_json(const AutoencoderSpec& spec) {
  nlohmann::ordered_json json;
  json["inputs"] = spec.inputs;
  json["hidden"] = spec.hidden;
  json["activation"] = name_of(spec.activation);
  json["code_activation"] = name_of(spec.code_activation);
  json["output_activation"] = name_of(spec.output_activation);
  json["loss"] = name_of(spec.loss);
  // The shortest decimal that gives the float back: 1e-07, not 1.0000000116860974e-07.
  json["bce_clip"] = std::stod(fmt::format("{}", spec.bce_clip));
  return json.dump();
}

AutoencoderSpec spec_from_json(const std::string& text, const std::string& source) {
  AutoencoderSpec spec;
  std::string field = "spec";
  try {
    const auto json = nlohmann::json::parse(text);
    const auto value = [&](const char* name) -> const nlohmann::json& {
      field = name;
      return json.at(name);
    };
    spec.inputs = value("inputs").get<std::int64_t>();
    spec.hidden = value("hidden").get<std::vector<std::int64_t>>();
    spec.activation = parse_activation(value("activation").get<std::string>());
    spec.code_activation = parse_activation(value("code_activation").get<std::string>());
    spec.output_activation = parse_activation(value("output_activation").get<std::string>());
    spec.loss = parse_loss(value("loss").get<std::string>());
    spec.bce_clip = static_cast<float>(value("bce_clip").get<double>());
    field = "spec";
    spec.validate();
  } catch (const nlohmann::json::exception& error) {
    throw InputError(
        fmt::format("{}: metadata \"spec\", field \"{}\": {}", source, field, error.what()));
  } catch (const UsageError& error) {
    throw InputError(fmt::format("{}: metadata \"spec\": {}", source, error.what()));
  }
  return spec;
}

}  // namespace hourglass
