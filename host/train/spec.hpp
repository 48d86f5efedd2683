// Names of layers, as model files and messages have them.
#pragma once

#include <string>

#include "hourglass/autoencoder.hpp"

namespace hourglass {

/// "encoder.0", ..., "decoder.0", ...
std::string layer_name(const AutoencoderSpec& spec, std::size_t layer);

}  // namespace hourglass
