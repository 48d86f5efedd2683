#include "host/data/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "host/data/array.hpp"
#include "host/data/atomic_file.hpp"
#include "host/data/input_file.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t longest_header = 100'000'000;  // the format's own limit
constexpr int deepest_header = 8;
constexpr const char* metadata_key = "__metadata__";

// Follows nlohmann's parser, which keeps the last of two equal keys, silently, and takes any depth
// of nesting, which printing a value would then follow by recursion.
class HeaderWatch {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    deepest_ = std::max(deepest_, depth);
    if (event == Json::parse_event_t::object_start) {
      open_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      if (!open_.empty()) open_.pop_back();
    } else if (event == Json::parse_event_t::key && !open_.empty()) {
      auto name = parsed.get<std::string>();
      if (!open_.back().insert(name).second && !duplicate_) duplicate_ = std::move(name);
    }
    return true;
  }

  [[nodiscard]] const std::optional<std::string>& duplicate() const { return duplicate_; }
  [[nodiscard]] int deepest() const { return deepest_; }

 private:
  int deepest_ = 0;
  std::vector<std::set<std::string>> open_;
  std::optional<std::string> duplicate_;
};

Json parse_header(const std::string& path, const std::string& text) {
  if (!text.starts_with('{')) {
    throw InputError(
        fmt::format("{}: byte 8 is not '{{', expected a safetensors header in JSON", path));
  }
  HeaderWatch watch;
  Json header;
  try {
    header = Json::parse(text, std::ref(watch));
  } catch (const Json::parse_error& error) {
    throw InputError(fmt::format("{}: the safetensors header is no valid JSON at byte {}", path,
                                 8 + (error.byte > 0 ? error.byte - 1 : 0)));
  } catch (const Json::exception&) {
    throw InputError(fmt::format("{}: the safetensors header holds a number out of range", path));
  }
  if (watch.deepest() > deepest_header) {
    throw InputError(fmt::format("{}: the safetensors header nests deeper than {} levels", path,
                                 deepest_header));
  }
  if (watch.duplicate()) {
    throw InputError(fmt::format("{}: the name \"{}\" occurs twice in the safetensors header", path,
                                 *watch.duplicate()));
  }
  return header;
}

std::map<std::string, std::string> read_metadata(const std::string& path, const Json& object) {
  std::map<std::string, std::string> metadata;
  if (!object.is_object()) {
    throw InputError(fmt::format("{}: {} is no JSON object", path, metadata_key));
  }
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) {
      throw InputError(
          fmt::format("{}: the value of \"{}\" in {} is no string", path, key, metadata_key));
    }
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

struct Entry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Whole numbers of 63 bits; throws for anything else, negative numbers and 1.0 among them.
std::vector<std::uint64_t> read_numbers(const std::string& path, const std::string& name,
                                        const Json& tensor, const char* key) {
  const auto found = tensor.find(key);
  if (found == tensor.end() || !found->is_array()) {
    throw InputError(
        fmt::format("{}: the tensor \"{}\" has no \"{}\", expected an array", path, name, key));
  }
  std::vector<std::uint64_t> numbers;
  for (const Json& value : *found) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > INT64_MAX) {
      throw InputError(
          fmt::format("{}: \"{}\" of the tensor \"{}\" holds {}, expected whole numbers", path, key,
                      name, value.dump().substr(0, 32)));
    }
    numbers.push_back(value.get<std::uint64_t>());
  }
  return numbers;
}

Entry read_entry(const std::string& path, const std::string& name, const Json& tensor,
                 std::uint64_t data_bytes) {
  if (!tensor.is_object()) {
    throw InputError(fmt::format("{}: the tensor \"{}\" is no JSON object", path, name));
  }
  for (const auto& [key, value] : tensor.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      throw InputError(fmt::format(
          "{}: the tensor \"{}\" has \"{}\", expected dtype, shape and data_offsets only", path,
          name, key));
    }
  }
  const auto dtype = tensor.find("dtype");
  if (dtype == tensor.end() || *dtype != "F32") {
    throw InputError(fmt::format("{}: the tensor \"{}\" is of the type {}, expected \"F32\"", path,
                                 name,
                                 dtype == tensor.end() ? "none" : dtype->dump().substr(0, 32)));
  }
  Entry entry;
  entry.name = name;
  std::uint64_t bytes = sizeof(float);
  bool overflow = false;
  for (const std::uint64_t size : read_numbers(path, name, tensor, "shape")) {
    entry.shape.push_back(static_cast<std::int64_t>(size));
    overflow |= __builtin_mul_overflow(bytes, size, &bytes);
  }
  const std::vector<std::uint64_t> offsets = read_numbers(path, name, tensor, "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes) {
    throw InputError(
        fmt::format("{}: data_offsets of the tensor \"{}\" are {}, expected [begin, end] within "
                    "the {} bytes of data",
                    path, name, tensor["data_offsets"].dump().substr(0, 64), data_bytes));
  }
  entry.begin = offsets[0];
  entry.end = offsets[1];
  if (overflow || bytes != entry.end - entry.begin) {
    throw InputError(
        fmt::format("{}: the tensor \"{}\" has {} bytes of data, expected 4 bytes for each of [{}]",
                    path, name, entry.end - entry.begin, shape_text(entry.shape)));
  }
  return entry;
}

