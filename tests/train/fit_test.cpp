// Training: against the same training in float64, that it learns, repeats, and ends well when it
// cannot go on.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "host/train/permutation.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/rows.hpp"
#include "hourglass/training.hpp"
#include "kernels/cpu/backend.hpp"
#include "tests/data/scratch.hpp"
#include "tests/oracle/simple_backend.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::corrupted;
using testing_support::device_under_test;
using testing_support::easy_data;
using testing_support::oracle_differentiate;
using testing_support::random_bytes;
using testing_support::random_floats;

Autoencoder model_for(Device& device, const Dataset& data, std::vector<std::int64_t> hidden,
                      Scaling scaling = Scaling::unit) {
  AutoencoderSpec spec;
  spec.inputs = data.columns;
  spec.hidden = std::move(hidden);
  spec.activation = Activation::tanh;
  spec.code_activation = Activation::sigmoid;
  return Autoencoder::initialise(spec, Scaler::fit(device, data, scaling), 4);
}

struct Reference {
  std::vector<double> parameters;
  std::vector<double> reconstruction;  // an epoch each, row-weighted
  std::vector<double> penalty;
};

/// The training that semantics describe, straight from the formulas.
Reference train_in_float64(const Autoencoder& model, const oracle::Matrix64& x,
                           const TrainingOptions& options) {
  Reference reference;
  std::vector<double>& p = reference.parameters;
  p.assign(model.parameters.begin(), model.parameters.end());
  std::vector<double> m(p.size()), v(p.size());
  const auto b1 = static_cast<double>(options.adam.beta1);
  const auto b2 = static_cast<double>(options.adam.beta2);
  const auto weights = static_cast<std::size_t>(model.spec.weight_count());
  const Objective objective = Objective::of(options, model.scaler.scaling);
  int t = 0;
  for (int epoch = 0; epoch < options.epochs; ++epoch) {
    Shuffle shuffle(x.rows);
    shuffle.permute(options.seed, static_cast<std::uint32_t>(epoch));
    double reconstruction = 0.0, penalty = 0.0;
    double rate = options.learning_rate;
    if (options.schedule.kind == LearningRateSchedule::Kind::step) {
      rate *= std::pow(options.schedule.factor, epoch / options.schedule.every);
    }
    for (std::int64_t first = 0; first < x.rows; first += options.batch) {
      const std::int64_t rows = std::min(options.batch, x.rows - first);
      oracle::Matrix64 batch(rows, x.columns);
      for (std::int64_t b = 0; b < rows; ++b) {
        for (std::int64_t j = 0; j < x.columns; ++j) {
          batch(b, j) = x(shuffle.order()[static_cast<std::size_t>(first + b)], j);
        }
      }
      const auto e =
          oracle_differentiate(model.spec, p, corrupted(batch, objective, t), batch, objective);
      reconstruction += e.reconstruction * static_cast<double>(rows);
      penalty += e.penalty * static_cast<double>(rows);
      std::vector<double> g = e.gradient;
      double squares = 0.0;
      for (const double value : g)
        squares += value * value;
      const auto limit = static_cast<double>(options.clip_norm);
      if (limit > 0.0 && std::sqrt(squares) > limit) {
        for (double& value : g)
          value *= limit / std::sqrt(squares);
      }
      ++t;
      const double step = rate * std::sqrt(1.0 - std::pow(b2, t)) / (1.0 - std::pow(b1, t));
      for (std::size_t i = 0; i < g.size(); ++i) {
        if (options.optimiser == Optimiser::sgd) {
          m[i] = static_cast<double>(options.momentum) * m[i] + g[i];
          p[i] -= rate * m[i];
          continue;
        }
        if (options.optimiser == Optimiser::adamw && i < weights) {
          p[i] -= rate * static_cast<double>(options.weight_decay) * p[i];
        }
        m[i] = b1 * m[i] + (1.0 - b1) * g[i];
        v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
        p[i] -= step * m[i] / (std::sqrt(v[i]) + static_cast<double>(options.adam.epsilon));
      }
    }
    reference.reconstruction.push_back(reconstruction / static_cast<double>(x.rows));
    reference.penalty.push_back(penalty / static_cast<double>(x.rows));
  }
  return reference;
}

