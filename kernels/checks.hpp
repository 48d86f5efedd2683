// Shape checks of the operations: a mismatch is a programming error and names the operation.
#pragma once

#include <stdexcept>
#include <string>

namespace hourglass {

inline void require(bool holds, const char* operation, const char* expected) {
  if (!holds) {
    throw std::invalid_argument(std::string(operation) + ": expected " + expected);
  }
}

}  // namespace hourglass
