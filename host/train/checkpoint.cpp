#include "host/train/checkpoint.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>

#include "host/data/atomic_file.hpp"
#include "host/data/safetensors.hpp"
#include "host/train/features.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* format_name = "hourglass-checkpoint-1";

/// NaN, which JSON has no number for, becomes null. Every other double reads back with its bits.
Json number(double value) {
  return std::isnan(value) ? Json(nullptr) : Json(value);
}

double number_of(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

struct HistoryColumn {
  const char* name;
  double EpochFigures::*figure;
};
constexpr HistoryColumn history_columns[] = {
    {"loss", &EpochFigures::loss},
    {"reconstruction", &EpochFigures::reconstruction},
    {"penalty", &EpochFigures::penalty},
    {"validation_loss", &EpochFigures::validation_loss},
    {"validation_reconstruction", &EpochFigures::validation_reconstruction},
    {"learning_rate", &EpochFigures::learning_rate},
    {"seconds", &EpochFigures::seconds}};

std::string history_json(const std::vector<EpochFigures>& epochs) {
  Json json = Json::object();
  for (const HistoryColumn& column : history_columns) {
    json[column.name] = Json::array();
    for (const EpochFigures& epoch : epochs)
      json[column.name].push_back(number(epoch.*column.figure));
  }
  return json.dump();
}

std::vector<EpochFigures> history_from_json(const std::string& text) {
  const Json json = Json::parse(text);
  std::vector<EpochFigures> epochs(json.at("loss").size());
  for (const HistoryColumn& column : history_columns) {
    for (std::size_t e = 0; e < epochs.size(); ++e)
      epochs[e].*column.figure = number_of(json.at(column.name).at(e));
  }
  return epochs;
}

std::string state_json(const Checkpoint& checkpoint) {
  const OptimiserState& optimiser = checkpoint.state.optimiser;
  Json json;
  json["device"] = checkpoint.device;
  json["step"] = checkpoint.step;
  json["loss_sum"] = number(checkpoint.loss_sum);
  json["penalty_sum"] = number(checkpoint.penalty_sum);
  json["optimiser"] = {{"step", optimiser.step},
                       {"learning_rate", optimiser.learning_rate},
                       {"beta1_power", optimiser.beta1_power},
                       {"beta2_power", optimiser.beta2_power}};
  return json.dump();
}

void state_from_json(const std::string& text, Checkpoint& checkpoint) {
  const Json json = Json::parse(text);
  checkpoint.device = json.at("device").get<std::string>();
  checkpoint.step = json.at("step").get<std::int64_t>();
  checkpoint.loss_sum = number_of(json.at("loss_sum"));
  checkpoint.penalty_sum = number_of(json.at("penalty_sum"));
  const Json& from = json.at("optimiser");
  OptimiserState& optimiser = checkpoint.state.optimiser;
  optimiser.step = from.at("step").get<std::int64_t>();
  optimiser.learning_rate = from.at("learning_rate").get<double>();
  optimiser.beta1_power = from.at("beta1_power").get<double>();
  optimiser.beta2_power = from.at("beta2_power").get<double>();
}

class Crc32 {
 public:
  Crc32& add(const void* bytes, std::size_t count) {
    // Of no bytes, whose address may be null, crc32_z would begin anew.
    if (count > 0) value_ = crc32_z(value_, static_cast<const Bytef*>(bytes), count);
    return *this;
  }
  [[nodiscard]] std::string text() const { return fmt::format("{:08x}", value_); }

 private:
  uLong value_ = crc32_z(0, nullptr, 0);
};

/// Shape, type and content.
std::string describe(const RowSource& rows) {
  Crc32 crc;
  for_host_blocks(rows, [&](std::int64_t, std::int64_t count, const void* values) {
    crc.add(values, static_cast<std::size_t>(count * rows.row_bytes()));
  });
  return fmt::format("{} x {} {} of CRC-32 {}", rows.rows(), rows.columns(),
                     rows.is_bytes() ? "bytes" : "floats", crc.text());
}

std::string checksum_of(const TensorFile& file) {
  Crc32 crc;
  for (const auto& [key, value] : file.metadata) {
    if (key == "checksum") continue;
    crc.add(key.data(), key.size());
    crc.add(value.data(), value.size());
  }
  for (const NamedTensor& tensor : file.tensors) {
    crc.add(tensor.name.data(), tensor.name.size());
    crc.add(tensor.values.data(), tensor.values.size() * sizeof(float));
  }
  return crc.text();
}

std::vector<float> take(TensorFile& file, const std::string& path, std::string_view name) {
  for (NamedTensor& tensor : file.tensors) {
    if (tensor.name == name) return std::move(tensor.values);
  }
  throw InputError(fmt::format("{}: tensor \"{}\" is missing", path, name));
}

void check_identity(const std::string& path, const TrainingIdentity& found,
                    const TrainingIdentity& wanted) {
  for (const auto& [name, value] : wanted) {
    const auto at = found.find(name);
    if (at == found.end() || at->second != value) {
      throw InputError(fmt::format("{}: of another training: its {} is {}, here it is {}", path,
                                   name, at == found.end() ? "missing" : at->second, value));
    }
  }
  for (const auto& [name, value] : found) {
    if (!wanted.contains(name)) {
      throw InputError(fmt::format("{}: of another training: it has {} {}, which is unknown here",
                                   path, name, value));
    }
  }
}

void move_file(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
    throw InputError(fmt::format("cannot rename {} to {}: {}", from, to, std::strerror(errno)));
  }
}

}  // namespace

