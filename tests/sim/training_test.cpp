// What training asks of the CUDA runtime: nothing within an epoch but launches, and few of these.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/train/training_steps.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"
#include "hourglass/training.hpp"
#include "kernels/cuda/backend.hpp"
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/sim/machine.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::random_bytes;

AutoencoderSpec small_spec(std::vector<std::int64_t> hidden = {8}) {
  AutoencoderSpec spec;
  spec.inputs = 20;
  spec.hidden = std::move(hidden);
  return spec;
}

constexpr std::int64_t batch = 8;

struct Trained {
  std::vector<float> parameters;
  std::vector<double> losses;
  sim::Calls calls;
};

/// On so many whole batches and, where wanted, a part of one.
Trained train(std::int64_t batches, TrainingOptions options, std::int64_t more_rows = 0,
              const AutoencoderSpec& spec = small_spec()) {
  Device device = Device::over(std::make_unique<cuda::CudaBackend>(0), "cuda:0");
  const Dataset data = random_bytes(batches * batch + more_rows, 20, 7);
  const Scaler scaler = Scaler::fit(device, data, Scaling::unit);
  Autoencoder model = Autoencoder::initialise(spec, scaler, 3);
  options.batch = batch;
  sim::machine().calls = {};
  const History history = fit(device, model, data, options);
  Trained trained{model.parameters, {}, sim::machine().calls};
  for (const EpochFigures& epoch : history.epochs)
    trained.losses.push_back(epoch.loss);
  return trained;
}

/// What is no part of a step: the shuffle's keys, four passes of a sort of five kernels each, and
/// the runs of equal keys; and once a training the row of what zeros are scaled to.
constexpr int other_kernels = 22 + 1;

TEST(Training, AStepIsTenLaunches) {
  // gather_batch, product, bias_activation, product, loss, two products,
  // bias_activation_backward, product, adam.
  const Trained one = train(1, {.epochs = 1});
  EXPECT_EQ(one.calls.executed, other_kernels + 10);
  const Trained five = train(5, {.epochs = 1});
  EXPECT_EQ(five.calls.executed, other_kernels + 5 * 10);
  const Trained deep = train(1, {.epochs = 1}, 0, small_spec({8, 4}));
  EXPECT_EQ(deep.calls.executed, other_kernels + 10 + 2 * 5);
}

TEST(Training, NothingButLaunchesHappensWithinAnEpoch) {
  for (const Optimiser optimiser : {Optimiser::adam, Optimiser::sgd}) {
    TrainingOptions options;
    options.epochs = 3;
    options.optimiser = optimiser;
    options.noise = parse_noise("mask:0.2");
    options.sparsity = Sparsity::parse("l1:1e-3");
    options.clip_norm = 1.0f;
    const sim::Calls few = train(10, options).calls;
    const sim::Calls many = train(45, options).calls;
    EXPECT_GT(few.downloads, 0);
    EXPECT_EQ(many.allocations, few.allocations);
    EXPECT_EQ(many.uploads, few.uploads);
    EXPECT_EQ(many.downloads, few.downloads);
    EXPECT_EQ(many.synchronisations, few.synchronisations);
    // One step by its own calls; of the rest of an epoch, 16 at once, and one by one what is left:
    // 9 and then 10 twice, or 44 = 2 x 16 + 12 and then 45 = 2 x 16 + 13 twice.
    EXPECT_EQ(many.launches, few.launches);
    EXPECT_EQ(few.graph_launches, 9 + 10 + 10);
    EXPECT_EQ(few.graphs_made, 1);
    EXPECT_EQ(many.graph_launches, (2 + 12) + (2 + 13) + (2 + 13));
    EXPECT_EQ(many.graphs_made, 2);
    const int step = (many.executed - few.executed) / (3 * 35);
    EXPECT_EQ(many.executed - few.executed, 3 * 35 * step);
    EXPECT_EQ(few.captured, step);
    EXPECT_EQ(many.captured, step * (TrainingSteps::recorded_steps + 1));
    // Those of a plain step, one of l1_penalty, one of corrupt, one of gradient_norm.
    EXPECT_EQ(step, 10 + 1 + 1 + 1);
  }
}

