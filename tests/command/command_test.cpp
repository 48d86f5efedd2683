// The command from outside: exit statuses, messages, files.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hourglass/autoencoder.hpp"
#include "hourglass/dataset.hpp"
#include "hourglass/tsne.hpp"
#include "tests/command/run_command.hpp"

namespace hourglass {
namespace {

using testing_support::Outcome;
using testing_support::read_file;
using testing_support::Workplace;
using Arguments = std::vector<std::string>;

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

class CommandTest : public testing::Test {
 protected:
  static constexpr std::int64_t rows = 240;
  static constexpr std::int64_t columns = 36;

  void SetUp() override {
    // Four blobs of 6 x 6 bytes, as IDX.
    std::mt19937 generator(1);
    std::string images("\0\0\x08\x03\0\0\0\xf0\0\0\0\x06\0\0\0\x06", 16);
    std::string labels("\0\0\x08\x01\0\0\0\xf0", 8);
    Matrix floats(rows, columns);
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t label = i % 4;
      labels.push_back(static_cast<char>(label));
      for (std::int64_t j = 0; j < columns; ++j) {
        const std::uint32_t value =
            (j / 9 == label ? 180u : 10u) + static_cast<std::uint32_t>(generator() % 60u);
        images.push_back(static_cast<char>(value));
        floats(i, j) = static_cast<float>(value) / 255.0f;
      }
    }
    write("images.idx", images);
    write("labels.idx", labels);
    save_matrix(path("floats.npy"), floats);
  }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  [[nodiscard]] std::string path(const std::string& name) const { return work_.at(name).string(); }
  [[nodiscard]] Outcome run(const Arguments& arguments) const { return work_.run(arguments); }
  [[nodiscard]] nlohmann::json json(const std::string& name) const {
    return nlohmann::json::parse(read_file(work_.at(name)));
  }
  [[nodiscard]] bool exists(const std::string& name) const {
    return std::filesystem::exists(work_.at(name));
  }
  void train(const std::string& out, const Arguments& more = {}) const {
    const Outcome outcome =
        run(Arguments{"train", "--data", "images.idx", "--out", out, "--hidden", "8,3", "--epochs",
                      "2", "--batch", "32", "--device", "cpu", "--threads", "2"} +
            more);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  /// One line on standard error that contains `part`, nothing on standard output that matters,
  /// `status`.
  void expect_failure(const Arguments& arguments, int status, const std::string& part) const {
    const Outcome outcome = run(arguments);
    std::string line;
    for (const std::string& argument : arguments)
      line += argument + " ";
    EXPECT_EQ(outcome.status, status) << line << "\n" << outcome.err;
    EXPECT_EQ(lines_of(outcome.err), 1u) << line << "\n" << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << line << "\n" << outcome.err;
    EXPECT_EQ(outcome.err.rfind("hourglass", 0), 0u) << outcome.err;
    if (status == 2) {
      EXPECT_NE(outcome.err.find("--help"), std::string::npos) << outcome.err;
    }
  }

  /// Rows of three numbers, as CSV.
  static std::string few_rows(int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += fmt::format("{},{},{}\n", i % 7, i % 3, 0.5 * i);
    return text;
  }

  const Arguments tsne_of_images{"tsne", "--data",   "images.idx", "--exaggeration-iterations",
                                 "50",   "--device", "cpu"};
  const Arguments short_tsne =
      tsne_of_images + Arguments{"--perplexity", "20", "--iterations", "200"};
  Workplace work_;
};

TEST_F(CommandTest, HelpAndVersionSucceed) {
  for (const Arguments& arguments :
       {Arguments{"--help"}, Arguments{"--version"}, Arguments{"train", "--help"},
        Arguments{"tsne", "--help"}, Arguments{"encode", "--help"}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_FALSE(outcome.out.empty());
    EXPECT_TRUE(outcome.err.empty()) << outcome.err;
  }
  for (const char* command : {"article", "train", "encode", "reconstruct", "decode", "pca", "tsne",
                              "place", "score", "devices", "data"}) {
    const Outcome outcome = run({command, "--help"});
    EXPECT_EQ(outcome.status, 0) << command;
    for (const char* option : {"--device", "--threads", "--seed", "--json", "--quiet"}) {
      EXPECT_NE(outcome.out.find(option), std::string::npos) << command << " " << option;
    }
  }
}

TEST_F(CommandTest, WrongUsageIsTwo) {
  const Arguments train{"train", "--data", "images.idx", "--out", "m.safetensors"};
  expect_failure({}, 2, "expected a command");
  expect_failure({"trian"}, 2, "do you mean train?");
  expect_failure({"train"}, 2, "required");
  expect_failure(train + Arguments{"--epohs", "3"}, 2, "do you mean --epochs?");
  expect_failure(train + Arguments{"surplus"}, 2, "surplus");
  expect_failure(train + Arguments{"--epochs", "many"}, 2, "--epochs many: expected a number");
  expect_failure(train + Arguments{"--epochs", "0"}, 2, "epochs 0");
  expect_failure(train + Arguments{"--batch", "0"}, 2, "batch 0");
  expect_failure(train + Arguments{"--lr", "nan"}, 2, "learning rate");
  expect_failure(train + Arguments{"--seed", "-1"}, 2, "--seed");
  expect_failure(train + Arguments{"--threads", "-2"}, 2, "threads -2");
  expect_failure(train + Arguments{"--hidden", "3,x"}, 2, "--hidden");
  expect_failure(train + Arguments{"--hidden", "3,0"}, 2, "width 0");
  expect_failure(train + Arguments{"--activation", "swish"}, 2, "leaky_relu");
  expect_failure(train + Arguments{"--loss", "hinge"}, 2, "bce or mse");
  expect_failure(train + Arguments{"--scale", "minmax"}, 2, "standard");
  expect_failure(train + Arguments{"--sparsity", "l2:1"}, 2, "l1:LAMBDA");
  expect_failure(train + Arguments{"--sparsity", "kl:0.1:1"}, 2, "sigmoid");
  expect_failure(train + Arguments{"--sparsity", "l1:1,l1:2"}, 2, "l1 is there twice");
  expect_failure(train + Arguments{"--hidden", "8,3", "--contractive", "0.1"}, 2,
                 "encoders of one layer");
  expect_failure(train + Arguments{"--noise", "salt:0.1"}, 2, "mask:PROBABILITY");
  expect_failure(train + Arguments{"--optimiser", "rmsprop"}, 2, "adam, adamw or sgd");
  expect_failure(train + Arguments{"--precision", "fp16"}, 2, "float32 or tf32");
  expect_failure(train + Arguments{"--lr-schedule", "step:0:0.1"}, 2, "EVERY is 0");
  expect_failure(train + Arguments{"--momentum", "1"}, 2, "momentum 1");
  expect_failure(train + Arguments{"--weight-decay", "-1"}, 2, "weight decay -1");
  expect_failure(train + Arguments{"--clip-norm", "inf"}, 2, "clip norm inf");
  expect_failure(train + Arguments{"--patience", "3"}, 2, "give --validation");
  expect_failure(train + Arguments{"--tied", "--decoder", "5"}, 2, "no mirror of the encoder");
  for (const char* every : {"0", "-1", "2.5", "5step", "steps"}) {
    expect_failure(train + Arguments{"--checkpoint-every", every}, 2,
                   std::string("--checkpoint-every ") + every);
  }
  expect_failure(train + Arguments{"--memory", "12X"}, 2, "--memory 12X");
  expect_failure(train + Arguments{"--memory", "10K", "--device", "cpu"}, 2, "needs");
  expect_failure(train + Arguments{"--validation", "1.5"}, 2, "--validation 1.5");
  expect_failure(train + Arguments{"--device", "gpu"}, 2, "cuda:N");
  expect_failure(train + Arguments{"--output-activation", "linear"}, 2, "loss mse");
  expect_failure(train + Arguments{"--json", "m.safetensors"}, 2, "same file");
  expect_failure({"tsne", "--data", "images.idx", "--out", "map.txt"}, 2, ".npy, .csv or .tsv");
  const Arguments tsne{"tsne", "--data", "images.idx", "--out", "map.npy", "--device", "cpu"};
  expect_failure(tsne + Arguments{"--plot", "map.jpg"}, 2, ".png or .svg");
  expect_failure(tsne + Arguments{"--method", "fast"}, 2, "fast");
  expect_failure(tsne + Arguments{"--learning-rate", "0"}, 2, "--learning-rate 0");
  expect_failure(tsne + Arguments{"--dimensions", "4"}, 2, "--dimensions 4");
  expect_failure(tsne + Arguments{"--dimensions", "3", "--plot", "map.png"}, 2, "2 dimensions");
  expect_failure(tsne + Arguments{"--dimensions", "3", "--method", "fft"}, 2, "fft");
  expect_failure(tsne + Arguments{"--metric", "manhattan"}, 2, "manhattan");
  expect_failure(tsne + Arguments{"--neighbours", "some"}, 2, "some");
  expect_failure(tsne + Arguments{"--perplexity", "5,many"}, 2, "--perplexity");
  expect_failure(tsne + Arguments{"--perplexity", "5,0.5"}, 2, "0.5");
  expect_failure(tsne + Arguments{"--stop-below", "1"}, 2, "--stop-below 1");
  expect_failure(tsne + Arguments{"--stop-below", "nan"}, 2, "--stop-below nan");
  expect_failure(tsne + Arguments{"--snapshot-every", "50"}, 2, "--snapshots");
  expect_failure(tsne + Arguments{"--snapshots", "run", "--snapshot-every", "70"}, 2,
                 "--snapshot-every 70");
  expect_failure(tsne + Arguments{"--resume", "s.safetensors", "--init", "random"}, 2, "--init");
  // 240 points: the largest legal perplexity is a third of 239.
  expect_failure(tsne + Arguments{"--perplexity", "100"}, 2, "79");
  expect_failure({"pca", "--data", "images.idx", "--components", "37", "--out", "p.npy"}, 2, "36");
  expect_failure({"score", "--map", "floats.npy"}, 2, "--labels");
  expect_failure({"data", "cifar"}, 2, "fashion-mnist");
  // Nothing was left behind by any of them.
  EXPECT_EQ(work_.files().size(), 3u);
}

TEST_F(CommandTest, BadInputIsThree) {
  const Arguments train{"train", "--out", "m.safetensors", "--device", "cpu", "--epochs", "1"};
  expect_failure(train + Arguments{"--data", "none.npy"}, 3, "none.npy");
  const std::string images = read_file(work_.at("images.idx"));
  write("cut.idx", images.substr(0, images.size() - 1));
  expect_failure(train + Arguments{"--data", "cut.idx"}, 3, "cut.idx");
  write("long.idx", images + "x");
  expect_failure(train + Arguments{"--data", "long.idx"}, 3, "long.idx");
  write("empty.npy", "");
  expect_failure(train + Arguments{"--data", "empty.npy"}, 3, "empty.npy");
  write("nan.csv", "1,2\n3,nan\n");
  expect_failure(train + Arguments{"--data", "nan.csv"}, 3, "nan.csv");
  write("wide.csv", "0.5,300\n0.25,3\n");
  expect_failure(train + Arguments{"--data", "wide.csv"}, 3, "column 1");
  expect_failure(train + Arguments{"--data", "images.idx", "--validation", "none.idx"}, 3,
                 "none.idx");
  expect_failure(train + Arguments{"--data", "images.idx", "--validation", "nan.csv"}, 3,
                 "nan.csv");

  write("few.idx", std::string("\0\0\x08\x01\0\0\0\x02\1\2", 10));
  expect_failure({"tsne", "--data", "images.idx", "--labels", "few.idx", "--out", "map.npy"}, 3,
                 "240");
  expect_failure({"score", "--map", "floats.npy", "--labels", "few.idx"}, 3, "240");
  expect_failure({"tsne", "--data", "images.idx", "--init", "floats.npy", "--out", "map.npy"}, 3,
                 "240 x 2");

  this->train("m.safetensors", {"--quiet"});
  const std::string model = read_file(work_.at("m.safetensors"));
  write("cut.safetensors", model.substr(0, model.size() / 2));
  expect_failure({"encode", "--model", "cut.safetensors", "--data", "images.idx", "--out", "c.npy"},
                 3, "cut.safetensors");
  expect_failure({"encode", "--model", "images.idx", "--data", "images.idx", "--out", "c.npy"}, 3,
                 "images.idx");
  write("narrow.csv", "0.5,0.25\n1,0\n");
  expect_failure({"encode", "--model", "m.safetensors", "--data", "narrow.csv", "--out", "c.npy"},
                 3, "expected 36");
}

TEST_F(CommandTest, AnUnwritableOutputIsSaidBeforeTheWork) {
  std::filesystem::create_directory(work_.at("folder"));
  for (const auto& [out, part] :
       {std::pair<std::string, std::string>{"none/m.safetensors", "does not exist"},
        {"folder", "is a directory"},
        {"images.idx/m.safetensors", "not a directory"}}) {
    // So many epochs that only a check beforehand can end in time.
    expect_failure({"train", "--data", "images.idx", "--out", out, "--epochs", "1000000000"}, 3,
                   part);
  }
  expect_failure({"train", "--data", "images.idx", "--out", "m", "--epochs", "1000000000", "--json",
                  "none/m.json"},
                 3, "none/m.json");
  expect_failure({"tsne", "--data", "images.idx", "--out", "map.npy", "--iterations", "1000000000",
                  "--plot", "none/map.png"},
                 3, "none/map.png");
}

TEST_F(CommandTest, AMissingDeviceIsFour) {
  setenv("HOURGLASS_CUDA_BACKEND", "/nonexistent/libhourglass_cuda.so", 1);
  expect_failure({"train", "--data", "images.idx", "--out", "m", "--device", "cuda"}, 4,
                 "/nonexistent/libhourglass_cuda.so");
  expect_failure(
      {"encode", "--model", "m", "--data", "images.idx", "--out", "c.npy", "--device", "cuda:1"}, 3,
      "m: ");
  const Outcome fallback = run({"train", "--data", "images.idx", "--out", "m", "--epochs", "1"});
  EXPECT_EQ(fallback.status, 0) << fallback.err;
  EXPECT_NE(fallback.out.find("cpu: the CUDA backend is not built"), std::string::npos)
      << fallback.out;
  expect_failure(
      {"encode", "--model", "m", "--data", "images.idx", "--out", "c.npy", "--device", "cuda:1"}, 4,
      "cuda:1");
  const Outcome devices = run({"devices", "--json", "d.json"});
  EXPECT_EQ(devices.status, 0);
  EXPECT_EQ(json("d.json")["devices"][0]["id"], "cpu");
  EXPECT_NE(json("d.json")["no_cuda_reason"].get<std::string>().find("/nonexistent"),
            std::string::npos);
  unsetenv("HOURGLASS_CUDA_BACKEND");
}

TEST_F(CommandTest, TheGpuWithTheMostFreeMemoryIsTakenAndTooLittleIsFour) {
  setenv("HOURGLASS_CUDA_BACKEND",
         (std::filesystem::read_symlink("/proc/self/exe").parent_path() /
          "libhourglass_fake_devices.so")
             .c_str(),
         1);
  setenv("HOURGLASS_FAKE_DEVICES", "broken,1024/2048,1536/2048", 1);
  const Outcome devices = run({"devices", "--json", "d.json"});
  EXPECT_EQ(devices.status, 0) << devices.err;
  EXPECT_NE(devices.out.find("2.0 GiB, 1.5 free"), std::string::npos) << devices.out;
  EXPECT_NE(devices.out.find("cuda:0: GPU 0 has fallen off the bus"), std::string::npos)
      << devices.out;
  EXPECT_EQ(json("d.json")["devices"][2]["id"], "cuda:2");
  EXPECT_EQ(json("d.json")["devices"][2]["free_bytes"], std::uint64_t{1536} << 20);

  const Arguments train{"train",    "--data", "images.idx", "--out", "m",
                        "--epochs", "1",      "--json",     "m.json"};
  const Outcome trained = run(train);
  EXPECT_EQ(trained.status, 0) << trained.err;
  EXPECT_NE(
      trained.out.find("cuda:2: the GPU with the most free memory of those that work, 1.5 of "),
      std::string::npos)
      << trained.out;
  EXPECT_EQ(json("m.json")["device"]["id"], "cuda:2");
  const std::uint64_t least = 240 * 36 + 7 * 4 * (2 * 36 * 32 + 36 + 32);
  EXPECT_GE(json("m.json")["device"]["memory"]["estimated_bytes"], least);
  EXPECT_LE(json("m.json")["device"]["memory"]["estimated_bytes"], least + 1'000'000);

  setenv("HOURGLASS_FAKE_DEVICES", "1/2048", 1);
  // So many epochs that only a check beforehand can end in time.
  expect_failure(
      {"train", "--data", "images.idx", "--out", "m", "--hidden", "4000", "--epochs", "1000000000"},
      4, "training 36-4000-36 on 240 x 36 rows in batches of 240 needs ");
  setenv("HOURGLASS_FAKE_DEVICES", "0/2048,2/2048", 1);
  expect_failure({"tsne", "--data", "images.idx", "--out", "map.npy", "--iterations", "1000000000",
                  "--device", "cuda:1"},
                 4, " on cuda:1, 2.0 MiB are free: use fewer points, a lower perplexity or PCA ");
  // What is wrong with an option comes before what is wrong with the device.
  expect_failure({"tsne", "--data", "images.idx", "--out", "map.npy", "--perplexity", "100",
                  "--device", "cuda:1"},
                 2, "79");
  unsetenv("HOURGLASS_FAKE_DEVICES");
  unsetenv("HOURGLASS_CUDA_BACKEND");
}

TEST_F(CommandTest, NumbersThatGoWrongAreFive) {
  expect_failure({"train", "--data", "images.idx", "--out", "m.safetensors", "--hidden", "8,3",
                  "--activation", "linear", "--code-activation", "linear", "--loss", "mse",
                  "--output-activation", "linear", "--lr", "1e10", "--device", "cpu"},
                 5, "decoder.1");
  EXPECT_FALSE(exists("m.safetensors"));
}

TEST_F(CommandTest, TrainWritesAModelAndItsHistory) {
  train("m.safetensors", {"--validation", "0.25", "--sparsity", "l1:0.001", "--json", "m.json"});
  const auto json = this->json("m.json");
  EXPECT_EQ(json["command"], "train");
  EXPECT_EQ(json["options"]["hidden"], (std::vector<int>{8, 3}));
  EXPECT_EQ(json["options"]["sparsity"], "l1:0.001");
  EXPECT_EQ(json["options"]["lr"], 1e-3);
  EXPECT_EQ(json["options"]["bce_clip"], 1e-7);
  EXPECT_EQ(json["options"]["seed"], 0);
  EXPECT_EQ(json["device"]["backend"], "cpu");
  EXPECT_EQ(json["device"]["threads"], 2);
  EXPECT_GT(json["timings"]["total"].get<double>(), json["timings"]["train"].get<double>());
  EXPECT_EQ(json["rows"], 180);
  for (const char* name : {"loss", "reconstruction", "penalty", "validation_loss"}) {
    ASSERT_EQ(json["history"][name].size(), 2u) << name;
    EXPECT_GT(json["history"][name][1].get<double>(), 0.0) << name;
  }
  EXPECT_LT(json["history"]["reconstruction"][1], json["history"]["reconstruction"][0]);
  const Autoencoder model = Autoencoder::load(path("m.safetensors"));
  EXPECT_EQ(model.spec.name(), "36-8-3-8-36");
}

TEST_F(CommandTest, EpochsAreLinesOnStandardOutputUnlessQuiet) {
  const Arguments arguments{"train",    "--data",    "images.idx", "--out", "m",
                            "--hidden", "8",         "--epochs",   "3",     "--device",
                            "cpu",      "--threads", "1"};
  const Outcome loud = run(arguments);
  EXPECT_EQ(loud.status, 0);
  EXPECT_TRUE(loud.err.empty()) << loud.err;
  for (const char* line : {"\nepoch   1/3 ", "\nepoch   2/3 ", "\nepoch   3/3 ", "36-8-36"}) {
    EXPECT_NE(loud.out.find(line), std::string::npos) << loud.out;
  }
  EXPECT_EQ(loud.out.find('\r'), std::string::npos);
  const Outcome quiet = run(arguments + Arguments{"--quiet"});
  EXPECT_EQ(quiet.status, 0);
  EXPECT_TRUE(quiet.out.empty()) << quiet.out;
  EXPECT_TRUE(quiet.err.empty()) << quiet.err;
  // A warning is not silenced.
  const Outcome warned = run(arguments + Arguments{"--quiet", "--scale", "standard"});
  EXPECT_EQ(warned.status, 0);
  EXPECT_NE(warned.err.find("warning: "), std::string::npos);
  EXPECT_EQ(lines_of(warned.err), 1u) << warned.err;
}

TEST_F(CommandTest, JsonOnStandardOutputIsAllThatIsThere) {
  const Outcome outcome = run({"train", "--data", "images.idx", "--out", "m", "--hidden", "4",
                               "--epochs", "1", "--device", "cpu", "--json", "-"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["history"]["loss"].size(), 1u);
}

TEST_F(CommandTest, SameSeedSameBytes) {
  train("a.safetensors", {"--seed", "5"});
  train("b.safetensors", {"--seed", "5"});
  train("c.safetensors", {"--seed", "6"});
  EXPECT_EQ(read_file(work_.at("a.safetensors")), read_file(work_.at("b.safetensors")));
  EXPECT_NE(read_file(work_.at("a.safetensors")), read_file(work_.at("c.safetensors")));
  for (const char* out : {"a.npy", "b.npy"}) {
    const Outcome outcome = run(
        {"encode", "--model", "a.safetensors", "--data", "images.idx", "--out", out, "--quiet"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  EXPECT_EQ(read_file(work_.at("a.npy")), read_file(work_.at("b.npy")));
}

TEST_F(CommandTest, CodesAndReconstructionsAreWritten) {
  train("m.safetensors", {"--seed", "5"});
  EXPECT_EQ(
      run({"encode", "--model", "m.safetensors", "--data", "images.idx", "--out", "c.npy"}).status,
      0);
  const Matrix codes = load_matrix(path("c.npy"));
  EXPECT_EQ(codes.rows, rows);
  EXPECT_EQ(codes.columns, 3);
  // The same rows as floats in [0, 1] give the same codes.
  EXPECT_EQ(
      run({"encode", "--model", "m.safetensors", "--data", "floats.npy", "--out", "f.npy"}).status,
      0);
  const Matrix from_floats = load_matrix(path("f.npy"));
  for (std::size_t i = 0; i < codes.values.size(); ++i) {
    EXPECT_NEAR(codes.values[i], from_floats.values[i], 1e-5);
  }
  const Arguments reconstruct{"reconstruct", "--model", "m.safetensors", "--data", "images.idx"};
  EXPECT_EQ(run(reconstruct + Arguments{"--out", "r.npy", "--json", "r.json"}).status, 0);
  EXPECT_EQ(run(reconstruct + Arguments{"--out", "o.csv", "--original-values"}).status, 0);
  const Matrix scaled = load_matrix(path("r.npy"));
  const Matrix original = load_matrix(path("o.csv"));
  const Matrix floats = load_matrix(path("floats.npy"));
  ASSERT_EQ(original.rows, rows);
  ASSERT_EQ(scaled.columns, columns);
  double squares = 0.0;
  for (std::size_t i = 0; i < scaled.values.size(); ++i) {
    EXPECT_NEAR(scaled.values[i] * 255.0f, original.values[i], 1e-3);
    const double d = static_cast<double>(scaled.values[i] - floats.values[i]);
    squares += d * d;
  }
  const auto json = this->json("r.json");
  EXPECT_NEAR(json["squared_error"], squares / static_cast<double>(scaled.values.size()), 1e-6);
  EXPECT_GT(json["reconstruction_loss"], 0.0);
}

TEST_F(CommandTest, ASpecDescribesTheModelAndOptionsOverrideIt) {
  write("spec.json", R"({"hidden": [9, 4], "decoder": [6], "activation": "tanh",
                         "code_activation": "sigmoid", "inputs": 36})");
  ASSERT_EQ(run({"train", "--data", "images.idx", "--out", "m.safetensors", "--spec", "spec.json",
                 "--hidden", "7,2", "--code-activation", "linear", "--epochs", "1", "--device",
                 "cpu", "--json", "m.json"})
                .status,
            0);
  const Autoencoder model = Autoencoder::load(path("m.safetensors"));
  EXPECT_EQ(model.spec.name(), "36-7-2-6-36");
  EXPECT_EQ(model.spec.activation, Activation::tanh);
  EXPECT_EQ(model.spec.code_activation, Activation::linear);
  EXPECT_EQ(json("m.json")["options"]["decoder"], (std::vector<int>{6}));
  EXPECT_EQ(json("m.json")["options"]["activation"], "tanh");

  const Arguments train{"train", "--data", "images.idx", "--out", "x", "--device", "cpu"};
  write("bad.json", R"({"hidden": [9, "four"]})");
  expect_failure(train + Arguments{"--spec", "bad.json"}, 3, "bad.json: key \"hidden\"");
  write("bad.json", R"({"inputs": 35})");
  expect_failure(train + Arguments{"--spec", "bad.json"}, 3, "\"inputs\" is 35; images.idx has 36");
  expect_failure(train + Arguments{"--spec", "none.json"}, 3, "none.json");
  EXPECT_FALSE(exists("x"));
}

TEST_F(CommandTest, EveryKindOfTrainingGoesThrough) {
  for (const Arguments& kind :
       {Arguments{"--noise", "gaussian:0.3", "--scale", "standard", "--loss", "mse",
                  "--output-activation", "linear"},
        Arguments{"--noise", "mask:0.3", "--optimiser", "adamw", "--weight-decay", "0.01"},
        Arguments{"--hidden", "20", "--code-activation", "sigmoid", "--sparsity",
                  "l1:1e-4,kl:0.1:0.01", "--contractive", "0.01", "--tied"},
        Arguments{"--optimiser", "sgd", "--lr", "0.5", "--clip-norm", "1", "--lr-schedule",
                  "step:1:0.5", "--validation", "0.2", "--patience", "1"}}) {
    const Outcome outcome =
        run(Arguments{"train", "--data", "images.idx", "--out", "k", "--epochs", "2", "--batch",
                      "50", "--device", "cpu", "--json", "k.json"} +
            kind);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    const auto losses = json("k.json")["history"]["reconstruction"];
    ASSERT_GE(losses.size(), 1u);
    EXPECT_TRUE(losses.back().is_number());
    EXPECT_FALSE(exists("k.checkpoint"));
  }
  EXPECT_EQ(json("k.json")["history"]["learning_rate"][0], 0.5);
}

TEST_F(CommandTest, ActivationsOfAnyLayerAndRowsOfAnyCodes) {
  train("m.safetensors", {});
  const Arguments encode{"encode", "--model", "m.safetensors", "--data", "images.idx"};
  EXPECT_EQ(run(encode + Arguments{"--out", "c.npy"}).status, 0);
  const auto layer = [&](const char* name) {
    EXPECT_EQ(run(encode + Arguments{"--out", "l.npy", "--layer", name}).status, 0) << name;
    return load_matrix(path("l.npy"));
  };
  const Matrix codes = load_matrix(path("c.npy"));
  EXPECT_EQ(layer("encoder.1").values, codes.values);
  EXPECT_EQ(layer("encoder.0").columns, 8);
  EXPECT_EQ(layer("decoder.0").columns, 8);
  const Matrix last = layer("decoder.1");
  expect_failure(encode + Arguments{"--out", "x.npy", "--layer", "encoder.2"}, 2,
                 "encoder.0, encoder.1, decoder.0, decoder.1; the code is encoder.1");

  EXPECT_EQ(
      run({"reconstruct", "--model", "m.safetensors", "--data", "images.idx", "--out", "r.npy"})
          .status,
      0);
  EXPECT_EQ(load_matrix(path("r.npy")).values, last.values);
  EXPECT_EQ(
      run({"decode", "--model", "m.safetensors", "--codes", "c.npy", "--out", "d.npy"}).status, 0);
  EXPECT_EQ(load_matrix(path("d.npy")).values, last.values);
  EXPECT_EQ(run({"decode", "--model", "m.safetensors", "--codes", "c.npy", "--out", "o.npy",
                 "--original-values"})
                .status,
            0);
  const Matrix original = load_matrix(path("o.npy"));
  for (std::size_t i = 0; i < original.values.size(); ++i)
    ASSERT_NEAR(original.values[i], 255.0f * last.values[i], 1e-3);
  expect_failure({"decode", "--model", "m.safetensors", "--codes", "floats.npy", "--out", "x.npy"},
                 3, "floats.npy: 36 columns; the code of 36-8-3-8-36 has 3");
  EXPECT_FALSE(exists("x.npy"));
}

TEST_F(CommandTest, TrainingWithinMemoryGivesTheSameModel) {
  Matrix many(20000, columns);
  for (std::size_t i = 0; i < many.values.size(); ++i)
    many.values[i] = static_cast<float>(i * 7919 % 1000) / 1000.0f;
  save_matrix(path("many.npy"), many);  // 2.9 MB
  const Arguments train{"train", "--data",   "many.npy", "--hidden",  "4",   "--epochs",
                        "2",     "--device", "cpu",      "--threads", "2",   "--validation",
                        "0.1",   "--scale",  "standard", "--loss",    "mse", "--output-activation",
                        "linear"};
  EXPECT_EQ(run(train + Arguments{"--out", "a"}).status, 0);
  const Outcome outcome =
      run(train + Arguments{"--out", "b", "--memory", "3M", "--json", "b.json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("18,000 rows read as they are needed"), std::string::npos)
      << outcome.out;
  EXPECT_LE(json("b.json")["device"]["memory"]["estimated_bytes"], 3 << 20);
  EXPECT_EQ(read_file(work_.at("a")), read_file(work_.at("b")));
}

TEST_F(CommandTest, CodesOfAFileNeedTheMemoryOfAFewRows) {
  // 5,000 rows of 36 floats, as a file that is read piece by piece and as text, which is not.
  std::mt19937 generator(3);
  Matrix many(5000, columns);
  for (float& value : many.values)
    value = static_cast<float>(generator() % 1000) / 1000.0f;
  save_matrix(path("many.npy"), many);
  save_matrix(path("many.csv"), many);
  train("m.safetensors");
  const Arguments common{"--model", "m.safetensors", "--device", "cpu", "--threads", "2"};
  const Arguments encode = Arguments{"encode"} + common;
  const Arguments reconstruct = Arguments{"reconstruct"} + common;
  const auto succeed = [&](const Arguments& arguments) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
  };
  succeed(encode +
          Arguments{"--data", "many.npy", "--out", "a.npy", "--memory", "8M", "--json", "a.json"});
  succeed(encode + Arguments{"--data", "many.csv", "--out", "b.npy", "--memory", "1G"});
  EXPECT_EQ(read_file(work_.at("a.npy")), read_file(work_.at("b.npy")));
  EXPECT_EQ(json("a.json")["options"]["memory"], 8 << 20);
  EXPECT_LE(json("a.json")["device"]["memory"]["estimated_bytes"], 8 << 20);
  succeed(reconstruct + Arguments{"--data", "many.npy", "--out", "a.npy", "--json", "a.json"});
  succeed(reconstruct + Arguments{"--data", "many.csv", "--out", "b.npy", "--json", "b.json"});
  EXPECT_EQ(read_file(work_.at("a.npy")), read_file(work_.at("b.npy")));
  EXPECT_EQ(json("a.json")["options"]["memory"], nullptr);
  for (const char* figure : {"reconstruction_loss", "squared_error"}) {
    EXPECT_EQ(json("a.json")[figure], json("b.json")[figure]);
  }

  const Arguments out{"--out", "c.npy"};
  for (const std::string wrong :
       {"12X", "0", "-1", "M", "1.5G", "12MB", " 1M", "1m", "99999999999T"}) {
    expect_failure(encode + out + Arguments{"--data", "many.npy", "--memory", wrong}, 2,
                   "--memory " + wrong + ": expected a number of bytes");
  }
  expect_failure(encode + out + Arguments{"--data", "many.npy", "--memory", "100K"}, 2,
                 "--memory 100K: codes of 5,000 x 36 rows by 36-8-3-8-36 needs ");
  expect_failure(reconstruct + out + Arguments{"--data", "many.npy", "--memory", "102400"}, 2,
                 "--memory 102400: reconstructions of 5,000 x 36 rows");
  // 100,000 bytes of text at the least, and 720,000 in memory.
  expect_failure(encode + out + Arguments{"--data", "many.csv", "--memory", "50K"}, 2,
                 "cannot be read piece by piece: save it as .npy");
  expect_failure(encode + out + Arguments{"--data", "many.csv", "--memory", "2M"}, 2,
                 "all rows 0.7");
  EXPECT_FALSE(exists("c.npy"));

  // What is found in the midst of a file leaves nothing behind.
  many.values[4999 * columns + 7] = std::numeric_limits<float>::infinity();
  save_matrix(path("many.npy"), many);
  expect_failure(encode + out + Arguments{"--data", "many.npy"}, 3, "row 4999, column 7");
  expect_failure(reconstruct + out + Arguments{"--data", "many.npy"}, 3, "row 4999, column 7");
  EXPECT_FALSE(exists("c.npy"));
  for (const std::string& name : work_.files())
    EXPECT_EQ(name.find("partial"), std::string::npos) << name;
}

TEST_F(CommandTest, PcaTsneAndScoresGoTogether) {
  const Outcome pca = run({"pca", "--data", "images.idx", "--components", "5", "--out", "p.npy",
                           "--json", "p.json", "--device", "cpu"});
  ASSERT_EQ(pca.status, 0) << pca.err;
  EXPECT_EQ(load_matrix(path("p.npy")).columns, 5);
  const auto ratio = json("p.json")["explained_ratio"].get<std::vector<double>>();
  ASSERT_EQ(ratio.size(), 5u);
  // Four blobs lie in three dimensions.
  EXPECT_GT(ratio[2], 5.0 * ratio[3]);

  const Arguments tsne{"tsne",       "--data",       "images.idx", "--labels",
                       "labels.idx", "--perplexity", "20",         "--iterations",
                       "400",        "--device",     "cpu",        "--threads",
                       "2"};
  for (const char* name : {"a", "b"}) {
    const Outcome outcome =
        run(tsne + Arguments{"--out", std::string(name) + ".npy", "--json",
                             std::string(name) + ".json", "--plot", std::string(name) + ".png"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  EXPECT_EQ(read_file(work_.at("a.npy")), read_file(work_.at("b.npy")));
  EXPECT_EQ(read_file(work_.at("a.png")), read_file(work_.at("b.png")));
  EXPECT_EQ(read_file(work_.at("a.png")).substr(1, 3), "PNG");
  ASSERT_EQ(run(tsne + Arguments{"--out", "s.csv", "--plot", "s.svg"}).status, 0);
  EXPECT_NE(read_file(work_.at("s.svg")).find("<svg"), std::string::npos);
  const auto made = json("a.json");
  for (const char* key : {"kl_divergence", "method", "learning_rate", "iterations", "span"}) {
    EXPECT_TRUE(made.contains(key)) << key;
  }
  EXPECT_EQ(made["iterations"], 400);

  const Outcome score = run({"score", "--map", "a.npy", "--data", "images.idx", "--labels",
                             "labels.idx", "--perplexity", "20", "--json", "score.json"});
  ASSERT_EQ(score.status, 0) << score.err;
  const auto figures = json("score.json");
  // The blobs do not touch.
  EXPECT_EQ(figures["one_nn_accuracy"], 1.0);
  EXPECT_EQ(figures["linear_probe_accuracy"], 1.0);
  EXPECT_GT(figures["silhouette"], 0.5);
  EXPECT_GT(figures["trustworthiness"], 0.8);
  EXPECT_NEAR(figures["kl_divergence"], made["kl_divergence"], 1e-3);
  EXPECT_NE(score.out.find("trustworthiness"), std::string::npos);
}

TEST_F(CommandTest, TsneSaysAllThatItMeasured) {
  const Outcome outcome =
      run(tsne_of_images + Arguments{"--iterations", "200", "--out", "m.npy", "--json", "m.json",
                                     "--perplexity", "5,20", "--dimensions", "3", "--neighbours",
                                     "approximate", "--stop-below", "0.9", "--metric", "cosine",
                                     "--save-affinities", "p.safetensors"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(load_matrix(path("m.npy")).columns, 3);
  const auto made = json("m.json");
  EXPECT_EQ(made["options"]["perplexities"], (std::vector<double>{5, 20}));
  EXPECT_EQ(made["options"]["perplexity"], 20);
  EXPECT_EQ(made["options"]["metric"], "cosine");
  EXPECT_EQ(made["options"]["dimensions"], 3);
  EXPECT_EQ(made["options"]["stop_below"], 0.9);
  EXPECT_EQ(made["options"]["save_affinities"], "p.safetensors");
  EXPECT_EQ(made["options"]["resume"], nullptr);
  EXPECT_EQ(made["options"]["scores"], true);
  EXPECT_EQ(made["dimensions"], 3);
  EXPECT_EQ(made["neighbours"], 60);
  EXPECT_EQ(made["neighbour_method"], "approximate");
  EXPECT_GT(made["recall"], 0.5);
  EXPECT_EQ(made["stopped_early"], true);
  EXPECT_EQ(made["iterations"], 100);  // of 200, 50 of them exaggerated
  EXPECT_EQ(made["methods"][0]["from"], 0);
  EXPECT_EQ(made["methods"].back()["method"], made["method"]);
  EXPECT_EQ(made["force_sample"], rows);
  EXPECT_LT(made["force_error"], 0.01);
  EXPECT_EQ(made["exact_partition"], true);
  EXPECT_GT(made["span"], 0);
  EXPECT_EQ(made["figure_sample"], rows);
  EXPECT_GT(made["trustworthiness"], 0.5);
  EXPECT_GT(made["neighbour_preservation_10"], 0.0);
  EXPECT_GT(made["neighbour_preservation_30"], made["neighbour_preservation_10"]);
  EXPECT_TRUE(made["timings"].contains("scores"));
  for (const char* line : {"trustworthiness", "neighbours kept", "force error", "stopped",
                           "approximate, recall", "p.safetensors"}) {
    EXPECT_NE(outcome.out.find(line), std::string::npos) << line << "\n" << outcome.out;
  }

  ASSERT_EQ(run(short_tsne + Arguments{"--out", "q.npy", "--json", "q.json", "--no-scores"}).status,
            0);
  EXPECT_EQ(json("q.json")["trustworthiness"], nullptr);
  EXPECT_EQ(json("q.json")["options"]["scores"], false);
  EXPECT_FALSE(json("q.json")["timings"].contains("scores"));
}

TEST_F(CommandTest, TsneMethodsAndStartsAreThoseAskedFor) {
  for (const char* method : {"exact", "tree", "fft"}) {
    const Outcome outcome = run(short_tsne + Arguments{"--out", "m.npy", "--json", "m.json",
                                                       "--method", method, "--init", "random"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(json("m.json")["method"], method);
    EXPECT_EQ(json("m.json")["options"]["init"], "random");
  }
  // A map is a start.
  ASSERT_EQ(run(short_tsne + Arguments{"--out", "n.npy", "--init", "m.npy"}).status, 0);
  expect_failure(short_tsne + Arguments{"--out", "n.npy", "--init", "m.npy", "--dimensions", "3"},
                 3, "240 x 3");
}

TEST_F(CommandTest, TsneGoesOnFromSnapshotsBitwise) {
  const Arguments whole = short_tsne + Arguments{"--snapshots", "run", "--snapshot-every", "100"};
  const Outcome outcome = run(whole + Arguments{"--out", "whole.npy", "--json", "whole.json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_FALSE(exists("run/map-000050.npy"));
  ASSERT_TRUE(exists("run/map-000100.npy"));
  ASSERT_TRUE(exists("run/map-000200.npy"));
  EXPECT_EQ(load_tsne_state(path("run/state.safetensors")).iteration, 200);

  // Half of it, and the rest.
  ASSERT_EQ(run(tsne_of_images + Arguments{"--perplexity", "20", "--iterations", "100",
                                           "--snapshots", "half", "--out", "half.npy"})
                .status,
            0);
  ASSERT_TRUE(exists("half/map-000050.npy"));
  EXPECT_EQ(read_file(work_.at("half/map-000100.npy")), read_file(work_.at("run/map-000100.npy")));
  const Outcome rest =
      run(short_tsne + Arguments{"--resume", "half/state.safetensors", "--snapshots", "half",
                                 "--out", "rest.npy", "--json", "rest.json"});
  ASSERT_EQ(rest.status, 0) << rest.err;
  EXPECT_EQ(read_file(work_.at("rest.npy")), read_file(work_.at("whole.npy")));
  EXPECT_EQ(json("rest.json")["options"]["resume"], "half/state.safetensors");
  EXPECT_EQ(json("rest.json")["options"]["init"], "resume");
  EXPECT_EQ(json("rest.json")["kl_divergence"], json("whole.json")["kl_divergence"]);

  const std::string state = "run/state.safetensors";
  expect_failure(short_tsne + Arguments{"--resume", state, "--out", "m.npy", "--dimensions", "3"},
                 3, state + ": the state is of 240 x 2; expected 240 x 3");
  expect_failure(tsne_of_images + Arguments{"--perplexity", "20", "--resume", state, "--out",
                                            "m.npy", "--iterations", "150"},
                 3, state + ": the state is of iteration 200");
  write("few.csv", few_rows(60));
  expect_failure({"tsne", "--data", "few.csv", "--perplexity", "5", "--resume", state, "--out",
                  "m.npy", "--device", "cpu"},
                 3, state + ": the state is of 240 x 2; expected 60 x 2");
  expect_failure(short_tsne + Arguments{"--resume", "images.idx", "--out", "m.npy"}, 3,
                 "images.idx");
  expect_failure(short_tsne + Arguments{"--resume", "none.safetensors", "--out", "m.npy"}, 3,
                 "none.safetensors");
  expect_failure(short_tsne + Arguments{"--snapshots", "images.idx", "--out", "m.npy"}, 3,
                 "images.idx");
}

TEST_F(CommandTest, InterruptedTsneSaysWhereToGoOn) {
  const Arguments endless{"tsne",  "--data",       "images.idx", "--out",
                          "m.npy", "--iterations", "100000000",  "--device",
                          "cpu",   "--threads",    "1",          "--perplexity",
                          "20",    "--snapshots",  "run"};
  const pid_t child = work_.start(endless);
  for (int i = 0; i < 1000 && !exists("run/state.safetensors"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  kill(child, SIGINT);
  const Outcome outcome = work_.finish(child);
  EXPECT_EQ(outcome.status, 130) << outcome.err;
  EXPECT_FALSE(exists("m.npy"));
  const int done = load_tsne_state(path("run/state.safetensors")).iteration;
  EXPECT_NE(outcome.err.find("--resume run/state.safetensors goes on from iteration " +
                             std::to_string(done)),
            std::string::npos)
      << outcome.err;
}

TEST_F(CommandTest, TsneOfGivenNeighboursAndAffinities) {
  const Matrix x = load_matrix(path("floats.npy"));
  Matrix distances(rows, rows);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < rows; ++j) {
      double square = 0;
      for (std::int64_t c = 0; c < columns; ++c)
        square += std::pow(static_cast<double>(x(i, c)) - x(j, c), 2);
      distances(i, j) = static_cast<float>(std::sqrt(square));
    }
  }
  save_matrix(path("distances.npy"), distances);
  const Arguments common{"--iterations", "100", "--perplexity", "20", "--device", "cpu"};
  const Arguments by_matrix = Arguments{"tsne", "--distance-matrix", "distances.npy"} + common;
  const Outcome without = run(by_matrix + Arguments{"--out", "d.npy", "--json", "d.json"});
  ASSERT_EQ(without.status, 0) << without.err;
  EXPECT_EQ(json("d.json")["neighbour_method"], "given");
  EXPECT_EQ(json("d.json")["options"]["init"], "random");
  EXPECT_EQ(json("d.json")["options"]["data"], nullptr);
  EXPECT_EQ(json("d.json")["trustworthiness"], nullptr);

  // The search, the matrix and the search's affinities make one map.
  const Arguments searched = Arguments{"tsne", "--data", "floats.npy"} + common;
  ASSERT_EQ(run(searched + Arguments{"--out", "s.npy", "--json", "s.json", "--save-affinities",
                                     "p.safetensors"})
                .status,
            0);
  ASSERT_EQ(run(by_matrix + Arguments{"--data", "floats.npy", "--out", "m.npy", "--json", "m.json"})
                .status,
            0);
  EXPECT_NEAR(json("m.json")["kl_divergence"], json("s.json")["kl_divergence"], 0.02);
  EXPECT_GT(json("m.json")["trustworthiness"], 0.5);
  const Arguments loaded{"tsne",  "--data",       "floats.npy", "--affinities", "p.safetensors",
                         "--out", "p.npy",        "--json",     "p.json",       "--device",
                         "cpu",   "--iterations", "100"};
  const Outcome again = run(loaded);
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_file(work_.at("p.npy")), read_file(work_.at("s.npy")));
  EXPECT_EQ(json("p.json")["options"]["perplexity"], nullptr);
  EXPECT_EQ(json("p.json")["options"]["affinities"], "p.safetensors");

  expect_failure(loaded + Arguments{"--perplexity", "5"}, 2, "--perplexity");
  expect_failure(loaded + Arguments{"--metric", "cosine"}, 2, "--metric");
  expect_failure(loaded + Arguments{"--distance-matrix", "distances.npy"}, 2, "--distance-matrix");
  expect_failure(by_matrix + Arguments{"--neighbours", "exact", "--out", "m.npy"}, 2,
                 "--neighbours");
  expect_failure(by_matrix + Arguments{"--neighbour-indices", "floats.npy", "--out", "m.npy"}, 2,
                 "--neighbour-indices");
  expect_failure(searched + Arguments{"--neighbour-indices", "floats.npy", "--out", "m.npy"}, 2,
                 "expected both");
  expect_failure(searched + Arguments{"--neighbour-indices", "floats.npy", "--neighbour-distances",
                                      "floats.npy", "--out", "m.npy"},
                 3, "floats.npy");
  expect_failure(searched + Arguments{"--affinities", "floats.npy", "--out", "m.npy"}, 2,
                 "--affinities");
  expect_failure(searched + Arguments{"--distance-matrix", "floats.npy", "--out", "m.npy"}, 3,
                 "floats.npy");
  expect_failure(Arguments{"tsne", "--out", "m.npy"} + common, 2, "--data is required");
}

TEST_F(CommandTest, PlacePutsNewRowsAmongTheirOwn) {
  ASSERT_EQ(run(short_tsne + Arguments{"--out", "map.npy"}).status, 0);
  const Arguments place{"place",   "--data",   "images.idx", "--reference",  "images.idx", "--map",
                        "map.npy", "--device", "cpu",        "--perplexity", "5"};
  const Outcome outcome =
      run(place + Arguments{"--out", "new.npy", "--json", "new.json", "--plot", "new.png"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(read_file(work_.at("new.png")).substr(1, 3), "PNG");
  EXPECT_EQ(json("new.json")["rows"], rows);
  EXPECT_EQ(json("new.json")["options"]["perplexity"], 5);
  const Matrix map = load_matrix(path("map.npy")), placed = load_matrix(path("new.npy"));
  ASSERT_EQ(placed.rows, rows);
  int right = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    std::int64_t nearest = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::int64_t j = 0; j < rows; ++j) {
      const double d = std::hypot(placed(i, 0) - map(j, 0), placed(i, 1) - map(j, 1));
      if (d < least) {
        least = d;
        nearest = j;
      }
    }
    right += nearest % 4 == i % 4;  // the blobs' labels
  }
  EXPECT_GE(right, 236);
  EXPECT_NE(read_file(work_.at("new.npy")), read_file(work_.at("map.npy")));
  ASSERT_EQ(run(place + Arguments{"--out", "first.npy", "--iterations", "0"}).status, 0);
  EXPECT_NE(read_file(work_.at("first.npy")), read_file(work_.at("new.npy")));

  expect_failure(place + Arguments{"--out", "n.npy", "--plot", "n.jpg"}, 2, ".png or .svg");
  expect_failure(place + Arguments{"--out", "n.npy", "--learning-rate", "-1"}, 2, "learning rate");
  expect_failure({"place", "--data", "images.idx", "--reference", "images.idx", "--map",
                  "floats.npy", "--out", "n.npy"},
                 3, "240 x 2 or 3");
  write("few.csv", few_rows(9));
  expect_failure({"place", "--data", "few.csv", "--reference", "images.idx", "--map", "map.npy",
                  "--out", "n.npy"},
                 3, "expected 36");
  expect_failure({"place", "--data", "floats.npy", "--reference", "images.idx", "--map", "map.npy",
                  "--out", "n.npy"},
                 3, "expected one type");
  save_matrix(path("solid.npy"), Matrix(rows, 3));
  expect_failure({"place", "--data", "images.idx", "--reference", "images.idx", "--map",
                  "solid.npy", "--out", "n.npy", "--plot", "n.png"},
                 2, "2 dimensions");
}

TEST_F(CommandTest, ScoreGivesWhatItsInputsAllow) {
  ASSERT_EQ(
      run({"score", "--map", "floats.npy", "--labels", "labels.idx", "--json", "l.json"}).status,
      0);
  EXPECT_TRUE(json("l.json").contains("silhouette"));
  EXPECT_FALSE(json("l.json").contains("trustworthiness"));
  ASSERT_EQ(
      run({"score", "--map", "floats.npy", "--data", "images.idx", "--json", "d.json"}).status, 0);
  EXPECT_FALSE(json("d.json").contains("silhouette"));
  EXPECT_GT(json("d.json")["trustworthiness"], 0.999);     // the map is the data
  EXPECT_FALSE(json("d.json").contains("kl_divergence"));  // 36 dimensions
}

TEST_F(CommandTest, InterruptedTrainingIsSavedAnd130) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const pid_t child =
        work_.start({"train", "--data", "images.idx", "--out", "m.safetensors", "--epochs",
                     "1000000", "--device", "cpu", "--threads", "1", "--json", "m.json"});
    // Until the first epoch has been printed.
    for (int i = 0; i < 1000 && read_file(work_.at("stdout")).find("epoch ") == std::string::npos;
         ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    kill(child, signal);
    const Outcome outcome = work_.finish(child);
    EXPECT_EQ(outcome.status, 130) << outcome.err;
    EXPECT_NE(outcome.err.find("m.safetensors"), std::string::npos) << outcome.err;
    EXPECT_EQ(Autoencoder::load(path("m.safetensors")).spec.inputs, columns);
    EXPECT_EQ(json("m.json")["interrupted"], true);
    EXPECT_GE(json("m.json")["history"]["loss"].size(), 1u);
    std::filesystem::remove(work_.at("m.safetensors"));
  }
}

TEST_F(CommandTest, InterruptedTsneIs130AndLeavesNothing) {
  const pid_t child = work_.start({"tsne", "--data", "images.idx", "--out", "map.npy",
                                   "--iterations", "100000000", "--device", "cpu"});
  for (int i = 0; i < 1000 && read_file(work_.at("stderr")).find("iteration ") == std::string::npos;
       ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  kill(child, SIGINT);
  const Outcome outcome = work_.finish(child);
  EXPECT_EQ(outcome.status, 130) << outcome.err;
  EXPECT_EQ(work_.files().size(), 3u);
}

}  // namespace
}  // namespace hourglass
