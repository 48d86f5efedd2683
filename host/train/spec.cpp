#include "hourglass/autoencoder.hpp"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
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
  if (decoder) {
    all.insert(all.end(), decoder->begin(), decoder->end());
  } else {
    all.insert(all.end(), hidden.rbegin() + 1, hidden.rend());
  }
  all.push_back(inputs);
  return all;
}

Activation AutoencoderSpec::activation_of(std::size_t layer) const {
  if (layer + 1 == layers()) return Activation::linear;
  return layer == code_layer() ? code_activation : activation;
}

std::int64_t AutoencoderSpec::weight_count() const {
  std::int64_t count = 0;
  for (const LayerOffsets& layer : layer_offsets(*this)) {
    if (!layer.transposed) count += layer.fan_in * layer.fan_out;
  }
  return count;
}

std::int64_t AutoencoderSpec::parameter_count() const {
  const LayerOffsets last = layer_offsets(*this).back();
  return last.bias + last.fan_out;
}

std::string AutoencoderSpec::name() const {
  return fmt::format("{}{}", fmt::join(widths(), "-"), tied ? " tied" : "");
}

void AutoencoderSpec::validate() const {
  constexpr std::int64_t widest = std::numeric_limits<std::int32_t>::max();
  if (inputs < 1 || inputs > widest) {
    throw UsageError(fmt::format("inputs {}: expected 1 to {}", inputs, widest));
  }
  if (hidden.empty()) throw UsageError("hidden: expected one width or more, the code's last");
  const auto check_widths = [&](const char* field, const std::vector<std::int64_t>& list) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i] < 1 || list[i] > widest) {
        throw UsageError(fmt::format("{}: width {} of layer {}; expected 1 to {}", field, list[i],
                                     i + 1, widest));
      }
    }
  };
  check_widths("hidden", hidden);
  if (decoder) check_widths("decoder", *decoder);
  const std::vector<std::int64_t> all = widths();
  std::int64_t count = 0;
  for (std::size_t l = 0; l + 1 < all.size(); ++l) {
    const char* field = l <= hidden.size() || !decoder ? "hidden" : "decoder";
    if (all[l + 1] > most_parameters / (all[l] + 1)) {
      throw UsageError(fmt::format("{}: a layer of {} x {} weights is too large (at most 2^40)",
                                   field, all[l], all[l + 1]));
    }
    count += (all[l] + 1) * all[l + 1];
    if (count > most_parameters) {
      throw UsageError(fmt::format("{}: more than 2^40 parameters", field));
    }
  }
  if (tied && decoder &&
      !std::equal(decoder->begin(), decoder->end(), hidden.rbegin() + 1, hidden.rend())) {
    throw UsageError(fmt::format(
        "tied: a decoder of hidden widths {} is no mirror of the encoder's {}; leave the decoder "
        "out, or untie it",
        fmt::join(*decoder, ","), fmt::join(hidden, ",")));
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
  std::vector<LayerOffsets> layers(widths.size() - 1);
  std::int64_t next = 0;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    LayerOffsets& layer = layers[l];
    layer.fan_in = widths[l];
    layer.fan_out = widths[l + 1];
    layer.transposed = spec.tied && l > spec.code_layer();
    if (layer.transposed) {
      layer.weights = layers[layers.size() - 1 - l].weights;
    } else {
      layer.weights = next;
      next += layer.fan_in * layer.fan_out;
    }
  }
  for (LayerOffsets& layer : layers) {
    layer.bias = next;
    next += layer.fan_out;
  }
  return layers;
}

std::string layer_name(const AutoencoderSpec& spec, std::size_t layer) {
  const std::size_t half = spec.hidden.size();
  return layer < half ? fmt::format("encoder.{}", layer) : fmt::format("decoder.{}", layer - half);
}

std::size_t parse_layer(const AutoencoderSpec& spec, std::string_view name) {
  std::vector<std::string> names;
  for (std::size_t l = 0; l < spec.layers(); ++l) {
    names.push_back(layer_name(spec, l));
    if (names.back() == name) return l;
  }
  throw UsageError(fmt::format("layer '{}': {} has {}; the code is {}", name, spec.name(),
                               fmt::join(names, ", "), names[spec.code_layer()]));
}

