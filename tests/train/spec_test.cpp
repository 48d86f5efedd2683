// The description of a model and its options: names, shapes, what is refused.
#include "host/train/spec.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

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
  std::int64_t next = 0;
  for (const LayerOffsets& layer : layer_offsets(spec)) {
    EXPECT_EQ(layer.weights, next);
    EXPECT_EQ(layer.bias, layer.weights + layer.fan_in * layer.fan_out);
    next = layer.bias + layer.fan_out;
  }
  EXPECT_EQ(next, spec.parameter_count());
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
  EXPECT_EQ(spec_from_json(spec_to_json(spec), "test"), spec);
}

TEST(Spec, BadJsonNamesTheFileAndTheField) {
  const auto message = [](const std::string& json) -> std::string {
    try {
      (void)spec_from_json(json, "m.safetensors");
    } catch (const InputError& error) {
      return error.what();
    }
    return "(no error)";
  };
  const std::string good = spec_to_json({});
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    changed.replace(changed.find(from), from.size(), to);
    return message(changed);
  };
  EXPECT_EQ(message(good), "(no error)");
  for (const std::string& text :
       {message("{"), message("[]"), with("\"inputs\"", "\"input\""), with("784", "\"many\""),
        with("784", "-1"), with("[32]", "[]"), with("\"bce\"", "\"hinge\"")}) {
    EXPECT_NE(text.find("m.safetensors"), std::string::npos) << text;
  }
  EXPECT_NE(with("\"hidden\"", "\"h\"").find("hidden"), std::string::npos);
}

TEST(SparsityOption, Parses) {
  const Sparsity l1 = Sparsity::parse("l1:1e-4");
  EXPECT_EQ(l1.kind, Sparsity::Kind::l1);
  EXPECT_EQ(l1.weight, 1e-4f);
  EXPECT_EQ(Sparsity::parse("l1sum:0.5").kind, Sparsity::Kind::l1_sum);
  const Sparsity kl = Sparsity::parse("kl:0.05:0.004");
  EXPECT_EQ(kl.kind, Sparsity::Kind::kl);
  EXPECT_EQ(kl.rho, 0.05f);
  EXPECT_EQ(kl.weight, 0.004f);
  EXPECT_EQ(Sparsity::parse("none"), Sparsity{});
  for (const char* text : {"none", "l1:0.0001", "l1sum:0.5", "kl:0.05:0.004"}) {
    EXPECT_EQ(Sparsity::parse(Sparsity::parse(text).name()), Sparsity::parse(text)) << text;
  }
}

TEST(SparsityOption, SaysWhichPartIsWrong) {
  const auto message = [](const char* text) {
    return usage_error([&] { (void)Sparsity::parse(text); });
  };
  EXPECT_NE(message("l2:1").find("expected none, l1:LAMBDA"), std::string::npos);
  EXPECT_NE(message("").find("expected none"), std::string::npos);
  EXPECT_NE(message("l1").find("LAMBDA is ''"), std::string::npos);
  EXPECT_NE(message("l1:x").find("LAMBDA is 'x'"), std::string::npos);
  EXPECT_NE(message("l1:1e-4x").find("LAMBDA"), std::string::npos);
  EXPECT_NE(message("l1:-1").find("at least 0"), std::string::npos);
  EXPECT_NE(message("l1:nan").find("finite"), std::string::npos);
  EXPECT_NE(message("kl:0.05").find("kl:RHO:BETA"), std::string::npos);
  EXPECT_NE(message("kl:0.05:").find("BETA is ''"), std::string::npos);
  EXPECT_NE(message("kl:1:1").find("rho is 1"), std::string::npos);
  EXPECT_NE(message("kl:0:1").find("rho is 0"), std::string::npos);
}

TEST(SparsityOption, KlNeedsCodesThatStayInsideTheUnitInterval) {
  TrainingOptions options;
  options.sparsity = Sparsity::parse("kl:0.05:0.1");
  AutoencoderSpec spec;
  const std::string message = usage_error([&] { options.validate(spec); });
  EXPECT_NE(message.find("relu codes can leave (0, 1)"), std::string::npos) << message;
  EXPECT_NE(message.find("sigmoid"), std::string::npos) << message;
  options.force = true;
  options.validate(spec);
  options.force = false;
  spec.code_activation = Activation::sigmoid;
  options.validate(spec);
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
}

}  // namespace
}  // namespace hourglass
