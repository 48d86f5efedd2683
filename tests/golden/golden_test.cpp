// Whole trainings against fixtures that PyTorch and scikit-learn made in float64, from the same
// weights, rows and noise: README.md says what is in them, make_fixtures.py how they came about.
//
// A tensor's error is the norm of the difference over the norm.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "host/data/safetensors.hpp"
#include "host/train/network.hpp"
#include "host/train/permutation.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/scaler.hpp"
#include "hourglass/training.hpp"
#include "kernels/buffer.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::device_under_test;

/// Where the fixtures are; the variable tells it to a program that was carried to another machine.
std::filesystem::path find_fixtures() {
  const char* elsewhere = std::getenv("HOURGLASS_GOLDEN_DIRECTORY");
  return elsewhere != nullptr ? elsewhere : HOURGLASS_GOLDEN_DIRECTORY;
}

const std::filesystem::path folder = find_fixtures();

constexpr const char* trainings[] = {"undercomplete",
                                     "deep",
                                     "bce_clip",
                                     "bce_unclipped",
                                     "mse_linear",
                                     "mse_sigmoid",
                                     "explicit_decoder",
                                     "tied",
                                     "sparse_l1",
                                     "sparse_l1sum",
                                     "sparse_kl",
                                     "l1_and_kl",
                                     "contractive",
                                     "contractive_tanh",
                                     "contractive_gelu",
                                     "denoising_gaussian",
                                     "denoising_gaussian_standard",
                                     "denoising_mask",
                                     "weight_decay",
                                     "adamw",
                                     "sgd_momentum",
                                     "clipped_gradient",
                                     "selu",
                                     "leaky_relu",
                                     "bytes",
                                     "combined"};
constexpr const char* noisy_trainings[] = {"denoising_gaussian", "denoising_gaussian_standard",
                                           "denoising_mask", "combined"};
constexpr const char* data_sets[] = {"data_unit", "data_table", "data_bytes"};

TensorFile load(const std::string& name) {
  return load_safetensors((folder / (name + ".safetensors")).string());
}

const NamedTensor& tensor(const TensorFile& file, const std::string& name) {
  const NamedTensor* found = file.find(name);
  if (found == nullptr) throw std::runtime_error("the fixture has no tensor " + name);
  return *found;
}

nlohmann::json metadata(const TensorFile& file, const std::string& name) {
  return nlohmann::json::parse(file.metadata.at(name));
}

TrainingOptions options_from(const nlohmann::json& json) {
  TrainingOptions options;
  options.batch = json.at("batch").get<std::int64_t>();
  options.seed = json.at("seed").get<std::uint64_t>();
  options.learning_rate = json.at("learning_rate").get<double>();
  options.optimiser = parse_optimiser(json.at("optimiser").get<std::string>());
  options.adam.beta1 = json.at("beta1").get<float>();
  options.adam.beta2 = json.at("beta2").get<float>();
  options.adam.epsilon = json.at("epsilon").get<float>();
  options.momentum = json.at("momentum").get<float>();
  options.weight_decay = json.at("weight_decay").get<float>();
  options.clip_norm = json.at("clip_norm").get<float>();
  options.sparsity.l1 = json.at("l1").get<float>();
  options.sparsity.l1_sum = json.at("l1_sum").get<float>();
  options.sparsity.kl = json.at("kl").get<float>();
  options.sparsity.rho = json.at("rho").get<float>();
  options.contractive = json.at("contractive").get<float>();
  const auto noise = json.at("noise").get<std::string>();
  if (noise != "none") {
    options.noise.kind = noise == "mask" ? Noise::Kind::mask : Noise::Kind::gaussian;
    options.noise.amount = json.at("noise_amount").get<float>();
  }
  return options;
}

struct GoldenData {
  Dataset dataset;
  Scaling scaling = Scaling::none;
  std::vector<float> scaled;  ///< what `dataset` becomes
};