void check_writable(const std::string& path, const TensorFile& file) {
  std::set<std::string_view> names;
  for (const NamedTensor& tensor : file.tensors) {
    if (tensor.name == metadata_key || !names.insert(tensor.name).second) {
      throw UsageError(fmt::format("{}: \"{}\" is a {} name for a tensor", path, tensor.name,
                                   tensor.name == metadata_key ? "reserved" : "repeated"));
    }
    std::uint64_t count = 1;
    bool fits = true;
    for (const std::int64_t size : tensor.shape) {
      fits = fits && size >= 0 &&
             !__builtin_mul_overflow(count, static_cast<std::uint64_t>(size), &count);
    }
    if (!fits || count != tensor.values.size()) {
      throw UsageError(fmt::format("{}: the tensor \"{}\" has {} values, its shape is [{}]", path,
                                   tensor.name, tensor.values.size(), shape_text(tensor.shape)));
    }
  }
}

}  // namespace

const NamedTensor* TensorFile::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

TensorFile load_safetensors(const std::string& path) {
  InputFile file(path);
  const auto file_bytes = file.size();
  if (!file_bytes) {
    throw InputError(fmt::format("{}: is compressed or a pipe, expected a safetensors file", path));
  }
  std::array<std::uint8_t, 8> length_bytes{};
  file.read_header(length_bytes.data(), length_bytes.size(), "the length of a safetensors header");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    length |= static_cast<std::uint64_t>(length_bytes[i]) << (8 * i);
  }
  const std::uint64_t most = std::min(longest_header, *file_bytes - 8);
  if (length < 2 || length > most) {
    throw InputError(
        fmt::format("{}: its first 8 bytes give a header of {} bytes, expected 2 to {}: no "
                    "safetensors file, or cut off",
                    path, length, most));
  }
  const std::vector<char> bytes = file.read_elements<char>(length);
  const Json header = parse_header(path, std::string(bytes.begin(), bytes.end()));
  const std::uint64_t data_bytes = *file_bytes - 8 - length;

  TensorFile result;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == metadata_key) {
      result.metadata = read_metadata(path, value);
    } else {
      entries.push_back(read_entry(path, name, value, data_bytes));
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t next = 0;
  for (Entry& entry : entries) {
    if (entry.begin != next) {
      throw InputError(
          fmt::format("{}: the data of the tensor \"{}\" begins at byte {}, expected {}: "
                      "tensors may neither overlap nor leave gaps",
                      path, entry.name, entry.begin, next));
    }
    next = entry.end;
    NamedTensor& tensor = result.tensors.emplace_back();
    tensor.name = std::move(entry.name);
    tensor.shape = std::move(entry.shape);
    tensor.values = file.read_elements<float>((entry.end - entry.begin) / sizeof(float));
  }
  if (next != data_bytes) {
    throw InputError(fmt::format("{}: has {} bytes of data, its tensors account for {}", path,
                                 data_bytes, next));
  }
  return result;
}

void save_safetensors(const std::string& path, const TensorFile& file) {
  check_writable(path, file);  // before anything is created
  AtomicFile output(path);
  save_safetensors(output, file);
  output.commit();
}

void save_safetensors(AtomicFile& output, const TensorFile& file) {
  check_writable(output.path(), file);
  Json header = Json::object();
  if (!file.metadata.empty()) {
    Json metadata = Json::object();
    for (const auto& [key, value] : file.metadata)
      metadata[key] = value;
    header[metadata_key] = std::move(metadata);
  }
  std::uint64_t offset = 0;
  for (const NamedTensor& tensor : file.tensors) {
    const std::uint64_t end = offset + tensor.values.size() * sizeof(float);
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');

  std::array<char, 8> length{};
  for (std::size_t i = 0; i < 8; ++i)
    length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  output.write(std::string_view(length.data(), length.size()));
  output.write(text);
  for (const NamedTensor& tensor : file.tensors) {
    output.write(std::as_bytes(std::span(tensor.values)));
  }
}

}  // namespace hourglass