void compare_with_float64(std::int64_t rows, TrainingOptions options, bool tied = false) {
  Device device = device_under_test(2);
  const Dataset data = random_bytes(rows, 10, 1);
  const std::vector<std::int64_t> hidden =
      options.contractive != 0.0f ? std::vector<std::int64_t>{6} : std::vector<std::int64_t>{6, 3};
  Autoencoder model = model_for(device, data, hidden);
  model.spec.tied = tied;
  model = Autoencoder::initialise(model.spec, model.scaler, 4);
  options.epochs = 3;
  options.seed = 17;
  oracle::Matrix64 x(rows, 10, std::get<0>(data.values));
  for (double& value : x.values)
    value /= 255.0;
  const Reference want = train_in_float64(model, x, options);
  const History history = fit(device, model, data, options);
  ASSERT_EQ(history.epochs.size(), 3u);
  EXPECT_EQ(history.best_epoch, 3);
  for (std::size_t e = 0; e < 3; ++e) {
    EXPECT_NEAR(history.epochs[e].reconstruction, want.reconstruction[e], 1e-5);
    EXPECT_NEAR(history.epochs[e].penalty, want.penalty[e], 1e-5 * (1.0 + want.penalty[e]));
    EXPECT_DOUBLE_EQ(history.epochs[e].loss,
                     history.epochs[e].reconstruction + history.epochs[e].penalty);
    EXPECT_TRUE(std::isnan(history.epochs[e].validation_loss));
  }
  for (std::size_t i = 0; i < want.parameters.size(); ++i) {
    ASSERT_NEAR(model.parameters[i], want.parameters[i], 2e-4) << "parameter " << i;
  }
}

void compare_with_float64(std::int64_t rows, std::int64_t batch, const char* sparsity) {
  SCOPED_TRACE(std::to_string(rows) + " rows, batch " + std::to_string(batch) + ", " + sparsity);
  compare_with_float64(
      rows, {.batch = batch, .learning_rate = 0.01, .sparsity = Sparsity::parse(sparsity)});
}

TEST(Fit, EveryOptimiserEqualsItselfInFloat64) {
  const TrainingOptions base{.batch = 8, .learning_rate = 0.01};
  const auto with = [&](auto&& change) {
    TrainingOptions options = base;
    change(options);
    return options;
  };
  compare_with_float64(21, with([](TrainingOptions& o) { o.weight_decay = 0.05f; }));
  compare_with_float64(21, with([](TrainingOptions& o) {
                         o.optimiser = Optimiser::adamw;
                         o.weight_decay = 0.5f;
                       }));
  compare_with_float64(21, with([](TrainingOptions& o) {
                         o.optimiser = Optimiser::sgd;
                         o.learning_rate = 0.5;
                       }));
  compare_with_float64(21, with([](TrainingOptions& o) {
                         o.optimiser = Optimiser::sgd;
                         o.learning_rate = 0.5;
                         o.momentum = 0.0f;
                         o.weight_decay = 0.05f;
                         o.clip_norm = 0.02f;
                       }));
  compare_with_float64(21, with([](TrainingOptions& o) { o.clip_norm = 0.02f; }));
  compare_with_float64(21, with([](TrainingOptions& o) {
                         o.optimiser = Optimiser::sgd;
                         o.learning_rate = 0.5;
                         o.schedule = LearningRateSchedule::parse("step:1:0.5");
                       }));
}