GoldenData load_data(const std::string& name) {
  const TensorFile file = load(name);
  const NamedTensor& values = tensor(file, "values");
  GoldenData data;
  data.dataset.name = name;
  data.dataset.rows = values.shape.at(0);
  data.dataset.columns = values.shape.at(1);
  if (file.metadata.at("type") == "uint8") {
    std::vector<std::uint8_t> bytes;
    for (const float value : values.values)
      bytes.push_back(static_cast<std::uint8_t>(value));
    data.dataset.values = std::move(bytes);
  } else {
    data.dataset.values = values.values;
  }
  data.scaling = parse_scaling(file.metadata.at("scaling"));
  data.scaled = tensor(file, "scaled").values;
  return data;
}

struct Golden {
  explicit Golden(const std::string& name)
      : file(load(name)),
        spec(AutoencoderSpec::from_json(file.metadata.at("spec"), name)),
        options(options_from(metadata(file, "options"))),
        data(load_data(file.metadata.at("data"))) {}

  [[nodiscard]] Autoencoder initial_model(Device& device) const {
    return Autoencoder::initialise(spec, Scaler::fit(device, data.dataset, data.scaling),
                                   options.seed);
  }

  TensorFile file;
  AutoencoderSpec spec;
  TrainingOptions options;
  GoldenData data;
};

/// The parameters that there are, by their names in a model file. Shared weights are named once.
std::map<std::string, std::span<const float>> named(const AutoencoderSpec& spec,
                                                    std::span<const float> flat) {
  std::map<std::string, std::span<const float>> tensors;
  const auto layers = layer_offsets(spec);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const LayerOffsets& at = layers[l];
    const std::string name = layer_name(spec, l);
    if (!at.transposed) {
      tensors[name + ".weight"] = flat.subspan(static_cast<std::size_t>(at.weights),
                                               static_cast<std::size_t>(at.fan_in * at.fan_out));
    }
    tensors[name + ".bias"] =
        flat.subspan(static_cast<std::size_t>(at.bias), static_cast<std::size_t>(at.fan_out));
  }
  return tensors;
}

double relative_error(std::span<const float> got, std::span<const float> want) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const auto g = static_cast<double>(got[i]), w = static_cast<double>(want[i]);
    difference += (g - w) * (g - w);
    size += w * w;
  }
  if (size > 0.0) return std::sqrt(difference / size);
  return difference > 0.0 ? std::numeric_limits<double>::infinity() : difference;
}

/// Every parameter's error against the fixture's "<stage>.<name>". The worst is returned and, for
/// whoever asks with --gtest_output, recorded.
double expect_parameters(const Golden& golden, const std::string& stage,
                         std::span<const float> flat, double tolerance) {
  const auto got = named(golden.spec, flat);
  std::size_t in_file = 0;
  for (const NamedTensor& t : golden.file.tensors)
    in_file += t.name.starts_with(stage + ".") ? 1 : 0;
  EXPECT_EQ(got.size(), in_file);
  double worst = 0.0;
  for (const auto& [name, values] : got) {
    const NamedTensor& want = tensor(golden.file, stage + "." + name);
    EXPECT_EQ(values.size(), want.values.size()) << stage << " " << name;
    if (values.size() != want.values.size()) continue;
    const double error = relative_error(values, want.values);
    EXPECT_LE(error, tolerance) << stage << " " << name;
    worst = std::max(worst, error);
  }
  return worst;
}

/// The batches of a training, and steps on them, as fit() makes them.
class Stepper {
 public:
  Stepper(Device& device, const Golden& golden, const Autoencoder& model,
          const TrainingOptions& options)
      : device_(device),
        scaled_(model.scaler.transform(device, golden.data.dataset)),
        shuffle_(scaled_.rows),
        batch_(options.batch),
        seed_(options.seed),
        steps_((scaled_.rows + batch_ - 1) / batch_),
        network_(device.backend(), model.spec, model.parameters, batch_, batch_,
                 Objective::of(options, golden.data.scaling), UpdateRule::of(options)),
        figures_(device.backend(), 2) {
    network_.set_learning_rate(options.learning_rate);
  }

