// Training that was ended at any step and resumed gives the bits of one that was not; what cannot
// be resumed from is passed over with its reason.
#include "host/train/checkpoint.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "tests/data/scratch.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing::content;
using testing::Scratch;
using testing_support::device_under_test;
using testing_support::easy_data;

constexpr std::int64_t rows = 53;
constexpr std::int64_t steps = 7;  // of 8 rows, the last of 5
constexpr int epochs = 4;

/// Thrown from a callback: training ends at once and saves nothing more, as if the process were
/// killed.
struct Killed : std::runtime_error {
  Killed() : std::runtime_error("killed") {}
};

class Job {
 public:
  explicit Job(TrainingOptions options = {}, Scaling scaling = Scaling::unit)
      : device_(device_under_test(2)),
        options_(std::move(options)),
        data_(easy_data(rows, 9, 2)),
        validation_(easy_data(11, 9, 3)) {
    AutoencoderSpec spec;
    spec.inputs = data_.columns;
    spec.hidden = {4};
    spec.code_activation = Activation::sigmoid;
    start_ = Autoencoder::initialise(spec, Scaler::fit(device_, data_, scaling), 5);
    options_.epochs = epochs;
    options_.batch = 8;
    options_.seed = 8;
    options_.checkpoint.path = scratch_.path("model.checkpoint");
    options_.warn = [this](const std::string& line) { said_ += line + "\n"; };
    options_.resumed = [this](const std::string& file, std::size_t epoch, std::int64_t step) {
      said_ += "resumed " + std::filesystem::path(file).filename().string() + " " +
               std::to_string(epoch) + " " + std::to_string(step) + "\n";
    };
  }

  [[nodiscard]] TrainingOptions& options() { return options_; }
  [[nodiscard]] const std::string& path() const { return options_.checkpoint.path; }
  [[nodiscard]] const Scratch& scratch() const { return scratch_; }
  /// Warnings and what was resumed, since the last training began.
  [[nodiscard]] const std::string& said() const { return said_; }

  struct Result {
    std::vector<float> parameters;
    History history;
  };

  Result unbroken() { return train(options_with({}, {})); }
  Result resume() {
    CheckpointOptions checkpoint = options_.checkpoint;
    checkpoint.resume = true;
    return train(options_with(checkpoint, {}));
  }
  /// Trains until step `step` of epoch `epoch` is done; then the process is killed.
  void kill_at(int epoch, std::int64_t step, bool resume = false) {
    CheckpointOptions checkpoint = options_.checkpoint;
    checkpoint.resume = resume;
    EXPECT_THROW(train(options_with(checkpoint,
                                    [&](int e, std::int64_t s) -> bool {
                                      if (e == epoch && s == step) throw Killed();
                                      return true;
                                    })),
                 Killed);
  }
  /// The same, but training is asked to end.
  void interrupt_at(int epoch, std::int64_t step) {
    EXPECT_THROW(
        train(options_with(options_.checkpoint,
                           [&](int e, std::int64_t s) { return !(e == epoch && s == step); })),
        Interrupted);
  }

 private:
  TrainingOptions options_with(CheckpointOptions checkpoint,
                               std::function<bool(int, std::int64_t)> step_end) const {
    TrainingOptions options = options_;
    options.checkpoint = std::move(checkpoint);
    options.step_end = std::move(step_end);
    return options;
  }
  Result train(const TrainingOptions& options) {
    said_.clear();
    Autoencoder model = start_;
    History history = fit(device_, model, data_, options, validation_);
    return {model.parameters, history};
  }

  Scratch scratch_;
  Device device_;
  TrainingOptions options_;
  Dataset data_;
  Dataset validation_;
  Autoencoder start_;
  std::string said_;
};

void expect_same(const Job::Result& got, const Job::Result& want) {
  EXPECT_EQ(got.parameters, want.parameters);
  ASSERT_EQ(got.history.epochs.size(), want.history.epochs.size());
  EXPECT_EQ(got.history.best_epoch, want.history.best_epoch);
  EXPECT_EQ(got.history.stopped_early, want.history.stopped_early);
  for (std::size_t e = 0; e < want.history.epochs.size(); ++e) {
    const EpochFigures& a = got.history.epochs[e];
    const EpochFigures& b = want.history.epochs[e];
    EXPECT_EQ(a.loss, b.loss) << e;
    EXPECT_EQ(a.reconstruction, b.reconstruction) << e;
    EXPECT_EQ(a.penalty, b.penalty) << e;
    EXPECT_EQ(a.validation_loss, b.validation_loss) << e;
    EXPECT_EQ(a.learning_rate, b.learning_rate) << e;
  }
}