TEST(Fit, NoiseContractionAndTiedWeightsEqualThemselvesInFloat64) {
  const TrainingOptions base{.batch = 8, .learning_rate = 0.01};
  for (const char* noise : {"mask:0.3", "gaussian:0.5"}) {
    TrainingOptions options = base;
    options.noise = parse_noise(noise);
    compare_with_float64(21, options);
    compare_with_float64(21, options, true);
  }
  TrainingOptions options = base;
  options.contractive = 0.1f;
  compare_with_float64(21, options);
  compare_with_float64(21, options, true);
  options.sparsity = Sparsity::parse("l1:0.01,kl:0.1:0.05");
  options.weight_decay = 0.01f;
  compare_with_float64(21, options);
}

TEST(Fit, EqualsTheSameTrainingInFloat64) {
  compare_with_float64(64, 16, "none");
  compare_with_float64(21, 8, "none");   // 8 + 8 + 5
  compare_with_float64(33, 32, "none");  // a last batch of one row
  compare_with_float64(21, 8, "l1:0.01");
  compare_with_float64(21, 8, "l1sum:0.001");
  compare_with_float64(21, 8, "kl:0.1:0.05");
  compare_with_float64(5, 100, "none");  // batch larger than the data
  compare_with_float64(1, 256, "none");
  compare_with_float64(7, 1, "l1:0.01");
}

TEST(Fit, LearnsWhatTwoUnitsCanSay) {
  Device device = device_under_test(1);
  const Dataset data = easy_data(500, 12, 3);
  for (const Loss loss : {Loss::bce, Loss::mse}) {
    AutoencoderSpec spec;
    spec.inputs = 12;
    spec.hidden = {8, 2};
    spec.code_activation = Activation::linear;
    spec.loss = loss;
    Autoencoder model = Autoencoder::initialise(spec, Scaler::fit(device, data, Scaling::unit), 1);
    TrainingOptions options;
    options.epochs = 40;
    options.batch = 32;
    options.learning_rate = 0.01;
    const double before = model.squared_error(device, data);
    const History history = fit(device, model, data, options);
    const double after = model.squared_error(device, data);
    EXPECT_LT(after, 0.02 * before) << name_of(loss);
    EXPECT_LT(history.epochs.back().loss, history.epochs.front().loss);
  }
}

TEST(Fit, SameSeedSameBits) {
  const Dataset data = random_bytes(300, 20, 2);
  const Dataset validation = random_bytes(77, 20, 5);
  const auto train = [&](std::uint64_t seed, int threads) {
    Device device = device_under_test(threads);
    Autoencoder model = model_for(device, data, {9}, Scaling::standard);
    TrainingOptions options;
    options.epochs = 2;
    options.batch = 64;
    options.seed = seed;
    const History history = fit(device, model, data, options, validation);
    model.parameters.push_back(static_cast<float>(history.epochs.back().loss));
    model.parameters.push_back(static_cast<float>(history.epochs.back().validation_loss));
    return model.parameters;
  };
  EXPECT_EQ(train(1, 1), train(1, 1));
  EXPECT_EQ(train(1, 2), train(1, 2));
  EXPECT_NE(train(1, 1), train(2, 1));
}

TEST(Fit, ValidationUsesTheWeightsAfterTheEpoch) {
  Device device = device_under_test(2);
  const Dataset data = random_bytes(100, 15, 2);
  // More rows than a block of validation, and not a multiple of it.
  const Dataset validation = random_bytes(9001, 15, 6);
  Autoencoder model = model_for(device, data, {5});
  TrainingOptions options;
  options.epochs = 2;
  options.batch = 32;
  options.sparsity = Sparsity::parse("l1:0.1");
  const History history = fit(device, model, data, options, validation);
  const EpochFigures& last = history.epochs.back();
  EXPECT_NEAR(last.validation_reconstruction, model.reconstruction_loss(device, validation), 1e-9);
  const Matrix codes = model.encode(device, validation);
  double sum = 0.0;
  for (const float h : codes.values)
    sum += std::fabs(static_cast<double>(h));
  const double penalty = static_cast<double>(0.1f) * sum / 9001.0;
  EXPECT_NEAR(last.validation_loss - last.validation_reconstruction, penalty, 1e-6 * penalty);
}