  /// Forward and backward of the next batch.
  void differentiate() {
    const std::int64_t at = steps_done_ % steps_;
    if (at == 0) shuffle_.permute(seed_, static_cast<std::uint32_t>(steps_done_ / steps_));
    const std::int64_t rows = std::min(batch_, scaled_.rows - at * batch_);
    std::vector<float> batch;
    for (std::int64_t b = 0; b < rows; ++b) {
      const auto row = scaled_.row(shuffle_.order()[static_cast<std::size_t>(at * batch_ + b)]);
      batch.insert(batch.end(), row.begin(), row.end());
    }
    device_.backend().upload(network_.inputs(rows).data, batch.data(),
                             batch.size() * sizeof(float));
    figures_.zero();
    network_.differentiate(rows, figures_.data(), figures_.data() + 1);
    rows_ = rows;
  }

  void step() {
    differentiate();
    network_.update();
    ++steps_done_;
  }

  void step_to(std::int64_t steps) {
    while (steps_done_ < steps)
      step();
  }

  /// Of the last batch, means over its rows.
  [[nodiscard]] double reconstruction() { return figure(0); }
  [[nodiscard]] double penalty() { return figure(1); }
  [[nodiscard]] TrainableNetwork& network() { return network_; }

 private:
  [[nodiscard]] double figure(std::size_t which) {
    return figures_.download()[which] / static_cast<double>(rows_);
  }

  Device& device_;
  Matrix scaled_;
  Shuffle shuffle_;
  std::int64_t batch_;
  std::uint64_t seed_;
  std::int64_t steps_;
  TrainableNetwork network_;
  Buffer<double> figures_;
  std::int64_t steps_done_ = 0;
  std::int64_t rows_ = 0;
};

/// NaN fails.
void expect_close(double got, double want, double absolute = 0.0) {
  EXPECT_LE(std::fabs(got - want), 1e-6 * std::fabs(want) + absolute)
      << got << " where " << want << " is expected";
}

TEST(Golden, EveryFixtureIsTested) {
  std::set<std::string> there, tested;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") there.insert(entry.path().stem().string());
  }
  tested.insert(std::begin(trainings), std::end(trainings));
  tested.insert(std::begin(data_sets), std::end(data_sets));
  EXPECT_EQ(there, tested);
}

class GoldenDataSet : public testing::TestWithParam<std::tuple<const char*, int>> {};

TEST_P(GoldenDataSet, IsScaledAsScikitLearnDoes) {
  const auto [name, threads] = GetParam();
  const GoldenData data = load_data(name);
  Device device = device_under_test(threads);
  const Scaler scaler = Scaler::fit(device, data.dataset, data.scaling);
  const Matrix scaled = scaler.transform(device, data.dataset);
  ASSERT_EQ(scaled.values.size(), data.scaled.size());
  for (std::size_t i = 0; i < data.scaled.size(); ++i) {
    EXPECT_NEAR(scaled.values[i], data.scaled[i], 1e-6 * (1.0 + std::fabs(data.scaled[i]))) << i;
  }
}

class GoldenStart : public testing::TestWithParam<const char*> {};

TEST_P(GoldenStart, WeightsAreTheSameBits) {
  const Golden golden(GetParam());
  const Autoencoder model = Autoencoder::initialise(golden.spec, {}, golden.options.seed);
  const auto got = named(golden.spec, model.parameters);
  for (const auto& [name, values] : got) {
    const NamedTensor& want = tensor(golden.file, "initial." + name);
    EXPECT_EQ(std::vector<float>(values.begin(), values.end()), want.values) << name;
  }
  expect_parameters(golden, "initial", model.parameters, 0.0);
}

TEST_P(GoldenStart, RowsComeInTheSameOrder) {
  const Golden golden(GetParam());
  const NamedTensor& permutations = tensor(golden.file, "permutations");
  const std::int64_t rows = permutations.shape.at(1);
  ASSERT_EQ(rows, golden.data.dataset.rows);
  Shuffle shuffle(rows);
  for (std::int64_t epoch = 0; epoch < permutations.shape.at(0); ++epoch) {
    shuffle.permute(golden.options.seed, static_cast<std::uint32_t>(epoch));
    const auto want = permutations.values.begin() + epoch * rows;
    EXPECT_TRUE(std::equal(shuffle.order().begin(), shuffle.order().end(), want, want + rows,
                           [](std::int32_t a, float b) { return static_cast<float>(a) == b; }))
        << "epoch " << epoch;
  }
}

