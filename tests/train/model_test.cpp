// A model after training: codes, reconstructions, its file.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/data/safetensors.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"
#include "tests/oracle/recording_backend.hpp"
#include "tests/train/row_files.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::oracle_evaluate;
using testing_support::random_bytes;

Autoencoder example(Device& device, const Dataset& data) {
  AutoencoderSpec spec;
  spec.inputs = data.columns;
  spec.hidden = {9, 4};
  spec.code_activation = Activation::sigmoid;
  return Autoencoder::initialise(spec, Scaler::fit(device, data, Scaling::unit), 6);
}

TEST(Model, BlocksOfRowsMatchTheOracle) {
  Device device = Device::open("cpu", 2);
  const Dataset data = random_bytes(4099, 12, 1);  // one block of 4096 and three rows
  const Autoencoder model = example(device, data);
  oracle::Matrix64 x(data.rows, data.columns, std::get<0>(data.values));
  for (double& value : x.values)
    value /= 255.0;
  const auto want =
      oracle_evaluate(model.spec, {model.parameters.begin(), model.parameters.end()}, x, x);
  const Matrix codes = model.encode(device, data);
  const Matrix reconstructions = model.reconstruct(device, data);
  ASSERT_EQ(codes.rows, 4099);
  ASSERT_EQ(codes.columns, 4);
  for (std::size_t i = 0; i < codes.values.size(); ++i) {
    ASSERT_NEAR(codes.values[i], want.codes.values[i], 2e-6);
  }
  double squares = 0.0;
  for (std::size_t i = 0; i < reconstructions.values.size(); ++i) {
    ASSERT_NEAR(reconstructions.values[i], want.reconstructions.values[i], 2e-6);
    squares += std::pow(want.reconstructions.values[i] - x.values[i], 2);
  }
  EXPECT_NEAR(model.reconstruction_loss(device, data), want.reconstruction, 1e-6);
  EXPECT_NEAR(model.squared_error(device, data), squares / static_cast<double>(x.values.size()),
              1e-6);
  EXPECT_EQ(model.decode(device, codes).values, reconstructions.values);
}

TEST(Model, RowsOfAFileGiveTheSameBits) {
  const testing::Scratch scratch;
  const auto record = std::make_shared<testing_support::Record>();
  record->backend_name = "cuda";  // as if its memory were not the host's
  Device devices[] = {Device::open("cpu", 2), testing_support::recording_device(record, 2, "cuda")};
  for (const Dataset& data :
       {random_bytes(9000, 12, 1), testing_support::random_floats(9000, 12, 2)}) {
    const RowFile file = RowFile::open(testing_support::write_rows(scratch, "rows", data));
    for (Device& device : devices) {
      const Autoencoder model = example(device, data);
      const Matrix codes = model.encode(device, data);
      const Matrix reconstructions = model.reconstruct(device, data);
      EXPECT_EQ(model.encode(device, file).values, codes.values);
      EXPECT_EQ(model.reconstruct(device, file).values, reconstructions.values);
      EXPECT_EQ(model.reconstruction_loss(device, file), model.reconstruction_loss(device, data));
      EXPECT_EQ(model.squared_error(device, file), model.squared_error(device, data));
      EXPECT_EQ(model.encode(device, RowSource(file).slice(4100, 4200)).values,
                model.encode(device, data.slice(4100, 4200)).values);
    }
  }
}

TEST(Model, BlocksForASinkAreTheRowsOfTheWhole) {
  Device device = Device::open("cpu", 2);
  const Dataset data = random_bytes(9000, 12, 1);
  for (const Loss loss : {Loss::bce, Loss::mse}) {
    Autoencoder model = example(device, data);
    model.spec.loss = loss;
    std::vector<float> got;
    const auto collect = [&](std::int64_t width) {
      return [&got, width](std::int64_t first, std::span<float> values) {
        EXPECT_EQ(first * width, static_cast<std::int64_t>(got.size()));
        EXPECT_LT(values.size(), 9000u * static_cast<std::size_t>(width)) << "all at once";
        got.insert(got.end(), values.begin(), values.end());
        std::fill(values.begin(), values.end(), -7.0f);  // the sink's to change
      };
    };
    model.encode(device, data, collect(4));
    EXPECT_EQ(got, model.encode(device, data).values);
    got.clear();
    const ReconstructionFigures figures = model.reconstruct(device, data, collect(12));
    EXPECT_EQ(got, model.reconstruct(device, data).values);
    EXPECT_EQ(figures.loss, model.reconstruction_loss(device, data));
    EXPECT_EQ(figures.squared_error, model.squared_error(device, data));
    const Dataset none = random_bytes(0, 12, 1);
    const auto refuse = [](std::int64_t, std::span<float>) { FAIL() << "there are no rows"; };
    model.encode(device, none, refuse);
    EXPECT_TRUE(std::isnan(model.reconstruct(device, none, refuse).loss));
  }
}