TEST(Training, IsTheSameInEveryBitHoweverManyStepsRunAtOnce) {
  TrainingOptions options;
  options.epochs = 4;
  const Trained at_once = train(35, options, 5);  // 144 steps: enough for sequences of 16
  EXPECT_EQ(at_once.calls.graphs_made, 2);

  options.step_end = [](int, std::int64_t) { return true; };
  const Trained one_by_one = train(35, options, 5);
  EXPECT_EQ(one_by_one.calls.graphs_made, 1);
  EXPECT_EQ(one_by_one.parameters, at_once.parameters);
  EXPECT_EQ(one_by_one.losses, at_once.losses);

  options.step_end = nullptr;
  int calls = 0;
  options.progress = [&](const TrainingProgress&) {
    ++calls;
    return true;
  };
  const Trained watched = train(35, options, 5);
  EXPECT_GE(calls, 4);
  EXPECT_EQ(watched.parameters, at_once.parameters);
  EXPECT_EQ(watched.losses, at_once.losses);
}

TEST(Training, WithoutASequenceIsTheSameInEveryBit) {
  TrainingOptions options;
  options.epochs = 4;
  const Trained recorded = train(35, options, 5);

  // By hand, from plain calls and an order made by definition.
  Device device = Device::over(std::make_unique<cuda::CudaBackend>(0), "cuda:0");
  Backend& backend = device.backend();
  const Dataset data = random_bytes(35 * batch + 5, 20, 7);
  const Scaler scaler = Scaler::fit(device, data, Scaling::unit);
  const Autoencoder model = Autoencoder::initialise(small_spec(), scaler, 3);
  TrainableNetwork network(backend, model.spec, model.parameters, batch, batch,
                           Objective::of(options, Scaling::unit), UpdateRule::of(options));
  const RowSource rows(data);
  const DeviceScaler device_scaler(backend, scaler, rows);
  FeatureBuffer buffer(backend, rows, data.rows);
  const FeatureView source = buffer.load(rows, 0, data.rows);
  Buffer<std::int32_t> order(backend, data.rows);
  Buffer<double> figures(backend, 2);
  network.set_learning_rate(options.learning_rate);
  for (int epoch = 0; epoch < options.epochs; ++epoch) {
    order.upload(oracle::shuffle_rows(options.seed, static_cast<std::uint32_t>(epoch), data.rows));
    double loss = 0.0;
    for (std::int64_t first = 0; first < data.rows; first += batch) {
      const std::int64_t count = std::min(batch, data.rows - first);
      device_scaler.gather(backend, source, order.data() + first, 0, network.inputs(count));
      figures.zero();
      network.differentiate(count, figures.data(), figures.data() + 1);
      network.update();
      loss += figures.download()[0];
    }
    EXPECT_EQ(recorded.losses[static_cast<std::size_t>(epoch)],
              loss / static_cast<double>(data.rows));
  }
  EXPECT_EQ(network.parameters().download(), recorded.parameters);
}

TEST(Training, TakesTf32ForItsStepsAlone) {
  TrainingOptions options;
  options.epochs = 4;
  const Trained exact = train(35, options, 5);
  options.precision = Precision::tf32;
  const Trained rounded = train(35, options, 5);
  EXPECT_NE(rounded.parameters, exact.parameters);
  for (std::size_t epoch = 0; epoch < exact.losses.size(); ++epoch) {
    EXPECT_NEAR(rounded.losses[epoch], exact.losses[epoch], 1e-3 * exact.losses[epoch]);
    EXPECT_NE(rounded.losses[epoch], exact.losses[epoch]);
  }
  // Recorded or not, the products are the same.
  options.step_end = [](int, std::int64_t) { return true; };
  EXPECT_EQ(train(35, options, 5).parameters, rounded.parameters);
}

TEST(Training, FindsTheStepThatWentWrongWithinASequence) {
  Device device = Device::over(std::make_unique<cuda::CudaBackend>(0), "cuda:0");
  Dataset data;
  data.name = "rows";
  data.rows = 40 * batch;
  data.columns = 20;
  std::vector<float> values = parity::Random(1).uniforms(data.rows * data.columns);
  data.values = values;
  TrainingOptions options;
  options.epochs = 4;
  options.batch = batch;
  AutoencoderSpec spec = small_spec();
  spec.loss = Loss::mse;
  spec.output_activation = Activation::linear;
  const Scaler scaler = Scaler::fit(device, data, Scaling::none);
  Autoencoder model = Autoencoder::initialise(spec, scaler, 3);
  // A row that the first epoch visits in its step 22, the sixth of the second sequence.
  const std::int32_t row = oracle::shuffle_rows(options.seed, 0, data.rows)[21 * batch + 3];
  values[static_cast<std::size_t>(row) * 20] = 1e30f;  // its square is beyond float32
  data.values = values;
  try {
    fit(device, model, data, options);
    ADD_FAILURE() << "an infinite loss went unnoticed";
  } catch (const NumericsError& error) {
    EXPECT_NE(std::string(error.what()).find("epoch 1, step 22: the loss is inf"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace hourglass