class GoldenTraining : public testing::TestWithParam<std::tuple<const char*, int>> {
 protected:
  [[nodiscard]] static Golden golden() { return Golden(std::get<0>(GetParam())); }
  [[nodiscard]] static Device device() { return device_under_test(std::get<1>(GetParam())); }
};

class GoldenNoise : public GoldenTraining {};

TEST_P(GoldenNoise, CorruptsTheSameRowsAlike) {
  const Golden g = golden();
  const bool exact = g.options.noise.kind == Noise::Kind::mask;
  Device d = device();
  Backend& backend = d.backend();
  const Objective objective = Objective::of(g.options, g.data.scaling);
  const std::int64_t columns = g.data.dataset.columns;
  const std::int64_t rows = g.data.dataset.rows;
  const std::int64_t steps = (rows + g.options.batch - 1) / g.options.batch;
  Shuffle shuffle(rows);
  for (std::int64_t step = 0; step < 4; ++step) {
    SCOPED_TRACE(testing::Message() << "step " << step);
    const std::int64_t first = step % steps * g.options.batch;
    shuffle.permute(g.options.seed, static_cast<std::uint32_t>(step / steps));
    const NamedTensor& want = tensor(g.file, "noisy." + std::to_string(step));
    const std::int64_t count = std::min(g.options.batch, rows - first);
    ASSERT_EQ(want.shape, (std::vector<std::int64_t>{count, columns}));
    std::vector<float> values;
    for (std::int64_t b = 0; b < count; ++b) {
      const auto row =
          g.data.scaled.begin() + shuffle.order()[static_cast<std::size_t>(first + b)] * columns;
      values.insert(values.end(), row, row + columns);
    }
    const Buffer<float> clean(backend, std::span<const float>(values));
    Buffer<float> noisy(backend, count * columns);
    Buffer<std::int64_t> steps_done(backend, 1);
    steps_done.upload({&step, 1});
    backend.corrupt({clean.data(), count, columns}, objective.noise, objective.noise_range,
                    objective.seed, steps_done.data(), noisy.matrix(count, columns));
    const std::vector<float> got = noisy.download();
    EXPECT_NE(got, values);
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (exact) {
        EXPECT_EQ(got[i], want.values[i]) << i;
      } else {
        EXPECT_NEAR(got[i], want.values[i], 1e-6 * (1.0 + std::fabs(want.values[i]))) << i;
      }
    }
  }
}

TEST_P(GoldenTraining, FirstBatchHasTheSameLossPenaltiesAndGradient) {
  const Golden g = golden();
  const nlohmann::json want = metadata(g.file, "first_batch");
  Device d = device();
  const Autoencoder model = g.initial_model(d);
  Stepper stepper(d, g, model, g.options);
  stepper.differentiate();
  expect_close(stepper.reconstruction(), want.at("reconstruction").get<double>());

  // Each penalty alone, then all.
  const std::map<std::string, void (*)(TrainingOptions&, const TrainingOptions&)> only{
      {"l1", [](auto& to, auto& from) { to.sparsity.l1 = from.sparsity.l1; }},
      {"l1_sum", [](auto& to, auto& from) { to.sparsity.l1_sum = from.sparsity.l1_sum; }},
      {"kl",
       [](auto& to, auto& from) {
         to.sparsity.kl = from.sparsity.kl;
         to.sparsity.rho = from.sparsity.rho;
       }},
      {"contractive", [](auto& to, auto& from) { to.contractive = from.contractive; }},
      {"l2", [](auto& to, auto& from) { to.weight_decay = from.weight_decay; }}};
  double sum = 0.0;
  for (const auto& [name, value] : want.at("penalties").items()) {
    SCOPED_TRACE(name);
    TrainingOptions options = g.options;
    options.sparsity = {};
    options.contractive = 0.0f;
    options.weight_decay = 0.0f;
    only.at(name)(options, g.options);
    Stepper alone(d, g, model, options);
    alone.differentiate();
    expect_close(alone.penalty(), value.get<double>());
    sum += value.get<double>();
  }
  expect_close(stepper.penalty(), sum);

  const double error =
      expect_parameters(g, "gradient", stepper.network().gradients().download(), 1e-5);
  RecordProperty("gradient_error", testing::PrintToString(error));
  if (g.options.clip_norm > 0.0f) {
    stepper.network().update();
    expect_close(stepper.network().download().optimiser.gradient_norm,
                 want.at("gradient_norm").get<double>());
  }
}

