// The safetensors format: 8 bytes of header length (little-endian), a JSON header that gives each
// tensor's type, shape and byte range, then the bytes.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/data/atomic_file.hpp"

namespace hourglass {

struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;  ///< empty for a single number
  std::vector<float> values;        ///< row-major, as many as the shape says
};

struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;  ///< in the order of their bytes in the file

  /// Null where there is no such tensor.
  [[nodiscard]] const NamedTensor* find(std::string_view name) const;
};

/// Reads a file of F32 tensors. Values are not judged: NaN comes back as it was written. Throws
/// InputError, naming the file and the tensor, for anything that the format forbids: a header
/// longer than the file, other types, a byte range that does not fit the shape, overlaps, leaves a
/// gap or passes the end, names that occur twice, bad metadata.
[[nodiscard]] TensorFile load_safetensors(const std::string& path);

/// A tensor of one of the types that are not of models, too: the alternatives are F32, I32 and I64.
struct TypedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::variant<std::vector<float>, std::vector<std::int32_t>, std::vector<std::int64_t>> values;
};

struct TypedTensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<TypedTensor> tensors;  ///< in the order of their bytes in the file
};

/// As load_safetensors() and save_safetensors(), for F32, I32 and I64. A tensor's data begins at a
/// multiple of its element's size where those of wider elements come first.
[[nodiscard]] TypedTensorFile load_typed_safetensors(const std::string& path);
void save_typed_safetensors(const std::string& path, const TypedTensorFile& file);

/// Writes F32 tensors in the order given, at multiples of 4 bytes behind a header padded to 8.
/// Written atomically. Throws UsageError for a tensor whose shape does not give its number of
/// values, a name that occurs twice, or the reserved name "__metadata__"; InputError where the file
/// cannot be written.
void save_safetensors(const std::string& path, const TensorFile& file);
/// The same into `out`, which the caller commits.
void save_safetensors(AtomicFile& out, const TensorFile& file);

}  // namespace hourglass
