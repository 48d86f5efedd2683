#include "host/embed/affinity_file.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "host/data/typed_tensor_reader.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr const char* format_name = "hourglass affinities";
constexpr const char* format_version = "1";

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
  TypedTensorReader file(path, "a file of affinities", format_name, format_version);
  const std::string& method = file.text("method");
  if (method != "exact" && method != "approximate") {
    throw InputError(fmt::format(
        "{}: \"method\" in its metadata is \"{}\"; expected exact or approximate", path, method));
  }
  const auto offsets = file.take<std::int64_t>("offsets", 1);
  const auto columns = file.take<std::int32_t>("columns", 1);
  const auto values = file.take<float>("values", 1);
  check_entries(path, offsets, columns, values);

  Affinities result;
  result.rows = static_cast<std::int64_t>(offsets.size()) - 1;
  const auto most = static_cast<double>(result.rows - 1);
  result.neighbours = static_cast<int>(file.number("neighbours", 1, most));
  result.perplexity = file.number("perplexity", 1, most);
  result.recall = file.number("recall", 0, 1);
  result.method = parse_neighbour_method(method);
  result.offsets = Buffer<std::int64_t>(backend, std::span<const std::int64_t>(offsets));
  result.columns = Buffer<std::int32_t>(backend, std::span<const std::int32_t>(columns));
  result.values = Buffer<float>(backend, std::span<const float>(values));
  return result;
}

}  // namespace hourglass