/// Each a training in which something besides the parameters has to go on where it was.
std::vector<TrainingOptions> every_kind() {
  std::vector<TrainingOptions> kinds(1);
  kinds.push_back({.noise = parse_noise("gaussian:0.3")});
  kinds.push_back({.sparsity = Sparsity::parse("kl:0.1:0.01"), .noise = parse_noise("mask:0.3")});
  kinds.push_back({.learning_rate = 0.5, .optimiser = Optimiser::sgd, .clip_norm = 0.05f});
  kinds.push_back({.learning_rate = 0.01,
                   .schedule = LearningRateSchedule::parse("cosine"),
                   .optimiser = Optimiser::adamw,
                   .weight_decay = 0.1f});
  // So fast that it soon gets worse.
  kinds.push_back({.learning_rate = 2.0,
                   .schedule = LearningRateSchedule::parse("plateau:1:0.5"),
                   .contractive = 0.01f,
                   .patience = 2});
  return kinds;
}

TEST(Checkpoint, ResumedAfterAnyStepIsAsIfUnbroken) {
  for (const Scaling scaling : {Scaling::unit, Scaling::standard}) {
    for (const TrainingOptions& options : every_kind()) {
      Job job(options, scaling);
      const Job::Result want = job.unbroken();
      const auto ran = static_cast<int>(want.history.epochs.size());
      for (int epoch = 1; epoch <= ran; ++epoch) {
        for (const std::int64_t step : {std::int64_t{1}, std::int64_t{4}, steps}) {
          if (epoch == ran && step == steps) continue;  // it has ended
          SCOPED_TRACE(std::to_string(epoch) + ", " + std::to_string(step));
          job.interrupt_at(epoch, step);
          expect_same(job.resume(), want);
        }
      }
    }
  }
}

TEST(Checkpoint, KilledAtAnyStepGoesOnFromTheLastCheckpoint) {
  for (const TrainingOptions& options : every_kind()) {
    for (const bool by_steps : {false, true}) {
      Job job(options);
      job.options().checkpoint.every_steps = by_steps ? 3 : 0;
      job.options().checkpoint.every_epochs = by_steps ? 0 : 2;
      const Job::Result want = job.unbroken();
      if (want.history.epochs.size() < 3) continue;
      // Killed, resumed and killed again, each time a little later.
      job.kill_at(1, 2);
      EXPECT_EQ(job.scratch().names(), std::vector<std::string>{});
      job.kill_at(1, 5, true);
      EXPECT_EQ(job.said(), "no checkpoint " + job.path() + ": training begins anew\n");
      job.kill_at(2, 6, true);
      job.kill_at(3, 2, true);
      EXPECT_EQ(job.said(), by_steps ? "resumed model.checkpoint 1 5\n"
                                     : "no checkpoint " + job.path() + ": training begins anew\n");
      expect_same(job.resume(), want);
      EXPECT_EQ(job.said(),
                by_steps ? "resumed model.checkpoint 2 1\n" : "resumed model.checkpoint 2 0\n");
      // Whoever resumes what has ended gets it once more.
      expect_same(job.resume(), want);
    }
  }
}

TEST(Checkpoint, MoreEpochsMayBeAskedForLater) {
  Job job;
  job.options().checkpoint.every_epochs = 1;
  const Job::Result want = job.unbroken();
  job.options().epochs = 2;
  (void)job.resume();
  job.options().epochs = epochs;
  expect_same(job.resume(), want);
  EXPECT_EQ(job.said(), "resumed model.checkpoint 2 0\n");
}

std::string expect_refused(Job& job) {
  try {
    (void)job.resume();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "resumed: " << job.said();
  return "";
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(Checkpoint, WhatIsCutOrDamagedIsPassedOverForThePreviousOne) {
  Job job({.noise = parse_noise("mask:0.2")});
  job.options().checkpoint.every_steps = 4;
  const Job::Result want = job.unbroken();
  job.kill_at(3, 3);  // 17 steps: checkpoints of 12 and 16
  const std::string whole = content(job.path());
  const std::string before = content(previous_of(job.path()));
  ASSERT_NE(whole, before);
  const auto bad = [&](std::string bytes) {
    write(job.path(), bytes);
    write(previous_of(job.path()), before);
    expect_same(job.resume(), want);
    EXPECT_NE(job.said().find(job.path()), std::string::npos) << job.said();
    EXPECT_NE(job.said().find("resumed model.checkpoint.previous 1 5"), std::string::npos)
        << job.said();
  };
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{8}, std::size_t{100},
                                  whole.size() / 2, whole.size() - 1}) {
    bad(whole.substr(0, bytes));
  }
  for (const std::size_t at : {whole.size() / 3, whole.size() - 7}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    bad(damaged);
  }
  // Renamed for the next one, which was never written: the process was killed between the two.
  std::filesystem::remove(job.path());
  write(previous_of(job.path()), whole);
  expect_same(job.resume(), want);
  EXPECT_EQ(job.said(), "resumed model.checkpoint.previous 2 2\n");
}

