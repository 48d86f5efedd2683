// A whole training step as fit() makes it, recorded many at once: a shuffled batch of bytes
// gathered and scaled, forward, loss, penalty, backward, Adam. Counted are the products, two FLOPs
// a weight and row for each of forward, weights' gradient and (but for the first layer) input's
// gradient; the batch's bytes; and 28 bytes a parameter, Adam's. "simple" is the step of separate
// operations, each on all of the batch, which the others are held against.
#include "bench/fixture.hpp"
#include "host/train/training_steps.hpp"
#include "tests/oracle/simple_backend.hpp"

namespace hourglass::bench {
namespace {

constexpr std::int64_t most_rows = 60000;
constexpr std::int64_t batch = 256;

Cost step_cost(const AutoencoderSpec& spec, std::int64_t batch_rows) {
  double products = 0.0;
  for (std::size_t l = 0; l < spec.layers(); ++l) {
    const LayerOffsets layer = layer_offsets(spec)[l];
    products += (l == 0 ? 2.0 : 3.0) * static_cast<double>(layer.fan_in * layer.fan_out);
  }
  const auto parameters = static_cast<double>(spec.parameter_count());
  return {.bytes = static_cast<double>(batch_rows * spec.inputs) + 28.0 * parameters,
          .flops = 2.0 * static_cast<double>(batch_rows) * products,
          .rate = Rate::gemm};
}

void add(const Device& device, const AutoencoderSpec& spec, const char* penalty,
         std::int64_t batch_rows, bool simple = false) {
  const Sparsity sparsity = Sparsity::parse(penalty);
  const std::string regularised = !sparsity.any() ? "" : "/" + sparsity.name();
  device.add_whole(
      "train_step",
      fmt::format("{}{}/batch{}{}", spec.name(), regularised, batch_rows, simple ? "/simple" : ""),
      [=](Backend& fused, Timer& timer) {
        testing_support::SimpleBackend separate(fused);
        Backend& backend = simple ? separate : fused;
        const std::int64_t rows = most_rows / batch_rows * batch_rows;  // whole batches only
        Dataset data;
        data.name = "strokes";
        data.rows = rows;
        data.columns = spec.inputs;
        data.values = strokes(rows);
        const auto columns = static_cast<std::size_t>(spec.inputs);
        const Scaler scaler{Scaling::unit, std::vector<float>(columns, 0.0f),
                            std::vector<float>(columns, 1.0f / 255.0f)};
        const Autoencoder model = Autoencoder::initialise(spec, scaler, 1);
        TrainableNetwork network(backend, spec, model.parameters, batch_rows, batch_rows,
                                 {.sparsity = sparsity}, {});
        Batches batches(backend, scaler, data, batch_rows, Batches::Order::shuffled,
                        Batches::Residence::device);
        network.expect_zeros(batches.zero_row());
        TrainingSteps steps(backend, batches, network, TrainingSteps::least_steps);
        batches.begin(1, 0, 0);
        Cost cost = step_cost(spec, batch_rows);
        cost.steps = static_cast<int>(TrainingSteps::recorded_steps);
        timer.run(cost, [&] { steps.run(0, cost.steps); });
      });
}

const Registration train_step([](const Device& device) {
  add(device, {.hidden = {32}}, "none", batch, true);
  add(device, {.hidden = {32}}, "none", batch);
  add(device, {.hidden = {1024}}, "none", batch);
  add(device, {.hidden = {128, 64, 2}}, "none", batch);
  add(device, {.hidden = {256}, .code_activation = Activation::sigmoid}, "kl:0.05:0.004", batch);
  if (device.large()) add(device, {.hidden = {2048, 512}}, "none", 16384);
});

}  // namespace
}  // namespace hourglass::bench