TEST_P(GoldenTraining, ParametersMoveAlike) {
  const Golden g = golden();
  Device d = device();
  const Autoencoder model = g.initial_model(d);
  Stepper stepper(d, g, model, g.options);
  // After 100 steps PyTorch's own float32 run differs by this much, from which another order of
  // sums may well depart by a few times as much.
  const double drift = metadata(g.file, "float32_drift").at("100").get<double>();
  for (const auto& [steps, tolerance] :
       {std::pair{1, 1e-5}, std::pair{10, 1e-5}, std::pair{100, 10.0 * drift}}) {
    stepper.step_to(steps);
    const double error = expect_parameters(g, "step" + std::to_string(steps),
                                           stepper.network().parameters().download(), tolerance);
    RecordProperty("error_after_" + std::to_string(steps), testing::PrintToString(error));
  }
}

TEST_P(GoldenTraining, EpochsShowTheSameFigures) {
  const Golden g = golden();
  Device d = device();
  const Autoencoder initial = g.initial_model(d);
  const NamedTensor& reconstruction = tensor(g.file, "epochs.reconstruction");
  const NamedTensor& penalty = tensor(g.file, "epochs.penalty");
  TrainingOptions options = g.options;
  options.epochs = static_cast<int>(reconstruction.values.size());
  Autoencoder model = initial;
  const History history = fit(d, model, g.data.dataset, options);
  ASSERT_EQ(history.epochs.size(), reconstruction.values.size());
  const bool penalised = Objective::of(options, g.data.scaling).has_penalty();
  for (std::size_t e = 0; e < history.epochs.size(); ++e) {
    SCOPED_TRACE(testing::Message() << "epoch " << e + 1);
    const EpochFigures& got = history.epochs[e];
    // Figures that pass through 0, as the loss on standardised targets and KL do, are small
    // differences of float32 numbers of some tenths.
    constexpr double rounding = 2e-7;
    expect_close(got.reconstruction, static_cast<double>(reconstruction.values[e]), rounding);
    expect_close(got.penalty, static_cast<double>(penalty.values[e]), penalised ? rounding : 0.0);
    EXPECT_DOUBLE_EQ(got.loss, got.reconstruction + got.penalty);
  }

  // fit() takes the same steps as the test above.
  Stepper stepper(d, g, initial, g.options);
  const std::int64_t steps =
      (g.data.dataset.rows + options.batch - 1) / options.batch * options.epochs;
  stepper.step_to(steps);
  EXPECT_EQ(model.parameters, stepper.network().parameters().download());
}

std::string name_of_case(const testing::TestParamInfo<std::tuple<const char*, int>>& info) {
  return std::string(std::get<0>(info.param)) + "_" + std::to_string(std::get<1>(info.param)) +
         (std::get<1>(info.param) == 1 ? "_thread" : "_threads");
}

const auto thread_counts = testing::Values(1, 2);

INSTANTIATE_TEST_SUITE_P(Golden, GoldenDataSet,
                         testing::Combine(testing::ValuesIn(data_sets), thread_counts),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Golden, GoldenStart, testing::ValuesIn(trainings),
                         [](const auto& info) { return std::string(info.param); });
INSTANTIATE_TEST_SUITE_P(Golden, GoldenNoise,
                         testing::Combine(testing::ValuesIn(noisy_trainings), thread_counts),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Golden, GoldenTraining,
                         testing::Combine(testing::ValuesIn(trainings), thread_counts),
                         name_of_case);

}  // namespace
}  // namespace hourglass
