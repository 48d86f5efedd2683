// The state of a t-SNE run in a safetensors file.
#include <fmt/format.h>

#include <cstdint>
#include <vector>

#include "host/data/typed_tensor_reader.hpp"
#include "hourglass/tsne.hpp"

namespace hourglass {
namespace {

constexpr const char* format_name = "hourglass t-SNE state";
constexpr const char* format_version = "1";

TypedTensor tensor_of(const char* name, const Matrix& matrix) {
  return {name, {matrix.rows, matrix.columns}, matrix.values};
}

Matrix take_matrix(TypedTensorReader& file, const char* name) {
  std::vector<std::int64_t> shape;
  Matrix matrix;
  matrix.values = file.take<float>(name, 2, &shape);
  matrix.rows = shape[0];
  matrix.columns = shape[1];
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
  TypedTensorReader file(path, "a state of t-SNE", format_name, format_version);
  TsneState state;
  state.iteration = file.integer("iteration");
  state.kl_divergence = file.number("kl_divergence");
  state.map = take_matrix(file, "map");
  state.step = take_matrix(file, "step");
  state.gains = take_matrix(file, "gains");
  state.order = file.take<std::int32_t>("order", 1);
  return state;
}

}  // namespace hourglass