TEST(Fit, L1SumOnValidationIsThatOfABatchOfTraining) {
  Device device = device_under_test(1);
  const Dataset data = random_bytes(64, 15, 2);
  Autoencoder model = model_for(device, data, {5});
  TrainingOptions options;
  options.epochs = 1;
  options.batch = 32;
  options.sparsity = Sparsity::parse("l1sum:0.001");
  const History history = fit(device, model, data, options, data);
  const Matrix codes = model.encode(device, data);
  double sum = 0.0;
  for (const float h : codes.values)
    sum += std::fabs(static_cast<double>(h));
  const EpochFigures& last = history.epochs.back();
  const double penalty = static_cast<double>(0.001f) * 32.0 * sum / 64.0;
  EXPECT_NEAR(last.validation_loss - last.validation_reconstruction, penalty, 1e-6 * penalty);
}

TEST(Fit, ReportsEveryEpochAndStopsWhenTold) {
  Device device = device_under_test(1);
  const Dataset data = random_bytes(100, 15, 2);
  Autoencoder model = model_for(device, data, {5});
  const auto before = model.parameters;
  TrainingOptions options;
  options.epochs = 5;
  options.batch = 32;
  std::vector<int> finished;
  options.progress = [&](const TrainingProgress& progress) {
    EXPECT_EQ(progress.epochs, 5);
    EXPECT_EQ(progress.steps, 4);  // 32 + 32 + 32 + 4
    if (progress.finished != nullptr) {
      finished.push_back(progress.epoch);
      EXPECT_EQ(progress.step, 4);
      EXPECT_TRUE(std::isfinite(progress.finished->loss));
    }
    return progress.epoch < 3;
  };
  EXPECT_THROW(fit(device, model, data, options), Interrupted);
  EXPECT_EQ(finished, (std::vector<int>{1, 2, 3}));
  // What was done is in the model: as much as three whole epochs do.
  EXPECT_NE(model.parameters, before);
  Autoencoder three = model_for(device, data, {5});
  options.epochs = 3;
  options.progress = nullptr;
  fit(device, three, data, options);
  EXPECT_EQ(model.parameters, three.parameters);
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(Fit, PrecisionIsRefusedWhereTheDeviceHasNone) {
  Device device = Device::open("cpu", 1);
  const Dataset data = random_floats(40, 6, 1);
  Autoencoder model = model_for(device, data, {3}, Scaling::none);
  TrainingOptions options;
  options.precision = Precision::tf32;
  EXPECT_THROW(fit(device, model, data, options), UsageError);
  const std::string message = message_of([&] { fit(device, model, data, options); });
  EXPECT_NE(message.find("precision tf32"), std::string::npos) << message;
  EXPECT_NE(message.find("expected float32"), std::string::npos) << message;
  EXPECT_EQ(parse_precision("tf32"), Precision::tf32);
  EXPECT_EQ(parse_precision(name_of(Precision::float32)), Precision::float32);
  EXPECT_THROW((void)parse_precision("fp16"), UsageError);
}

TEST(Fit, NotANumberInTheDataIsRefusedWithItsPlace) {
  Device device = device_under_test(1);
  const Dataset good = random_floats(40, 6, 1);
  Autoencoder model = model_for(device, good, {3}, Scaling::none);
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Dataset bad = good;
    std::get<1>(bad.values)[13 * 6 + 4] = wrong;
    EXPECT_THROW(fit(device, model, bad, {}), InputError);
    const std::string message = message_of([&] { fit(device, model, bad, {}); });
    EXPECT_NE(message.find("row 13, column 4"), std::string::npos) << message;
    EXPECT_THROW(fit(device, model, good, {}, bad), InputError);
    EXPECT_THROW((void)model.encode(device, bad), InputError);
    EXPECT_THROW((void)Scaler::fit(device, bad, Scaling::standard), InputError);
  }
}