std::string AutoencoderSpec::to_json(int indent) const {
  nlohmann::ordered_json json;
  json["inputs"] = inputs;
  json["hidden"] = hidden;
  json["decoder"] = nullptr;
  if (decoder) json["decoder"] = *decoder;
  json["tied"] = tied;
  json["activation"] = hourglass::name_of(activation);
  json["code_activation"] = hourglass::name_of(code_activation);
  json["output_activation"] = hourglass::name_of(output_activation);
  json["loss"] = hourglass::name_of(loss);
  // The shortest decimal that gives the float back: 1e-07, not 1.0000000116860974e-07.
  json["bce_clip"] = std::stod(fmt::format("{}", bce_clip));
  return json.dump(indent);
}

AutoencoderSpec AutoencoderSpec::from_json(const std::string& text, const std::string& source) {
  using Json = nlohmann::json;
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    throw InputError(fmt::format("{}: not JSON: {}", source, error.what()));
  }
  if (!json.is_object()) {
    throw InputError(fmt::format("{}: {}; expected a JSON object, such as {{\"hidden\": [128, 2]}}",
                                 source, json.type_name()));
  }
  AutoencoderSpec spec;
  spec.inputs = 0;
  const auto refuse = [&](const std::string& key, const Json& found, const std::string& expected) {
    constexpr std::size_t longest = 60;
    std::string value = found.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (value.size() > longest) value = value.substr(0, longest) + "...";
    throw InputError(
        fmt::format("{}: key \"{}\" is {}; expected {}", source, key, value, expected));
  };
  const auto whole = [](const Json& value) {
    // Unsigned beyond int64 would wrap around.
    return value.is_number_integer() &&
           !(value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{1} << 62);
  };
  const auto widths = [&](const std::string& key, const Json& value, const char* expected) {
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), whole)) {
      refuse(key, value, expected);
    }
    return value.get<std::vector<std::int64_t>>();
  };
  const auto boolean = [&](const std::string& key, const Json& value) {
    if (!value.is_boolean()) refuse(key, value, "true or false");
    return value.get<bool>();
  };
  const auto name = [&](const std::string& key, const Json& value, const auto& table) {
    const std::string text_of = value.is_string() ? value.get<std::string>() : std::string();
    for (const auto& [known, meant] : table) {
      if (value.is_string() && known == text_of) return meant;
    }
    refuse(key, value, names_of(table));
    return table.front().second;
  };
  for (const auto& [key, value] : json.items()) {
    if (key == "inputs") {
      if (!whole(value)) refuse(key, value, "a whole number");
      spec.inputs = value.get<std::int64_t>();
      if (spec.inputs < 1) refuse(key, value, "1 or more");
    } else if (key == "hidden") {
      spec.hidden = widths(key, value, "a list of whole numbers");
    } else if (key == "decoder") {
      spec.decoder.reset();
      if (!value.is_null()) {
        spec.decoder = widths(key, value, "a list of whole numbers, or null for the mirror");
      }
    } else if (key == "tied") {
      spec.tied = boolean(key, value);
    } else if (key == "activation") {
      spec.activation = name(key, value, activations);
    } else if (key == "code_activation") {
      spec.code_activation = name(key, value, activations);
    } else if (key == "output_activation") {
      spec.output_activation = name(key, value, activations);
    } else if (key == "loss") {
      spec.loss = name(key, value, losses);
    } else if (key == "bce_clip") {
      if (!value.is_number()) refuse(key, value, "a number");
      spec.bce_clip = static_cast<float>(value.get<double>());
    } else {
      throw InputError(fmt::format(
          "{}: unknown key \"{}\"; known are inputs, hidden, decoder, tied, activation, "
          "code_activation, output_activation, loss, bce_clip",
          source, key));
    }
  }
  AutoencoderSpec complete = spec;
  if (complete.inputs == 0) complete.inputs = 1;
  try {
    complete.validate();
  } catch (const UsageError& error) {
    throw InputError(fmt::format("{}: {}", source, error.what()));
  }
  return spec;
}

}  // namespace hourglass