TEST(Model, WhatASinkThrowsEndsThePass) {
  const testing::Scratch scratch;
  Device device = Device::open("cpu", 2);
  const Dataset data = random_bytes(9000, 12, 1);
  const RowFile file = RowFile::open(testing_support::write_rows(scratch, "rows", data));
  const Autoencoder model = example(device, data);
  int calls = 0;
  const RowSink sink = [&](std::int64_t, std::span<float>) {
    if (++calls == 2) throw Interrupted("interrupted");
  };
  EXPECT_THROW(model.encode(device, file, sink), Interrupted);
  EXPECT_EQ(calls, 2);
  calls = 0;
  EXPECT_THROW((void)model.reconstruct(device, data, sink), Interrupted);
}

TEST(Model, AFileThatIsCutOrNotFiniteIsNamed) {
  const testing::Scratch scratch;
  Device device = Device::open("cpu", 2);
  Dataset data = testing_support::random_floats(9000, 12, 2);
  const Autoencoder model = example(device, data);
  std::get<1>(data.values)[8000 * 12 + 3] = std::numeric_limits<float>::quiet_NaN();
  const RowFile bad = RowFile::open(testing_support::write_rows(scratch, "bad", data));
  testing::expect_error([&] { (void)model.encode(device, bad); },
                        {"bad.npy", "row 8000, column 3"});
  testing::expect_error([&] { (void)model.reconstruction_loss(device, data); },
                        {"row 8000, column 3"});
  const RowFile cut = RowFile::open(testing_support::write_rows(scratch, "cut", data));
  const std::string path = scratch.path("cut.npy");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 2000 * 12 * 4);
  testing::expect_error([&] { (void)model.encode(device, cut); },
                        {path, "ends at byte", "row 7000"});
  testing::expect_error([&] { (void)Scaler::fit(device, cut, Scaling::standard); },
                        {path, "row 7000"});
}

TEST(Model, NoRowsAreLegalForCodesAndNotForALoss) {
  Device device = Device::open("cpu", 1);
  const Autoencoder model = example(device, random_bytes(3, 12, 1));
  const Dataset none = random_bytes(0, 12, 1);
  EXPECT_EQ(model.encode(device, none).rows, 0);
  EXPECT_EQ(model.reconstruct(device, none).rows, 0);
  EXPECT_EQ(model.decode(device, Matrix(0, 4)).columns, 12);
  EXPECT_THROW((void)model.reconstruction_loss(device, none), InputError);
  EXPECT_THROW((void)model.encode(device, random_bytes(3, 11, 1)), InputError);
  EXPECT_THROW((void)model.decode(device, Matrix(3, 5)), InputError);
}

