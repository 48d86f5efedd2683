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

struct ElementName {
  const char* name;
  std::size_t bytes;
};
// The alternatives of TypedTensor::values, in their order. Models hold the first only.
constexpr std::array<ElementName, 3> element_types{{{"F32", 4}, {"I32", 4}, {"I64", 8}}};

struct Entry {
  std::string name;
  std::size_t type = 0;  // of element_types
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
                 std::uint64_t data_bytes, bool typed) {
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
  Entry entry;
  entry.name = name;
  const std::size_t types = typed ? element_types.size() : 1;
  while (entry.type < types &&
         (dtype == tensor.end() || *dtype != element_types[entry.type].name)) {
    ++entry.type;
  }
  if (entry.type == types) {
    throw InputError(fmt::format("{}: the tensor \"{}\" is of the type {}, expected {}", path, name,
                                 dtype == tensor.end() ? "none" : dtype->dump().substr(0, 32),
                                 typed ? "\"F32\", \"I32\" or \"I64\"" : "\"F32\""));
  }
  std::uint64_t bytes = element_types[entry.type].bytes;
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
    throw InputError(fmt::format(
        "{}: the tensor \"{}\" has {} bytes of data, expected {} bytes for each of [{}]", path,
        name, entry.end - entry.begin, element_types[entry.type].bytes, shape_text(entry.shape)));
  }
  return entry;
}

/// A tensor on its way to a file.
struct Outgoing {
  const std::string& name;
  const std::vector<std::int64_t>& shape;
  std::size_t type;
  std::size_t count;
  std::span<const std::byte> bytes;
};

template <class T>
Outgoing outgoing(const std::string& name, const std::vector<std::int64_t>& shape, std::size_t type,
                  const std::vector<T>& values) {
  return {name, shape, type, values.size(), std::as_bytes(std::span(values))};
}

std::vector<Outgoing> tensors_of(const TensorFile& file) {
  std::vector<Outgoing> tensors;
  for (const NamedTensor& tensor : file.tensors)
    tensors.push_back(outgoing(tensor.name, tensor.shape, 0, tensor.values));
  return tensors;
}

std::vector<Outgoing> tensors_of(const TypedTensorFile& file) {
  std::vector<Outgoing> tensors;
  for (const TypedTensor& tensor : file.tensors) {
    std::visit(
        [&](const auto& values) {
          tensors.push_back(outgoing(tensor.name, tensor.shape, tensor.values.index(), values));
        },
        tensor.values);
  }
  return tensors;
}

void check_writable(const std::string& path, const std::vector<Outgoing>& tensors) {
  std::set<std::string_view> names;
  for (const Outgoing& tensor : tensors) {
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
    if (!fits || count != tensor.count) {
      throw UsageError(fmt::format("{}: the tensor \"{}\" has {} values, its shape is [{}]", path,
                                   tensor.name, tensor.count, shape_text(tensor.shape)));
    }
  }
}

void write_tensors(AtomicFile& output, const std::map<std::string, std::string>& metadata,
                   const std::vector<Outgoing>& tensors) {
  Json header = Json::object();
  if (!metadata.empty()) {
    Json object = Json::object();
    for (const auto& [key, value] : metadata)
      object[key] = value;
    header[metadata_key] = std::move(object);
  }
  std::uint64_t offset = 0;
  for (const Outgoing& tensor : tensors) {
    const std::uint64_t end = offset + tensor.bytes.size();
    header[tensor.name] = {{"dtype", element_types[tensor.type].name},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');

  std::array<char, 8> length{};
  for (std::size_t i = 0; i < 8; ++i)
    length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  output.write(std::string_view(length.data(), length.size()));
  output.write(text);
  for (const Outgoing& tensor : tensors)
    output.write(tensor.bytes);
}

/// Reads a file of tensors: make(entry, number of elements, file) takes the values of each.
template <class Make>
void load(const std::string& path, bool typed, std::map<std::string, std::string>& metadata,
          Make&& make) {
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

  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == metadata_key) {
      metadata = read_metadata(path, value);
    } else {
      entries.push_back(read_entry(path, name, value, data_bytes, typed));
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
    const std::uint64_t count = (entry.end - entry.begin) / element_types[entry.type].bytes;
    make(std::move(entry), count, file);
  }
  if (next != data_bytes) {
    throw InputError(fmt::format("{}: has {} bytes of data, its tensors account for {}", path,
                                 data_bytes, next));
  }
}

}  // namespace

const NamedTensor* TensorFile::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

TensorFile load_safetensors(const std::string& path) {
  TensorFile result;
  load(path, false, result.metadata, [&](Entry entry, std::uint64_t count, InputFile& file) {
    result.tensors.push_back(
        {std::move(entry.name), std::move(entry.shape), file.read_elements<float>(count)});
  });
  return result;
}

TypedTensorFile load_typed_safetensors(const std::string& path) {
  TypedTensorFile result;
  load(path, true, result.metadata, [&](Entry entry, std::uint64_t count, InputFile& file) {
    TypedTensor tensor{std::move(entry.name), std::move(entry.shape), {}};
    switch (entry.type) {
      case 0:
        tensor.values = file.read_elements<float>(count);
        break;
      case 1:
        tensor.values = file.read_elements<std::int32_t>(count);
        break;
      default:
        tensor.values = file.read_elements<std::int64_t>(count);
    }
    result.tensors.push_back(std::move(tensor));
  });
  return result;
}

void save_safetensors(const std::string& path, const TensorFile& file) {
  check_writable(path, tensors_of(file));  // before anything is created
  AtomicFile output(path);
  save_safetensors(output, file);
  output.commit();
}

void save_safetensors(AtomicFile& output, const TensorFile& file) {
  const std::vector<Outgoing> tensors = tensors_of(file);
  check_writable(output.path(), tensors);
  write_tensors(output, file.metadata, tensors);
}

void save_typed_safetensors(const std::string& path, const TypedTensorFile& file) {
  const std::vector<Outgoing> tensors = tensors_of(file);
  check_writable(path, tensors);
  AtomicFile output(path);
  write_tensors(output, file.metadata, tensors);
  output.commit();
}

}  // namespace hourglass