TEST(Checkpoint, ADamagedOneNeverReplacesThePreviousOne) {
  Job job;
  job.options().checkpoint.every_steps = 4;
  const Job::Result want = job.unbroken();
  job.kill_at(3, 3);
  const std::string before = content(previous_of(job.path()));
  write(job.path(), "cut");
  job.kill_at(2, 7, true);  // 14 steps: resumed at 12, the next is due at 16
  EXPECT_EQ(content(previous_of(job.path())), before);
  job.kill_at(3, 3, true);  // 17
  EXPECT_EQ(content(previous_of(job.path())), before);
  expect_same(job.resume(), want);
}

TEST(Checkpoint, WhereNoneIsWholeTheReasonsAreTold) {
  Job job;
  job.options().checkpoint.every_steps = 4;
  job.kill_at(3, 3);
  write(job.path(), content(job.path()).substr(0, 50));
  write(previous_of(job.path()), "");
  const std::string text = expect_refused(job);
  EXPECT_NE(text.find(job.path() + ": "), std::string::npos) << text;
  EXPECT_NE(text.find(previous_of(job.path()) + ": "), std::string::npos) << text;
}

TEST(Checkpoint, OfAnotherTrainingIsRefusedWithWhatDiffers) {
  const auto refused = [](auto&& change, const char* says) {
    Job job;
    job.interrupt_at(2, 3);
    change(job.options());
    const std::string text = expect_refused(job);
    EXPECT_NE(text.find("of another training: its " + std::string(says)), std::string::npos)
        << text;
  };
  refused([](TrainingOptions& o) { o.batch = 16; }, "batch is 8, here it is 16");
  refused([](TrainingOptions& o) { o.seed = 9; }, "seed is 8, here it is 9");
  refused([](TrainingOptions& o) { o.learning_rate = 0.1; }, "learning rate is 0.001");
  refused([](TrainingOptions& o) { o.noise = parse_noise("mask:0.1"); }, "noise is none");
  refused([](TrainingOptions& o) { o.sparsity = Sparsity::parse("l1:1"); }, "sparsity is none");
  refused([](TrainingOptions& o) { o.optimiser = Optimiser::sgd; }, "optimiser is adam");
  refused([](TrainingOptions& o) { o.weight_decay = 0.5f; }, "weight decay is 0");
  refused([](TrainingOptions& o) { o.schedule = LearningRateSchedule::parse("cosine"); },
          "epochs is missing, here it is 4");
}

TEST(Checkpoint, OfOtherDataIsRefused) {
  Job job;
  job.interrupt_at(2, 3);
  Device device = device_under_test(2);
  Dataset data = easy_data(rows, 9, 2);
  std::get<1>(data.values)[100] += 0.001f;
  Autoencoder model = Autoencoder::initialise({.inputs = 9, .hidden = {4}},
                                              Scaler::fit(device, data, Scaling::unit), 5);
  TrainingOptions options = job.options();
  options.checkpoint.resume = true;
  try {
    (void)fit(device, model, data, options);
    ADD_FAILURE() << "resumed";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("of another training"), std::string::npos)
        << error.what();
  }
}

TEST(Checkpoint, AModelIsNone) {
  Job job;
  Autoencoder model = Autoencoder::initialise({.inputs = 9, .hidden = {4}}, {}, 1);
  model.scaler.offset.assign(9, 0.0f);
  model.scaler.factor.assign(9, 1.0f);
  model.save(job.path());
  const std::string text = expect_refused(job);
  EXPECT_NE(text.find("hourglass-autoencoder-1; expected \"hourglass-checkpoint-1\""),
            std::string::npos)
      << text;
}

TEST(Checkpoint, WhatCannotBeWrittenIsTold) {
  Job job;
  job.options().checkpoint.path = job.scratch().path("missing/model.checkpoint");
  job.options().checkpoint.every_epochs = 1;
  Device device = device_under_test(1);
  const Dataset data = easy_data(rows, 9, 2);
  Autoencoder model = Autoencoder::initialise({.inputs = 9, .hidden = {4}},
                                              Scaler::fit(device, data, Scaling::unit), 5);
  EXPECT_THROW((void)fit(device, model, data, job.options()), InputError);
}

}  // namespace
}  // namespace hourglass