TEST(Fit, DivergenceNamesEpochStepAndLayer) {
  Device device = device_under_test(1);
  const Dataset data = random_floats(40, 6, 1);
  AutoencoderSpec spec;
  spec.inputs = 6;
  spec.hidden = {4, 3};
  spec.activation = spec.code_activation = Activation::linear;
  spec.output_activation = Activation::linear;
  spec.loss = Loss::mse;
  Autoencoder model = Autoencoder::initialise(spec, Scaler::fit(device, data, Scaling::unit), 1);
  const auto before = model.parameters;
  TrainingOptions options;
  options.batch = 10;
  options.learning_rate = 1e10;
  EXPECT_THROW(fit(device, model, data, options), NumericsError);
  EXPECT_EQ(model.parameters, before);
  // Weights of 1e10 in four layers: the products pass 3e38 in the last one, in the step after the
  // first.
  const std::string message = message_of([&] { fit(device, model, data, options); });
  EXPECT_NE(message.find("epoch 1, step 2"), std::string::npos) << message;
  EXPECT_NE(message.find("output"), std::string::npos) << message;
  EXPECT_NE(message.find("decoder.1"), std::string::npos) << message;

  // A parameter that is no number from the start shows in the first step, with its layer.
  Autoencoder broken = Autoencoder::initialise(spec, model.scaler, 1);
  broken.parameters[static_cast<std::size_t>(layer_offsets(spec)[2].bias)] =
      std::numeric_limits<float>::quiet_NaN();
  options.learning_rate = 1e-3;
  const std::string first = message_of([&] { fit(device, broken, data, options); });
  EXPECT_NE(first.find("epoch 1, step 1"), std::string::npos) << first;
  EXPECT_NE(first.find("decoder.0"), std::string::npos) << first;
}

TEST(Fit, WarnsOnceOfTargetsThatASigmoidCannotReach) {
  Device device = device_under_test(1);
  const Dataset data = random_bytes(50, 8, 1);
  const auto warnings = [&](Scaling scaling, Loss loss, Activation output) {
    AutoencoderSpec spec;
    spec.inputs = 8;
    spec.hidden = {3};
    spec.loss = loss;
    spec.output_activation = output;
    Autoencoder model = Autoencoder::initialise(spec, Scaler::fit(device, data, scaling), 1);
    TrainingOptions options;
    options.epochs = 2;
    std::vector<std::string> lines;
    options.warn = [&](const std::string& line) { lines.push_back(line); };
    fit(device, model, data, options);
    return lines;
  };
  EXPECT_TRUE(warnings(Scaling::unit, Loss::bce, Activation::sigmoid).empty());
  EXPECT_TRUE(warnings(Scaling::standard, Loss::mse, Activation::linear).empty());
  const auto standard = warnings(Scaling::standard, Loss::bce, Activation::sigmoid);
  ASSERT_EQ(standard.size(), 1u);
  EXPECT_NE(standard[0].find("cross-entropy"), std::string::npos) << standard[0];
  EXPECT_EQ(standard[0].find('\n'), std::string::npos);
  const auto squared = warnings(Scaling::standard, Loss::mse, Activation::sigmoid);
  ASSERT_EQ(squared.size(), 1u);
  EXPECT_NE(squared[0].find("linear output"), std::string::npos) << squared[0];
  EXPECT_EQ(warnings(Scaling::none, Loss::bce, Activation::sigmoid).size(), 1u);
}

