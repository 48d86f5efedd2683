// The activations, to loop over and to name in messages.
#pragma once

#include <string>

#include "kernels/math.hpp"

namespace hourglass::parity {

inline constexpr Activation all_activations[] = {
    Activation::linear, Activation::relu, Activation::leaky_relu, Activation::elu,
    Activation::selu,   Activation::gelu, Activation::tanh,       Activation::sigmoid};

inline std::string activation_name(Activation f) {
  constexpr const char* names[] = {"linear", "relu", "leaky_relu", "elu",
                                   "selu",   "gelu", "tanh",       "sigmoid"};
  return names[static_cast<int>(f)];
}

}  // namespace hourglass::parity
