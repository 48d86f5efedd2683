#include "host/data/typed_tensor_reader.hpp"

#include <fmt/format.h>

#include <charconv>
#include <type_traits>
#include <utility>
#include <variant>

#include "host/data/array.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

template <class Number>
bool parse(const std::string& text, Number& value) {
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc{} && end == last;
}

template <class T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, float>) return "float32";
  if constexpr (std::is_same_v<T, std::int32_t>) return "int32";
  return "int64";
}

}  // namespace

TypedTensorReader::TypedTensorReader(std::string path, std::string what, const std::string& format,
                                     const std::string& version)
    : path_(std::move(path)), what_(std::move(what)), file_(load_typed_safetensors(path_)) {
  if (text("format") != format) {
    throw InputError(fmt::format("{}: \"format\" in its metadata is \"{}\"; expected \"{}\"", path_,
                                 text("format"), format));
  }
  if (text("version") != version) {
    throw InputError(
        fmt::format("{}: {} of version {}; expected {}", path_, what_, text("version"), version));
  }
}

const std::string& TypedTensorReader::text(const std::string& key) const {
  const auto found = file_.metadata.find(key);
  if (found == file_.metadata.end()) {
    throw InputError(fmt::format("{}: its metadata has no \"{}\"; expected {}", path_, key, what_));
  }
  return found->second;
}

double TypedTensorReader::number(const std::string& key, double low, double high) const {
  double value = 0;
  const std::string& written = text(key);
  // NaN, which a divergence may be, is a number only where no range is asked for.
  const bool any = low == -std::numeric_limits<double>::infinity() &&
                   high == std::numeric_limits<double>::infinity();
  if (parse(written, value) && (any || (value >= low && value <= high))) return value;
  throw InputError(fmt::format("{}: \"{}\" in its metadata is \"{}\"; expected a number{}", path_,
                               key, written,
                               any ? "" : fmt::format(" of {:g} to {:g}", low, high)));
}

int TypedTensorReader::integer(const std::string& key) const {
  int value = 0;
  if (parse(text(key), value)) return value;
  throw InputError(fmt::format("{}: \"{}\" in its metadata is \"{}\"; expected a whole number",
                               path_, key, text(key)));
}

template <class T>
std::vector<T> TypedTensorReader::take(const std::string& name, std::size_t dimensions,
                                       std::vector<std::int64_t>* shape) {
  for (TypedTensor& tensor : file_.tensors) {
    if (tensor.name != name) continue;
    auto* values = std::get_if<std::vector<T>>(&tensor.values);
    if (values == nullptr || tensor.shape.size() != dimensions) {
      throw InputError(
          fmt::format("{}: the tensor \"{}\" is of the shape [{}] or another type; "
                      "expected {} dimension{} of {}",
                      path_, name, shape_text(tensor.shape), dimensions, dimensions == 1 ? "" : "s",
                      type_name<T>()));
    }
    if (shape != nullptr) *shape = tensor.shape;
    return std::move(*values);
  }
  throw InputError(fmt::format("{}: has no tensor \"{}\"; expected {}", path_, name, what_));
}

template std::vector<float> TypedTensorReader::take(const std::string&, std::size_t,
                                                    std::vector<std::int64_t>*);
template std::vector<std::int32_t> TypedTensorReader::take(const std::string&, std::size_t,
                                                           std::vector<std::int64_t>*);
template std::vector<std::int64_t> TypedTensorReader::take(const std::string&, std::size_t,
                                                           std::vector<std::int64_t>*);

}  // namespace hourglass
