// The description of an autoencoder as JSON, as a model file carries it.
#pragma once

#include <string>

#include "hourglass/autoencoder.hpp"

namespace hourglass {

/// {"inputs": 784, "hidden": [32], "activation": "relu", "code_activation": "relu",
///  "output_activation": "sigmoid", "loss": "bce", "bce_clip": 1e-07}
std::string spec_to_json(const AutoencoderSpec& spec);

/// Throws InputError that names `source` and the field.
AutoencoderSpec spec_from_json(const std::string& text, const std::string& source);

/// "encoder.0", ..., "decoder.0", ...
std::string layer_name(const AutoencoderSpec& spec, std::size_t layer);

}  // namespace hourglass
