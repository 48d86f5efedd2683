// The activation as a template parameter: one kernel for each, with no branch an element and only
// the registers that the function needs.
#pragma once

#include <type_traits>

#include "kernels/math.hpp"

namespace hourglass::cuda {

/// Calls `body` with std::integral_constant<Activation, activation>.
template <class Body>
void with_activation(Activation activation, Body&& body) {
  switch (activation) {
    case Activation::linear:
      return body(std::integral_constant<Activation, Activation::linear>{});
    case Activation::relu:
      return body(std::integral_constant<Activation, Activation::relu>{});
    case Activation::leaky_relu:
      return body(std::integral_constant<Activation, Activation::leaky_relu>{});
    case Activation::elu:
      return body(std::integral_constant<Activation, Activation::elu>{});
    case Activation::selu:
      return body(std::integral_constant<Activation, Activation::selu>{});
    case Activation::gelu:
      return body(std::integral_constant<Activation, Activation::gelu>{});
    case Activation::tanh:
      return body(std::integral_constant<Activation, Activation::tanh>{});
    case Activation::sigmoid:
      return body(std::integral_constant<Activation, Activation::sigmoid>{});
  }
}

}  // namespace hourglass::cuda
