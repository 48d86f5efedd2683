#include "host/embed/affinity_file.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "host/data/array.hpp"
#include "host/data/safetensors.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr const char* format_name = "hourglass affinities";
constexpr const char* format_version = "1";

const std::string& metadata_of(const std::string& path, const TypedTensorFile& file,
                               const char* key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) {
    throw InputError(
        fmt::format("{}: its metadata has no \"{}\"; expected a file of affinities", path, key));
  }
  return found->second;
}

double number_of(const std::string& path, const TypedTensorFile& file, const char* key, double low,
                 double high) {
  const std::string& text = metadata_of(path, file, key);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= low) ||
      !(value <= high)) {
    throw InputError(
        fmt::format("{}: \"{}\" in its metadata is \"{}\"; expected a number of {:g} to {:g}", path,
                    key, text, low, high));
  }
  return value;
}

template <class T>
std::vector<T> take(const std::string& path, TypedTensorFile& file, const char* name,
                    const char* type) {
  for (TypedTensor& tensor : file.tensors) {
    if (tensor.name != name) continue;
    auto* values = std::get_if<std::vector<T>>(&tensor.values);
    if (values == nullptr || tensor.shape.size() != 1) {
      throw InputError(
          fmt::format("{}: the tensor \"{}\" is of the shape [{}] or another type; "
                      "expected one dimension of {}",
                      path, name, shape_text(tensor.shape), type));
    }
    return std::move(*values);
  }
  throw InputError(
      fmt::format("{}: has no tensor \"{}\"; expected a file of affinities", path, name));
}

void check_entries(const std::string& path, const std::vector<std::int64_t>& offsets,
                   const std::vector<std::int32_t>& columns, const std::vector<float>& values) {
  const auto rows = static_cast<std::int64_t>(offsets.size()) - 1;
  const auto entries = static_cast<std::int64_t>(values.size());
  if (columns.size() != values.size()) {
    throw InputError(fmt::format("{}: has {} columns and {} values; expected one each for an entry",
                                 path, columns.size(), values.size()));
  }
  if (rows < 2 || rows > std::numeric_limits<std::int32_t>::max()) {
    throw InputError(fmt::format("{}: has {} offsets; expected 3 to 2^31, one more than points",
                                 path, offsets.size()));
  }
  if (offsets.front() != 0 || offsets.back() != entries) {
    throw InputError(fmt::format("{}: its offsets go from {} to {}; expected 0 to {}, the entries",
                                 path, offsets.front(), offsets.back(), entries));
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t begin = offsets[static_cast<std::size_t>(i)];
    const std::int64_t end = offsets[static_cast<std::size_t>(i) + 1];
    if (end < begin || end > entries) {
      throw InputError(fmt::format("{}: offset {} is {} after {}; expected {} to {}", path, i + 1,
                                   end, begin, begin, entries));
    }
  }
  double sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    double row = 0;
    std::int64_t before = -1;
    for (std::int64_t e = offsets[static_cast<std::size_t>(i)];
         e < offsets[static_cast<std::size_t>(i) + 1]; ++e) {
      const std::int64_t column = columns[static_cast<std::size_t>(e)];
      const float value = values[static_cast<std::size_t>(e)];
      if (column <= before || column >= rows || column == i) {
        throw InputError(
            fmt::format("{}: row {}, entry {} is of column {}; expected another row's, "
                        "above {}, up to {}",
                        path, i, e, column, before, rows - 1));
      }
      if (!(value >= 0) || !std::isfinite(value)) {
        throw InputError(
            fmt::format("{}: row {}, entry {} is {}; expected a probability", path, i, e, value));
      }
      before = column;
      row += static_cast<double>(value);
    }
    sum += row;
  }
  if (!(std::abs(sum - 1.0) <= 1e-3)) {
    throw InputError(
        fmt::format("{}: its values sum up to {:g}; expected 1 within 0.001", path, sum));
  }
}

}  // namespace

void save_affinities(const std::string& path, const Affinities& affinities) {
  TypedTensorFile file;
  std::vector<std::int64_t> offsets = affinities.offsets.download(affinities.rows + 1);
  const std::int64_t entries = offsets.back();
  file.metadata = {{"format", format_name},
                   {"version", format_version},
                   {"perplexity", fmt::format("{}", affinities.perplexity)},
                   {"neighbours", fmt::format("{}", affinities.neighbours)},
                   {"method", std::string(name_of(affinities.method))},
                   {"recall", fmt::format("{}", affinities.recall)}};
  file.tensors.push_back({"offsets", {affinities.rows + 1}, std::move(offsets)});
  file.tensors.push_back({"columns", {entries}, affinities.columns.download(entries)});
  file.tensors.push_back({"values", {entries}, affinities.values.download(entries)});
  save_typed_safetensors(path, file);
}

Affinities load_affinities(const std::string& path, Backend& backend) {
  TypedTensorFile file = load_typed_safetensors(path);
  if (metadata_of(path, file, "format") != format_name) {
    throw InputError(fmt::format("{}: its format is \"{}\"; expected \"{}\"", path,
                                 metadata_of(path, file, "format"), format_name));
  }
  if (metadata_of(path, file, "version") != format_version) {
    throw InputError(fmt::format("{}: is of version {}; expected {}", path,
                                 metadata_of(path, file, "version"), format_version));
  }
  const std::string& method = metadata_of(path, file, "method");
  if (method != "exact" && method != "approximate") {
    throw InputError(fmt::format(
        "{}: \"method\" in its metadata is \"{}\"; expected exact or approximate", path, method));
  }
  const auto offsets = take<std::int64_t>(path, file, "offsets", "int64");
  const auto columns = take<std::int32_t>(path, file, "columns", "int32");
  const auto values = take<float>(path, file, "values", "float32");
  check_entries(path, offsets, columns, values);

  Affinities result;
  result.rows = static_cast<std::int64_t>(offsets.size()) - 1;
  const auto most = static_cast<double>(result.rows - 1);
  result.neighbours = static_cast<int>(number_of(path, file, "neighbours", 1, most));
  result.perplexity = number_of(path, file, "perplexity", 1, most);
  result.recall = number_of(path, file, "recall", 0, 1);
  result.method = parse_neighbour_method(method);
  result.offsets = Buffer<std::int64_t>(backend, std::span<const std::int64_t>(offsets));
  result.columns = Buffer<std::int32_t>(backend, std::span<const std::int32_t>(columns));
  result.values = Buffer<float>(backend, std::span<const float>(values));
  return result;
}

}  // namespace hourglass