class ModelFile : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("hourglass-model-" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
    path_ = (directory_ / "model.safetensors").string();
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string load_error() const {
    try {
      (void)Autoencoder::load(path_);
    } catch (const InputError& error) {
      return error.what();
    }
    return "(no error)";
  }
  /// The file with one thing changed.
  std::string error_after(const std::function<void(TensorFile&)>& change) const {
    TensorFile file = load_safetensors(path_);
    change(file);
    save_safetensors(path_, file);
    return load_error();
  }

  Device device_ = Device::open("cpu", 1);
  Dataset data_ = random_bytes(30, 12, 1);
  std::filesystem::path directory_;
  std::string path_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(ModelFile, RoundTripKeepsEveryBit) {
  for (const Scaling scaling : {Scaling::none, Scaling::unit, Scaling::standard}) {
    AutoencoderSpec spec;
    spec.inputs = 12;
    spec.hidden = {9, 4};
    spec.activation = Activation::gelu;
    spec.loss = Loss::mse;
    spec.output_activation = Activation::linear;
    const Autoencoder model =
        Autoencoder::initialise(spec, Scaler::fit(device_, data_, scaling), 6);
    model.save(path_, {{"note", "epoch 3"}});
    const Autoencoder loaded = Autoencoder::load(path_);
    EXPECT_EQ(loaded.spec, model.spec);
    EXPECT_EQ(loaded.parameters, model.parameters);
    EXPECT_EQ(loaded.scaler.scaling, scaling);
    EXPECT_EQ(loaded.scaler.offset, model.scaler.offset);
    EXPECT_EQ(loaded.scaler.factor, model.scaler.factor);
    EXPECT_EQ(load_safetensors(path_).metadata.at("note"), "epoch 3");
    const std::string first = bytes_of(path_);
    loaded.save(path_, {{"note", "epoch 3"}});
    EXPECT_EQ(bytes_of(path_), first);
  }
}

TEST_F(ModelFile, HoldsTheTensorsThatItPromises) {
  example(device_, data_).save(path_);
  const TensorFile file = load_safetensors(path_);
  const auto shape = [&](const char* name) {
    const NamedTensor* tensor = file.find(name);
    return tensor == nullptr ? std::vector<std::int64_t>{-1} : tensor->shape;
  };
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(shape("encoder.0.weight"), (Shape{12, 9}));
  EXPECT_EQ(shape("encoder.0.bias"), (Shape{9}));
  EXPECT_EQ(shape("encoder.1.weight"), (Shape{9, 4}));
  EXPECT_EQ(shape("decoder.0.weight"), (Shape{4, 9}));
  EXPECT_EQ(shape("decoder.1.weight"), (Shape{9, 12}));
  EXPECT_EQ(shape("decoder.1.bias"), (Shape{12}));
  EXPECT_EQ(shape("scaler.offset"), (Shape{12}));
  EXPECT_EQ(shape("scaler.factor"), (Shape{12}));
  EXPECT_EQ(file.tensors.size(), 10u);
}

TEST_F(ModelFile, WhatIsMissingOrDoesNotFitIsNamed) {
  const auto error_of = [&](const std::function<void(TensorFile&)>& change) {
    example(device_, data_).save(path_);
    return error_after(change);
  };
  const auto contains = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_NE(message.find("model.safetensors"), std::string::npos) << message;
  };
  contains(error_of([](TensorFile& f) { f.tensors.erase(f.tensors.begin() + 2); }),
           "\"encoder.1.weight\"");
  contains(error_of([](TensorFile& f) { std::swap(f.tensors[0].shape[0], f.tensors[0].shape[1]); }),
           "9 x 12");
  contains(error_of([](TensorFile& f) {
             f.tensors[3].values[1] = std::numeric_limits<float>::quiet_NaN();
           }),
           "element 1");
  contains(error_of([](TensorFile& f) { f.tensors.back().values[5] = 0.0f; }), "scaler.factor");
  contains(error_of([](TensorFile& f) { f.metadata.erase("spec"); }), "\"spec\"");
  contains(error_of([](TensorFile& f) { f.metadata["spec"] = "{"; }), "\"spec\"");
  contains(error_of([](TensorFile& f) { f.metadata["scaling"] = "log"; }), "\"scaling\"");
  contains(error_of([](TensorFile& f) { f.metadata["format"] = "pt"; }), "\"format\"");
  contains(error_of([](TensorFile& f) { f.metadata.clear(); }), "format");
}

TEST_F(ModelFile, EveryCutIsAnError) {
  example(device_, data_).save(path_);
  const std::string whole = bytes_of(path_);
  for (std::size_t length = 0; length < whole.size();
       length += length < 64 ? 1 : whole.size() / 50) {
    std::ofstream(path_, std::ios::binary)
        .write(whole.data(), static_cast<std::streamsize>(length));
    ASSERT_NE(load_error(), "(no error)") << "cut to " << length << " bytes";
  }
}

TEST_F(ModelFile, AnIncompleteModelIsNotWritten) {
  Autoencoder model = example(device_, data_);
  model.parameters.pop_back();
  EXPECT_THROW(model.save(path_), UsageError);
  EXPECT_FALSE(std::filesystem::exists(path_));
  model = example(device_, data_);
  EXPECT_THROW(model.save((directory_ / "none" / "model.safetensors").string()), InputError);
}

}  // namespace
}  // namespace hourglass
