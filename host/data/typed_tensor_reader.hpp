// Takes what it expects out of a file of typed tensors, and says what else it found: for files that
// Hourglass itself writes.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "host/data/safetensors.hpp"

namespace hourglass {

/// Every function throws InputError, naming the file and the place in its metadata or the tensor.
class TypedTensorReader {
 public:
  /// `what` the file is to be ("a state of t-SNE"); its metadata must have this "format" and
  /// "version".
  TypedTensorReader(std::string path, std::string what, const std::string& format,
                    const std::string& version);

  [[nodiscard]] const std::string& text(const std::string& key) const;
  [[nodiscard]] double number(const std::string& key,
                              double low = -std::numeric_limits<double>::infinity(),
                              double high = std::numeric_limits<double>::infinity()) const;
  [[nodiscard]] int integer(const std::string& key) const;

  /// The tensor of that name and number of dimensions, whose element type is T; taken out of here.
  template <class T>
  [[nodiscard]] std::vector<T> take(const std::string& name, std::size_t dimensions,
                                    std::vector<std::int64_t>* shape = nullptr);

 private:
  std::string path_;
  std::string what_;
  TypedTensorFile file_;
};

}  // namespace hourglass
