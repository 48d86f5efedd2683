// The description of a model and its options: names, shapes, what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "host/train/schedule.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"
#include "hourglass/training.hpp"

namespace hourglass {
namespace {

template <class Call>
std::string usage_error(Call&& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(Spec, NamesReadBackAsThemselves) {
  for (const char* name :
       {"relu", "leaky_relu", "elu", "selu", "gelu", "tanh", "sigmoid", "linear"}) {
    EXPECT_EQ(name_of(parse_activation(name)), name);
  }
  for (const char* name : {"bce", "mse"})
    EXPECT_EQ(name_of(parse_loss(name)), name);
  for (const char* name : {"none", "unit", "standard"}) {
    EXPECT_EQ(name_of(parse_scaling(name)), name);
  }
}

TEST(Spec, UnknownNamesAreRefusedWithTheKnownOnes) {
  const std::string activation = usage_error([] { (void)parse_activation("Relu"); });
  EXPECT_NE(activation.find("'Relu'"), std::string::npos) << activation;
  EXPECT_NE(activation.find("leaky_relu"), std::string::npos) << activation;
  EXPECT_NE(usage_error([] { (void)parse_loss(""); }).find("bce or mse"), std::string::npos);
  EXPECT_NE(usage_error([] { (void)parse_scaling("minmax"); }).find("standard"), std::string::npos);
}

TEST(Spec, DecoderMirrorsTheEncoder) {
  AutoencoderSpec spec;
  spec.hidden = {128, 64, 2};
  EXPECT_EQ(spec.widths(), (std::vector<std::int64_t>{784, 128, 64, 2, 64, 128, 784}));
  EXPECT_EQ(spec.name(), "784-128-64-2-64-128-784");
  EXPECT_EQ(spec.layers(), 6u);
  EXPECT_EQ(spec.code_layer(), 2u);
  // 784*128+128 + 128*64+64 + 64*2+2 + 2*64+64 + 64*128+128 + 128*784+784
  EXPECT_EQ(spec.parameter_count(), 218514);
  spec.hidden = {32};
  EXPECT_EQ(spec.name(), "784-32-784");
  EXPECT_EQ(spec.parameter_count(), 50992);
}

TEST(Spec, ActivationsByLayer) {
  AutoencoderSpec spec;
  spec.hidden = {8, 3};
  spec.activation = Activation::tanh;
  spec.code_activation = Activation::sigmoid;
  EXPECT_EQ(spec.activation_of(0), Activation::tanh);
  EXPECT_EQ(spec.activation_of(1), Activation::sigmoid);
  EXPECT_EQ(spec.activation_of(2), Activation::tanh);
  EXPECT_EQ(spec.activation_of(3), Activation::linear);
}

TEST(Spec, LayersFillTheFlatBufferWithoutGaps) {
  AutoencoderSpec spec;
  spec.inputs = 5;
  spec.hidden = {4, 3};
  const auto check = [&] {
    std::int64_t next = 0;
    for (const LayerOffsets& layer : layer_offsets(spec)) {
      if (layer.transposed) continue;
      EXPECT_EQ(layer.weights, next);
      next += layer.fan_in * layer.fan_out;
    }
    EXPECT_EQ(next, spec.weight_count());
    for (const LayerOffsets& layer : layer_offsets(spec)) {
      EXPECT_EQ(layer.bias, next);
      next += layer.fan_out;
    }
    EXPECT_EQ(next, spec.parameter_count());
  };
  check();
  EXPECT_EQ(spec.weight_count(), 2 * (5 * 4 + 4 * 3));
  spec.decoder = {7};
  check();
  EXPECT_EQ(spec.weight_count(), 5 * 4 + 4 * 3 + 3 * 7 + 7 * 5);
  spec.decoder.reset();
  spec.tied = true;
  check();
  EXPECT_EQ(spec.weight_count(), 5 * 4 + 4 * 3);
  const auto layers = layer_offsets(spec);
  EXPECT_EQ(layers[2].weights, layers[1].weights);
  EXPECT_EQ(layers[3].weights, layers[0].weights);
  EXPECT_TRUE(layers[2].transposed && layers[3].transposed);
  EXPECT_FALSE(layers[0].transposed || layers[1].transposed);
}

TEST(Spec, DecodersOfTheirOwn) {
  AutoencoderSpec spec;
  spec.hidden = {128, 2};
  spec.decoder = {10, 20, 30};
  EXPECT_EQ(spec.widths(), (std::vector<std::int64_t>{784, 128, 2, 10, 20, 30, 784}));
  EXPECT_EQ(spec.layers(), 6u);
  EXPECT_EQ(spec.name(), "784-128-2-10-20-30-784");
  spec.validate();
  spec.decoder.emplace();
  EXPECT_EQ(spec.widths(), (std::vector<std::int64_t>{784, 128, 2, 784}));
  EXPECT_EQ(spec.layers(), 3u);
  spec.validate();
}

TEST(Spec, ImpossibleSpecsAreRefused) {
  const auto refused = [](auto&& change) {
    AutoencoderSpec spec;
    change(spec);
    EXPECT_THROW(spec.validate(), UsageError);
  };
  AutoencoderSpec().validate();
  refused([](AutoencoderSpec& s) { s.hidden.clear(); });
  refused([](AutoencoderSpec& s) { s.hidden = {32, 0}; });
  refused([](AutoencoderSpec& s) { s.hidden = {-1}; });
  refused([](AutoencoderSpec& s) { s.inputs = 0; });
  refused([](AutoencoderSpec& s) { s.hidden = {std::int64_t{1} << 40}; });
  refused([](AutoencoderSpec& s) { s.hidden = {2147483647, 2147483647}; });
  refused([](AutoencoderSpec& s) { s.decoder = {3, 0}; });
  refused([](AutoencoderSpec& s) { s.decoder = {std::int64_t{1} << 40}; });
  refused([](AutoencoderSpec& s) {
    s.decoder = {5};
    s.tied = true;
  });
  refused([](AutoencoderSpec& s) { s.bce_clip = 0.5f; });
  refused([](AutoencoderSpec& s) { s.bce_clip = -1e-7f; });
  refused([](AutoencoderSpec& s) { s.bce_clip = 1e-9f; });
  refused([](AutoencoderSpec& s) { s.bce_clip = std::numeric_limits<float>::quiet_NaN(); });
  refused([](AutoencoderSpec& s) { s.output_activation = Activation::linear; });
  refused([](AutoencoderSpec& s) {
    s.loss = Loss::mse;
    s.output_activation = Activation::relu;
  });
  AutoencoderSpec linear;
  linear.loss = Loss::mse;
  linear.output_activation = Activation::linear;
  linear.validate();
}

TEST(Spec, JsonRoundTrip) {
  AutoencoderSpec spec;
  spec.inputs = 30;
  spec.hidden = {20, 7};
  spec.activation = Activation::gelu;
  spec.code_activation = Activation::sigmoid;
  spec.output_activation = Activation::linear;
  spec.loss = Loss::mse;
  spec.bce_clip = 1e-5f;
  EXPECT_EQ(AutoencoderSpec::from_json(spec.to_json(), "test"), spec);
  spec.tied = true;
  EXPECT_EQ(AutoencoderSpec::from_json(spec.to_json(2), "test"), spec);
  spec.tied = false;
  spec.decoder = {4, 9, 2};
  EXPECT_EQ(AutoencoderSpec::from_json(spec.to_json(), "test"), spec);
  spec.decoder.emplace();
  EXPECT_EQ(AutoencoderSpec::from_json(spec.to_json(), "test"), spec);
}

TEST(Spec, JsonHasTheDefaultsThatItsDocumentationNames) {
  const AutoencoderSpec empty = AutoencoderSpec::from_json("{}", "spec.json");
  AutoencoderSpec defaults;
  defaults.inputs = 0;
  EXPECT_EQ(empty, defaults);
  const AutoencoderSpec some =
      AutoencoderSpec::from_json(R"({"hidden": [9, 2], "tied": true, "decoder": null})", "s");
  EXPECT_EQ(some.hidden, (std::vector<std::int64_t>{9, 2}));
  EXPECT_TRUE(some.tied);
  EXPECT_FALSE(some.decoder.has_value());
}

TEST(Spec, BadJsonNamesTheFileAndTheKey) {
  const auto message = [](const std::string& json) -> std::string {
    try {
      (void)AutoencoderSpec::from_json(json, "spec.json");
    } catch (const InputError& error) {
      return error.what();
    }
    return "(no error)";
  };
  struct Bad {
    const char* json;
    const char* says;
  };
  for (const Bad& bad : std::initializer_list<Bad>{
           {"{", "not JSON"},
           {"[]", "array; expected a JSON object"},
           {R"({"input": 784})", "unknown key \"input\""},
           {R"({"inputs": "many"})", "key \"inputs\" is \"many\"; expected a whole number"},
           {R"({"inputs": 7.5})", "key \"inputs\" is 7.5"},
           {R"({"inputs": 18446744073709551615})", "key \"inputs\""},
           {R"({"inputs": -1})", "key \"inputs\" is -1; expected 1 or more"},
           {R"({"inputs": 3000000000})", "inputs 3000000000"},
           {R"({"hidden": []})", "hidden: expected one width or more"},
           {R"({"hidden": 32})", "key \"hidden\" is 32; expected a list"},
           {R"({"hidden": [32, 1.5]})", "key \"hidden\" is [32,1.5]"},
           {R"({"hidden": [32, 0]})", "hidden: width 0 of layer 2"},
           {R"({"decoder": "mirror"})", "key \"decoder\""},
           {R"({"decoder": [5], "tied": true})", "tied: a decoder of hidden widths 5"},
           {R"({"tied": 1})", "key \"tied\" is 1; expected true or false"},
           {R"({"activation": "Relu"})", "key \"activation\" is \"Relu\"; expected relu, "},
           {R"({"code_activation": null})", "key \"code_activation\" is null"},
           {R"({"loss": "hinge"})", "key \"loss\" is \"hinge\"; expected bce or mse"},
           {R"({"output_activation": "linear"})", "loss bce needs sigmoid"},
           {R"({"bce_clip": "small"})", "key \"bce_clip\""},
           {R"({"bce_clip": 0.7})", "bce clip 0.7"}}) {
    const std::string text = message(bad.json);
    EXPECT_EQ(text.find("spec.json: "), 0u) << text;
    EXPECT_NE(text.find(bad.says), std::string::npos) << bad.json << ": " << text;
  }
}

TEST(SparsityOption, Parses) {
  const Sparsity l1 = Sparsity::parse("l1:1e-4");
  EXPECT_FLOAT_EQ(l1.l1, 1e-4f);
  EXPECT_FLOAT_EQ(Sparsity::parse("l1sum:0.5").l1_sum, 0.5f);
  const Sparsity kl = Sparsity::parse("kl:0.05:0.004");
  EXPECT_FLOAT_EQ(kl.rho, 0.05f);
  EXPECT_FLOAT_EQ(kl.kl, 0.004f);
  const Sparsity all = Sparsity::parse("kl:0.1:0.2,l1sum:3,l1:4");
  EXPECT_EQ(all, (Sparsity{4.0f, 3.0f, 0.2f, 0.1f}));
  EXPECT_EQ(all.name(), "l1:4,l1sum:3,kl:0.1:0.2");
  EXPECT_EQ(Sparsity::parse("none"), Sparsity{});
  EXPECT_FALSE(Sparsity::parse("l1:0").any());
  EXPECT_EQ(Sparsity::parse("kl:0.1:0").name(), "none");
  for (const char* text : {"none", "l1:0.0001", "l1sum:0.5", "kl:0.05:0.004", "l1:1,kl:0.5:2"}) {
    EXPECT_EQ(Sparsity::parse(text).name(), text);
    EXPECT_EQ(Sparsity::parse(Sparsity::parse(text).name()), Sparsity::parse(text)) << text;
  }
}

TEST(SparsityOption, SaysWhichPartIsWrong) {
  struct Bad {
    const char* text;
    const char* says;
  };
  for (const Bad& bad : std::initializer_list<Bad>{{"l1", "expected l1:LAMBDA"},
                                                   {"l1:", "LAMBDA is ''"},
                                                   {"l1:x", "LAMBDA is 'x'"},
                                                   {"l1:1:2", "expected l1:LAMBDA"},
                                                   {"l1:-1", "the weight is -1"},
                                                   {"l1:nan", "the weight is nan"},
                                                   {"l1:1,l1:2", "l1 is there twice"},
                                                   {"l1:1,", "expected none, or"},
                                                   {"none,l1:1", "expected none, or"},
                                                   {"kl:0.05", "expected kl:RHO:BETA"},
                                                   {"kl:0:1", "rho is 0"},
                                                   {"kl:1:1", "rho is 1"},
                                                   {"kl:0.5:inf", "the weight is inf"},
                                                   {"l2:1", "expected none, or"}}) {
    const std::string text = usage_error([&] { (void)Sparsity::parse(bad.text); });
    EXPECT_NE(text.find(bad.says), std::string::npos) << bad.text << ": " << text;
  }
}

TEST(SparsityOption, KlNeedsCodesThatStayInsideTheUnitInterval) {
  TrainingOptions options;
  options.sparsity = Sparsity::parse("kl:0.05:0.1");
  AutoencoderSpec spec;
  const std::string text = usage_error([&] { options.validate(spec); });
  EXPECT_NE(text.find("relu codes can leave (0, 1)"), std::string::npos) << text;
  EXPECT_NE(text.find("use code activation sigmoid"), std::string::npos) << text;
  options.force = true;
  options.validate(spec);
  options.force = false;
  spec.code_activation = Activation::sigmoid;
  options.validate(spec);
}

TEST(NoiseOption, ParsesAndSaysWhatIsWrong) {
  EXPECT_EQ(parse_noise("none"), Noise{});
  EXPECT_EQ(parse_noise("gaussian:0.5"), (Noise{Noise::Kind::gaussian, 0.5f}));
  EXPECT_EQ(parse_noise("mask:0.3"), (Noise{Noise::Kind::mask, 0.3f}));
  for (const char* text : {"none", "gaussian:0.5", "mask:0.3"})
    EXPECT_EQ(name_of(parse_noise(text)), text);
  for (const char* text : {"", "gauss:1", "gaussian", "gaussian:", "gaussian:-1", "gaussian:inf",
                           "mask:1.5", "mask:-0.1", "mask:nan", "mask:0.1:2", "none:1"}) {
    EXPECT_NE(usage_error([&] { (void)parse_noise(text); }).find("noise '"), std::string::npos)
        << text;
  }
}

TEST(ScheduleOption, ParsesAndSaysWhatIsWrong) {
  for (const char* text :
       {"constant", "cosine", "cosine:0.1", "step:3:0.5", "plateau:2:0.1", "plateau:2:0.1:0.01"}) {
    EXPECT_EQ(LearningRateSchedule::parse(text).name(), text);
  }
  for (const char* text :
       {"", "linear", "constant:1", "cosine:2", "cosine:-0.1", "cosine:0.1:2", "step", "step:3",
        "step:0:0.5", "step:2:1", "step:2:0", "step:2.5:0.5", "plateau:1:nan", "plateau:1"}) {
    EXPECT_NE(usage_error([&] {
                (void)LearningRateSchedule::parse(text);
              }).find("learning rate schedule '"),
              std::string::npos)
        << text;
  }
}

TEST(Schedule, OfEachKind) {
  TrainingOptions options;
  options.epochs = 4;
  options.learning_rate = 0.2;
  const auto rates = [&](std::vector<double> losses) {
    std::vector<EpochFigures> epochs;
    std::vector<double> result{next_learning_rate(options, epochs)};
    for (const double loss : losses) {
      EpochFigures figures;
      figures.loss = 100.0 - loss;  // is not looked at where there is a validation loss
      figures.validation_loss = loss;
      epochs.push_back(figures);
      result.push_back(next_learning_rate(options, epochs));
    }
    return result;
  };
  const auto expect = [](const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], want[i], 1e-15) << i;
  };
  expect(rates({1, 1, 1}), {0.2, 0.2, 0.2, 0.2});
  options.schedule = LearningRateSchedule::parse("cosine:0.5");
  expect(rates({1, 1, 1, 1}),
         {0.2, 0.1 + 0.05 * (1 + std::sqrt(0.5)), 0.15, 0.1 + 0.05 * (1 - std::sqrt(0.5)), 0.1});
  options.schedule = LearningRateSchedule::parse("step:2:0.1");
  expect(rates({1, 1, 1, 1}), {0.2, 0.2, 0.02, 0.02, 0.002});
  options.schedule = LearningRateSchedule::parse("plateau:2:0.5:0.3");
  expect(rates({5, 4, 4, 6, 3, 3, 3, 3}), {0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.06, 0.06});
}

TEST(Schedule, OfPlateausOfTheTrainingLossWithoutValidation) {
  TrainingOptions options;
  options.learning_rate = 1.0;
  options.schedule = LearningRateSchedule::parse("plateau:1:0.5");
  std::vector<EpochFigures> epochs(2);
  epochs[0].loss = 2.0;
  epochs[1].loss = 1.0;
  EXPECT_EQ(next_learning_rate(options, epochs), 1.0);
  epochs[1].loss = 2.0;
  EXPECT_EQ(next_learning_rate(options, epochs), 0.5);
}

TEST(Schedule, StopsAfterPatienceAndKnowsTheBest) {
  TrainingOptions options;
  options.patience = 2;
  options.min_improvement = 0.5;
  std::vector<EpochFigures> epochs;
  const auto add = [&](double loss) {
    epochs.emplace_back().validation_loss = loss;
    return stops_early(options, epochs);
  };
  EXPECT_EQ(best_epoch(epochs, 0.5), 0);
  EXPECT_FALSE(add(4.0));
  EXPECT_EQ(best_epoch(epochs, 0.5), 1);
  EXPECT_FALSE(add(3.0));
  EXPECT_EQ(best_epoch(epochs, 0.5), 2);
  EXPECT_FALSE(add(2.6));  // lower, but not by more than 0.5
  EXPECT_EQ(best_epoch(epochs, 0.5), 2);
  EXPECT_FALSE(add(2.4));
  EXPECT_EQ(best_epoch(epochs, 0.5), 4);
  EXPECT_FALSE(add(5.0));
  EXPECT_TRUE(add(2.4));
  EXPECT_EQ(best_epoch(epochs, 0.0), 4);
  options.patience = 0;
  EXPECT_FALSE(stops_early(options, epochs));
}

TEST(TrainingOption, OutOfRangeIsRefused) {
  const auto refused = [](auto&& change) {
    TrainingOptions options;
    change(options);
    EXPECT_THROW(options.validate({}), UsageError);
  };
  TrainingOptions().validate({});
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  refused([](TrainingOptions& o) { o.epochs = 0; });
  refused([](TrainingOptions& o) { o.batch = 0; });
  refused([](TrainingOptions& o) { o.batch = -1; });
  refused([](TrainingOptions& o) { o.learning_rate = 0; });
  refused([](TrainingOptions& o) { o.learning_rate = nan; });
  refused([](TrainingOptions& o) { o.learning_rate = std::numeric_limits<double>::infinity(); });
  refused([](TrainingOptions& o) { o.adam.beta1 = 1; });
  refused([](TrainingOptions& o) { o.adam.beta2 = static_cast<float>(nan); });
  refused([](TrainingOptions& o) { o.adam.epsilon = 0; });
  refused([](TrainingOptions& o) { o.momentum = 1.0f; });
  refused([](TrainingOptions& o) { o.weight_decay = -1.0f; });
  refused([](TrainingOptions& o) { o.clip_norm = static_cast<float>(nan); });
  refused([](TrainingOptions& o) { o.contractive = -0.1f; });
  refused([](TrainingOptions& o) { o.noise = {Noise::Kind::mask, 2.0f}; });
  refused([](TrainingOptions& o) { o.schedule.last = 2.0; });
  refused([](TrainingOptions& o) { o.patience = -1; });
  refused([](TrainingOptions& o) { o.min_improvement = nan; });
  refused([](TrainingOptions& o) { o.checkpoint.every_epochs = 1; });  // and no path
  refused([](TrainingOptions& o) { o.checkpoint.resume = true; });
  refused([](TrainingOptions& o) {
    o.checkpoint.path = "model.checkpoint";
    o.checkpoint.every_steps = -1;
  });
}

TEST(TrainingOption, ContractiveNeedsAnEncoderOfOneLayer) {
  TrainingOptions options;
  options.contractive = 0.1f;
  options.validate({});
  AutoencoderSpec spec;
  spec.hidden = {32, 2};
  const std::string text = usage_error([&] { options.validate(spec); });
  EXPECT_NE(text.find("encoders of one layer"), std::string::npos) << text;
  EXPECT_NE(text.find("has 2"), std::string::npos) << text;
}

}  // namespace
}  // namespace hourglass
