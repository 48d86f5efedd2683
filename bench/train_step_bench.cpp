// A whole training step as fit() makes it: a shuffled batch of bytes gathered and scaled, forward,
// loss, penalty, backward, Adam. Counted are the products, two FLOPs a weight and row for each of
// forward, weights' gradient and (but for the first layer) input's gradient; the batch's bytes; and
// 28 bytes a parameter, Adam's. "simple" is the step of separate operations, each on all of the
// batch, which the others are held against.
#include "bench/fixture.hpp"
#include "host/train/network.hpp"
#include "tests/oracle/simple_backend.hpp"

namespace hourglass::bench {
namespace {

constexpr std::int64_t rows = 60000;
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
        const Buffer<std::uint8_t> images(backend, strokes(rows));
        const FeatureView data{images.data(), true, rows, spec.inputs};
        std::vector<std::int32_t> order(rows);
        for (std::int64_t i = 0; i < rows; ++i)  // coprime to the number of rows: every row once
          order[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i * 25717 % rows);
        const Buffer<std::int32_t> index(backend, std::span<const std::int32_t>(order));
        Buffer<float> offset(backend, spec.inputs);
        offset.zero();
        const Buffer<float> factor(
            backend, std::vector<float>(static_cast<std::size_t>(spec.inputs), 1.0f / 255.0f));
        Buffer<double> figures(backend, 2);
        figures.zero();
        const Autoencoder model = Autoencoder::initialise(spec, {}, 1);
        TrainableNetwork network(backend, spec, model.parameters, batch_rows, batch_rows,
                                 {.sparsity = sparsity}, {});
        std::int64_t first = 0;
        timer.run(step_cost(spec, batch_rows), [&] {
          const Range range(backend, "step");
          backend.gather_rows(data, index.data() + first, 0, std::as_const(offset).span(),
                              factor.span(), network.inputs(batch_rows));
          network.differentiate(batch_rows, figures.data(), figures.data() + 1);
          network.update();
          first = first + 2 * batch_rows <= rows ? first + batch_rows : 0;
        });
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