/// With so little memory that the rows stay in their file.
TEST(Fit, RowsInAFileGiveTheSameBitsWhollyLoadedAndStreamed) {
  Device device = device_under_test(2);
  const testing::Scratch scratch;
  Matrix values(3001, 40);  // 47 steps of 64 rows, the last of 57
  for (std::size_t i = 0; i < values.values.size(); ++i)
    values.values[i] = static_cast<float>((i * 7919) % 1000) / 999.0f;
  const std::string path = scratch.path("rows.npy");
  save_matrix(path, values);
  const Dataset data = load_dataset(path);
  const RowFile file = RowFile::open(path);
  TrainingOptions options;
  options.epochs = 3;
  options.batch = 64;
  options.learning_rate = 0.01;
  options.noise = parse_noise("gaussian:0.3");
  struct Trained {
    std::vector<float> parameters;
    std::vector<double> losses;
    bool operator==(const Trained&) const = default;
  };
  for (const Scaling scaling : {Scaling::unit, Scaling::standard}) {
    const auto train = [&](const RowSource& rows) {
      const RowSource held_out = rows.slice(2900, 101);
      const RowSource first = rows.slice(0, 2900);
      AutoencoderSpec spec;
      spec.inputs = rows.columns();
      spec.hidden = {5};
      Autoencoder model = Autoencoder::initialise(spec, Scaler::fit(device, first, scaling), 4);
      Trained trained;
      for (const EpochFigures& epoch : fit(device, model, first, options, held_out).epochs) {
        trained.losses.push_back(epoch.loss);
        trained.losses.push_back(epoch.validation_loss);
      }
      trained.parameters = model.parameters;
      return trained;
    };
    options.memory_bytes = 0;
    const Trained want = train(data);
    EXPECT_EQ(train(file), want);
    AutoencoderSpec spec;
    spec.inputs = 40;
    spec.hidden = {5};
    const RowSource first = RowSource(file).slice(0, 2900);
    const DataShape held_out = RowSource(file).slice(2900, 101);
    options.memory_bytes =
        training_memory(device.info(), spec, first, options, held_out).total_bytes() - 1;
    EXPECT_TRUE(training_streams(device.info(), spec, first, options, held_out));
    EXPECT_EQ(train(file), want);
  }
  options.memory_bytes = 1000;
  EXPECT_THROW(
      (void)training_memory(device.info(), {.inputs = 40, .hidden = {5}}, RowSource(file), options),
      UsageError);
}

TEST(Fit, CallsBackAfterEachStepAndEpoch) {
  Device device = device_under_test(1);
  const Dataset data = easy_data(20, 6, 1);
  Autoencoder model = model_for(device, data, {3});
  TrainingOptions options;
  options.epochs = 2;
  options.batch = 8;
  std::vector<std::pair<int, std::int64_t>> steps;
  std::vector<std::vector<float>> models;
  options.step_end = [&](int epoch, std::int64_t step) {
    steps.emplace_back(epoch, step);
    return true;
  };
  options.epoch_end = [&](int epoch, const EpochFigures& figures, const Autoencoder& now) {
    EXPECT_EQ(epoch, static_cast<int>(models.size()) + 1);
    EXPECT_GT(figures.loss, 0.0);
    models.push_back(now.parameters);
  };
  fit(device, model, data, options);
  EXPECT_EQ(steps, (std::vector<std::pair<int, std::int64_t>>{
                       {1, 1}, {1, 2}, {1, 3}, {2, 1}, {2, 2}, {2, 3}}));
  ASSERT_EQ(models.size(), 2u);
  EXPECT_NE(models[0], models[1]);
  EXPECT_EQ(models[1], model.parameters);
}