std::string fingerprint(std::span<const float> values) {
  return Crc32().add(values.data(), values.size_bytes()).text();
}

TrainingIdentity identity_of(const Autoencoder& model, const std::string& start,
                             const RowSource& data, const TrainingOptions& options,
                             const std::optional<RowSource>& validation) {
  TrainingIdentity identity{
      {"model", model.spec.to_json()},
      {"first parameters", "of CRC-32 " + start},
      {"scaling", std::string(name_of(model.scaler.scaling))},
      {"data", describe(data)},
      {"validation data", validation ? describe(*validation) : "none"},
      {"batch", fmt::format("{}", std::min(options.batch, data.rows()))},
      {"learning rate", fmt::format("{}", options.learning_rate)},
      {"learning rate schedule", options.schedule.name()},
      {"optimiser", std::string(name_of(options.optimiser))},
      {"Adam's constants",
       fmt::format("{}, {}, {}", options.adam.beta1, options.adam.beta2, options.adam.epsilon)},
      {"momentum", fmt::format("{}", options.momentum)},
      {"weight decay", fmt::format("{}", options.weight_decay)},
      {"clip norm", fmt::format("{}", options.clip_norm)},
      {"sparsity", options.sparsity.name()},
      {"contractive", fmt::format("{}", options.contractive)},
      {"noise", name_of(options.noise)},
      {"patience", fmt::format("{}", options.patience)},
      {"least improvement", fmt::format("{}", options.min_improvement)},
      {"seed", fmt::format("{}", options.seed)}};
  if (options.schedule.kind == LearningRateSchedule::Kind::cosine) {
    identity["epochs"] = fmt::format("{}", options.epochs);
  }
  if (options.precision != Precision::float32) identity["precision"] = name_of(options.precision);
  return identity;
}

std::string previous_of(const std::string& path) {
  return path + ".previous";
}

void CheckpointWriter::write(const Checkpoint& checkpoint) {
  TensorFile file;
  const auto add = [&](const char* name, const std::vector<float>& values) {
    file.tensors.push_back({name, {static_cast<std::int64_t>(values.size())}, values});
  };
  add("parameters", checkpoint.state.parameters);
  add("first_moment", checkpoint.state.first_moment);
  add("second_moment", checkpoint.state.second_moment);
  add("best_parameters", checkpoint.best_parameters);
  file.metadata["format"] = format_name;
  file.metadata["training"] = Json(checkpoint.training).dump();
  file.metadata["state"] = state_json(checkpoint);
  file.metadata["history"] = history_json(checkpoint.epochs);
  file.metadata["checksum"] = checksum_of(file);

  AtomicFile out(path_, path_ + ".partial");
  save_safetensors(out, file);
  // Killed before this line, the old pair is there; between the two, the previous one; after, both.
  if (current_is_whole_) move_file(path_, previous_of(path_));
  out.commit();
  current_is_whole_ = true;
}

Checkpoint load_checkpoint(const std::string& path, const TrainingIdentity& training) {
  TensorFile file = load_safetensors(path);
  const auto format = file.metadata.find("format");
  if (format == file.metadata.end() || format->second != format_name) {
    throw InputError(fmt::format("{}: metadata \"format\" is {}; expected \"{}\"", path,
                                 format == file.metadata.end() ? "missing" : format->second,
                                 format_name));
  }
  if (const std::string checksum = checksum_of(file); file.metadata["checksum"] != checksum) {
    throw InputError(fmt::format("{}: damaged: its CRC-32 is {}, its content has {}", path,
                                 file.metadata["checksum"], checksum));
  }
  Checkpoint checkpoint;
  try {
    checkpoint.training = Json::parse(file.metadata["training"]).get<TrainingIdentity>();
    check_identity(path, checkpoint.training, training);
    state_from_json(file.metadata["state"], checkpoint);
    checkpoint.epochs = history_from_json(file.metadata["history"]);
  } catch (const Json::exception& error) {
    throw InputError(fmt::format("{}: metadata: {}", path, error.what()));
  }
  checkpoint.state.parameters = take(file, path, "parameters");
  checkpoint.state.first_moment = take(file, path, "first_moment");
  checkpoint.state.second_moment = take(file, path, "second_moment");
  checkpoint.best_parameters = take(file, path, "best_parameters");
  return checkpoint;
}

}  // namespace hourglass
