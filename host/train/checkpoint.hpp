// A training on its way, as a file: what is needed to go on with the same bits.
//
// A safetensors file. Tensors: "parameters", "first_moment", "second_moment" and, where early
// stopping keeps them, "best_parameters", each one flat buffer (layer_offsets()). Metadata, all
// JSON: "format", "training" (what it belongs to), "state", "history", and "checksum", a CRC-32 of
// all the rest.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/train/network.hpp"
#include "hourglass/training.hpp"

namespace hourglass {

/// What decides about the course of a training, by name: a checkpoint is gone
/// on with only where all are equal.
using TrainingIdentity = std::map<std::string, std::string>;
/// Of data, by its content, which is read, and options. `start`: fingerprint() of the parameters
/// before the first step. Not in it: what does not change the course, and the number of epochs,
/// where no schedule looks ahead to it.
TrainingIdentity identity_of(const Autoencoder& model, const std::string& start,
                             const RowSource& data, const TrainingOptions& options,
                             const std::optional<RowSource>& validation);

/// A CRC-32.
std::string fingerprint(std::span<const float> values);

struct Checkpoint {
  TrainingIdentity training;
  std::string device;  ///< "cpu, 2 threads": another may round differently
  TrainingState state;
  std::vector<float> best_parameters;  ///< empty where none are kept
  std::vector<EpochFigures> epochs;    ///< those that have ended
  std::int64_t step = 0;               ///< steps done in the epoch after them
  double loss_sum = 0.0;               ///< over these steps, weighted by their rows
  double penalty_sum = 0.0;
};

/// Writes checkpoints of one training, one after the other: the last one has the name `path`, the
/// one before it path + ".previous". At every moment one of the two is whole.
class CheckpointWriter {
 public:
  /// keep_previous: what `path` holds now is whole, and becomes the previous one at the first
  /// write; otherwise it is overwritten.
  CheckpointWriter(std::string path, bool keep_previous)
      : path_(std::move(path)), current_is_whole_(keep_previous) {}
  /// Throws InputError where the file cannot be written.
  void write(const Checkpoint& checkpoint);

 private:
  std::string path_;
  bool current_is_whole_;
};

std::string previous_of(const std::string& path);

/// Throws InputError that names the file and says why it cannot be used: missing, cut, damaged, not
/// a checkpoint, or of another training, with what differs.
Checkpoint load_checkpoint(const std::string& path, const TrainingIdentity& training);

}  // namespace hourglass