TEST(Fit, EarlyStoppingKeepsTheBestEpoch) {
  Device device = device_under_test(1);
  const Dataset data = easy_data(40, 6, 1);
  const Dataset validation = easy_data(20, 6, 2);
  Autoencoder model = model_for(device, data, {3});
  TrainingOptions options;
  options.epochs = 200;
  options.batch = 8;
  options.learning_rate = 3.0;  // it soon gets worse
  options.patience = 3;
  std::vector<std::vector<float>> models;
  options.epoch_end = [&](int, const EpochFigures&, const Autoencoder& now) {
    models.push_back(now.parameters);
  };
  const History history = fit(device, model, data, options, validation);
  EXPECT_TRUE(history.stopped_early);
  ASSERT_LT(history.epochs.size(), 200u);
  ASSERT_EQ(static_cast<int>(history.epochs.size()), history.best_epoch + 3);
  for (const EpochFigures& epoch : history.epochs) {
    EXPECT_GE(epoch.validation_loss,
              history.epochs[static_cast<std::size_t>(history.best_epoch) - 1].validation_loss);
  }
  EXPECT_EQ(model.parameters, models[static_cast<std::size_t>(history.best_epoch) - 1]);
  EXPECT_THROW(fit(device, model, data, options), UsageError);
}

TEST(Fit, DataThatDoesNotFitIsRefused) {
  Device device = device_under_test(1);
  const Dataset data = random_floats(10, 6, 1);
  Autoencoder model = model_for(device, data, {3});
  EXPECT_THROW(fit(device, model, random_floats(10, 7, 1), {}), InputError);
  EXPECT_THROW(fit(device, model, random_floats(0, 6, 1), {}), InputError);
  const Dataset other = random_floats(10, 5, 1);
  EXPECT_THROW(fit(device, model, data, {}, other), InputError);
  EXPECT_THROW(fit(device, model, random_floats(10, 6, 1, 0.0f, 2.0f), {}), InputError);
  model.parameters.pop_back();
  EXPECT_THROW(fit(device, model, data, {}), UsageError);
}

/// Images of which a fifth of the pixels is not 0.
Dataset sparse_images(std::int64_t rows, std::int64_t columns) {
  Dataset data = random_bytes(rows, columns, 3);
  auto& values = std::get<std::vector<std::uint8_t>>(data.values);
  const Dataset chosen = random_bytes(rows, columns, 4);
  const auto& choice = std::get<std::vector<std::uint8_t>>(chosen.values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (choice[i] >= 51) values[i] = 0;
  }
  return data;
}

TEST(Fit, FusedOperationsEndWithTheLossesOfSeparateOnes) {
  const Dataset data = sparse_images(700, 200);  // the last batch of an epoch is smaller
  for (const int threads : {1, 2}) {
    for (const Scaling scaling : {Scaling::unit, Scaling::standard}) {
      for (const std::vector<std::int64_t>& hidden :
           {std::vector<std::int64_t>{32}, {48, 16, 2}, {272}}) {
        const auto train = [&](std::unique_ptr<Backend> backend) {
          Device device = Device::over(std::move(backend), "cpu");
          Autoencoder model = model_for(device, data, hidden, scaling);
          TrainingOptions options;
          options.epochs = 4;
          options.batch = 128;
          return fit(device, model, data, options);
        };
        const History fused = train(std::make_unique<cpu::CpuBackend>(threads));
        const History separate = train(std::make_unique<testing_support::SimpleBackend>(
            std::make_unique<cpu::CpuBackend>(threads)));
        ASSERT_EQ(fused.epochs.size(), 4u);
        bool equal = true;
        for (std::size_t e = 0; e < fused.epochs.size(); ++e) {
          const double want = separate.epochs[e].loss;
          EXPECT_NEAR(fused.epochs[e].loss, want, 2e-6 * std::max(1.0, std::abs(want)))
              << threads << " threads, " << name_of(scaling) << ", " << hidden.front();
          equal = equal && fused.epochs[e].loss == want;
        }
        // Sums in another order: were every bit the same, the fused ones would not have run. Wide
        // codes take the separate ones, and leaving out zeros of unit scaling changes no sum.
        EXPECT_TRUE(!equal || hidden.front() > 256) << hidden.front();
      }
    }
  }
}

}  // namespace
}  // namespace hourglass
