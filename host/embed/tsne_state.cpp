// The state of a t-SNE run in a safetensors file.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <utility>
#include <variant>

#include "host/data/array.hpp"
#include "host/data/safetensors.hpp"
#include "hourglass/error.hpp"
#include "hourglass/tsne.hpp"

namespace hourglass {
namespace {

constexpr const char* format_name = "hourglass t-SNE state";
constexpr const char* format_version = "1";

TypedTensor tensor_of(const char* name, const Matrix& matrix) {
  return {name, {matrix.rows, matrix.columns}, matrix.values};
}

const std::string& metadata_of(const std::string& path, const TypedTensorFile& file,
                               const char* key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) {
    throw InputError(
        fmt::format("{}: its metadata has no \"{}\"; expected a state of t-SNE", path, key));
  }
  return found->second;
}

template <class Number>
Number number_of(const std::string& path, const TypedTensorFile& file, const char* key) {
  const std::string& text = metadata_of(path, file, key);
  Number value{};
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc{} || end != last) {
    throw InputError(
        fmt::format("{}: \"{}\" in its metadata is \"{}\"; expected a number", path, key, text));
  }
  return value;
}

template <class T>
TypedTensor take(const std::string& path, TypedTensorFile& file, const char* name,
                 std::size_t dimensions) {
  for (TypedTensor& tensor : file.tensors) {
    if (tensor.name != name) continue;
    if (!std::holds_alternative<std::vector<T>>(tensor.values) ||
        tensor.shape.size() != dimensions) {
      throw InputError(
          fmt::format("{}: the tensor \"{}\" is of the shape [{}] or another type; "
                      "expected {} dimensions of {}",
                      path, name, shape_text(tensor.shape), dimensions,
                      std::is_same_v<T, float> ? "float32" : "int32"));
    }
    return std::move(tensor);
  }
  throw InputError(fmt::format("{}: has no tensor \"{}\"; expected a state of t-SNE", path, name));
}

Matrix take_matrix(const std::string& path, TypedTensorFile& file, const char* name) {
  TypedTensor tensor = take<float>(path, file, name, 2);
  Matrix matrix;
  matrix.rows = tensor.shape[0];
  matrix.columns = tensor.shape[1];
  matrix.values = std::get<std::vector<float>>(std::move(tensor.values));
  return matrix;
}

}  // namespace

void save_tsne_state(const std::string& path, const TsneState& state) {
  TypedTensorFile file;
  file.metadata = {{"format", format_name},
                   {"version", format_version},
                   {"iteration", fmt::format("{}", state.iteration)},
                   {"kl_divergence", fmt::format("{}", state.kl_divergence)}};
  file.tensors = {tensor_of("map", state.map),
                  tensor_of("step", state.step),
                  tensor_of("gains", state.gains),
                  {"order", {static_cast<std::int64_t>(state.order.size())}, state.order}};
  save_typed_safetensors(path, file);
}

TsneState load_tsne_state(const std::string& path) {
  TypedTensorFile file = load_typed_safetensors(path);
  if (metadata_of(path, file, "format") != format_name) {
    throw InputError(fmt::format("{}: \"format\" in its metadata is \"{}\"; expected \"{}\"", path,
                                 metadata_of(path, file, "format"), format_name));
  }
  if (metadata_of(path, file, "version") != format_version) {
    throw InputError(fmt::format("{}: a state of version {}; expected {}", path,
                                 metadata_of(path, file, "version"), format_version));
  }
  TsneState state;
  state.iteration = number_of<int>(path, file, "iteration");
  state.kl_divergence = number_of<double>(path, file, "kl_divergence");
  state.map = take_matrix(path, file, "map");
  state.step = take_matrix(path, file, "step");
  state.gains = take_matrix(path, file, "gains");
  state.order =
      std::get<std::vector<std::int32_t>>(take<std::int32_t>(path, file, "order", 1).values);
  return state;
}

}  // namespace hourglass
