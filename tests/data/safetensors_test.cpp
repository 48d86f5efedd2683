#include "host/data/safetensors.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::bytes_of_number;
using testing::content;
using testing::expect_error;
using testing::gzip;
using testing::Scratch;

std::string safetensors(const std::string& header, const std::string& data) {
  return bytes_of_number(static_cast<std::uint64_t>(header.size()), false) + header + data;
}

TensorFile example() {
  TensorFile file;
  file.metadata = {{"format", "hourglass"}, {"spec", R"({"hidden":[32]})"}, {"name", "\u00e9\n\""}};
  file.tensors.push_back({"encoder.0.weight", {2, 3}, {1, 2, 3, 4, 5, 6}});
  file.tensors.push_back({"encoder.0.bias", {3}, {-1, 0, 1e30F}});
  file.tensors.push_back({"empty", {0, 5}, {}});
  file.tensors.push_back({"scalar", {}, {7}});
  return file;
}

TEST(Safetensors, RoundTripsTensorsAndMetadata) {
  const Scratch scratch;
  const std::string path = scratch.path("model.safetensors");
  const TensorFile file = example();
  save_safetensors(path, file);
  const TensorFile back = load_safetensors(path);
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  for (const NamedTensor& tensor : file.tensors) {
    const NamedTensor* found = back.find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->shape, tensor.shape);
    EXPECT_EQ(found->values, tensor.values);
  }
  EXPECT_EQ(back.find("decoder"), nullptr);
  save_safetensors(scratch.path("again.safetensors"), back);
  EXPECT_EQ(content(scratch.path("again.safetensors")), content(path));
}

TEST(Safetensors, KeepsEveryBit) {
  const Scratch scratch;
  TensorFile file;
  NamedTensor tensor{"x", {1000}, {}};
  for (std::uint32_t i = 0; i < 1000; ++i) {
    tensor.values.push_back(std::bit_cast<float>(i * 4294967U));
  }
  tensor.values[0] = std::numeric_limits<float>::quiet_NaN();
  file.tensors.push_back(tensor);
  save_safetensors(scratch.path("x"), file);
  const TensorFile back = load_safetensors(scratch.path("x"));
  for (std::size_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(back.tensors[0].values[i]),
              std::bit_cast<std::uint32_t>(tensor.values[i]));
  }
}

TEST(Safetensors, TheBytesAreThoseOfTheFormat) {
  const Scratch scratch;
  TensorFile file;
  file.metadata["k"] = "v";
  file.tensors.push_back({"b", {2}, {1, -2}});
  file.tensors.push_back({"a", {1}, {0.5F}});
  save_safetensors(scratch.path("f"), file);
  const std::string bytes = content(scratch.path("f"));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0U);
  ASSERT_EQ(bytes.size(), 8 + length + 12);
  EXPECT_EQ(nlohmann::json::parse(bytes.substr(8, length)), nlohmann::json::parse(R"({
    "__metadata__": {"k": "v"},
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}})"));
  EXPECT_EQ(bytes.substr(8 + length), bytes_of_number(1.0F, false) + bytes_of_number(-2.0F, false) +
                                          bytes_of_number(0.5F, false));
}

TEST(Safetensors, RoundTripsIntegersBesideFloats) {
  const Scratch scratch;
  TypedTensorFile file;
  file.metadata = {{"k", "v"}};
  file.tensors.push_back({"wide", {2, 1}, std::vector<std::int64_t>{-1, INT64_MAX}});
  file.tensors.push_back({"narrow", {3}, std::vector<std::int32_t>{7, 0, INT32_MIN}});
  file.tensors.push_back({"values", {1}, std::vector<float>{0.5F}});
  save_typed_safetensors(scratch.path("f"), file);
  const TypedTensorFile back = load_typed_safetensors(scratch.path("f"));
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(back.tensors[i].name, file.tensors[i].name);
    EXPECT_EQ(back.tensors[i].shape, file.tensors[i].shape);
    EXPECT_EQ(back.tensors[i].values, file.tensors[i].values);
  }
  // Models hold floats only.
  expect_error([&] { (void)load_safetensors(scratch.path("f")); },
               {"\"wide\"", "\"I64\", expected \"F32\""});
  const std::string bad = scratch.file(
      "b", safetensors(R"({"a":{"dtype":"I64","shape":[2],"data_offsets":[0,8]}}  )", "12345678"));
  expect_error([&] { (void)load_typed_safetensors(bad); },
               {"\"a\" has 8 bytes of data, expected 8 bytes for each of [2]"});
  const std::string other = scratch.file(
      "o", safetensors(R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}  )", "12345678"));
  expect_error([&] { (void)load_typed_safetensors(other); },
               {"\"F64\", expected \"F32\", \"I32\" or \"I64\""});
  expect_error<UsageError>(
      [&] {
        save_typed_safetensors(scratch.path("g"), {{}, {{"x", {2}, std::vector<float>{1}}}});
      },
      {"\"x\" has 1 values"});
}

TEST(Safetensors, NoTensorsAreLegal) {
  const Scratch scratch;
  save_safetensors(scratch.path("f"), {});
  const TensorFile back = load_safetensors(scratch.path("f"));
  EXPECT_TRUE(back.tensors.empty());
  EXPECT_TRUE(back.metadata.empty());
}

TEST(Safetensors, TensorsComeInTheOrderOfTheirData) {
  const Scratch scratch;
  const std::string path =
      scratch.file("f", safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
                                    R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  )",
                                    bytes_of_number(1.0F, false) + bytes_of_number(2.0F, false)));
  const TensorFile file = load_safetensors(path);
  EXPECT_EQ(file.tensors[0].name, "b");
  EXPECT_EQ(file.find("a")->values, std::vector<float>{2.0F});
  EXPECT_EQ(file.find("b")->values, std::vector<float>{1.0F});
}

TEST(Safetensors, EveryLieIsAnError) {
  const Scratch scratch;
  const std::string eight(8, '\0');
  const auto expect_bad = [&](const std::string& header, const std::string& data,
                              std::initializer_list<std::string_view> fragments) {
    SCOPED_TRACE(header.substr(0, 200));
    expect_error([&] { (void)load_safetensors(scratch.file("bad", safetensors(header, data))); },
                 fragments);
  };
  const auto tensor = [](const std::string& body) { return R"({"a":{)" + body + "}}"; };
  // The plain case, which the lies below change in one place each.
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  EXPECT_NO_THROW((void)load_safetensors(scratch.file("ok", safetensors(tensor(good), eight))));

  expect_bad("[]", "", {"byte 8"});
  expect_bad("{,}", "", {"no valid JSON at byte 9"});
  expect_bad("{} x", "", {"no valid JSON"});
  expect_bad(R"({"a":1})", "", {"\"a\" is no JSON object"});
  expect_bad(R"({"\ud800":1})", "", {"no valid JSON"});
  expect_bad("{\"\xff\":1}", "", {"no valid JSON"});
  expect_bad(tensor(R"("dtype":"F16","shape":[4],"data_offsets":[0,8])"), eight,
             {"\"a\"", "\"F16\", expected \"F32\""});
  expect_bad(tensor(R"("dtype":32,"shape":[2],"data_offsets":[0,8])"), eight, {"expected \"F32\""});
  expect_bad(tensor(R"("shape":[2],"data_offsets":[0,8])"), eight, {"type none"});
  expect_bad(tensor(R"("dtype":"F32","data_offsets":[0,8])"), eight, {"has no \"shape\""});
  expect_bad(tensor(R"("dtype":"F32","shape":[2])"), eight, {"has no \"data_offsets\""});
  expect_bad(tensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), eight, {"\"shape\""});
  expect_bad(tensor(good + R"(,"extra":1)"), eight, {"\"extra\""});
  for (const std::string size : {"-2", "2.0", "\"2\"", "null", "1e3", "18446744073709551615",
                                 "99999999999999999999", "[[[[[[2]]]]]]"}) {
    expect_bad(tensor(R"("dtype":"F32","shape":[)" + size + R"(],"data_offsets":[0,8])"), eight,
               {"bad"});
  }
  expect_bad(tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), eight,
             {"8 bytes of data", "[3]"});
  expect_bad(tensor(R"("dtype":"F32","shape":[],"data_offsets":[0,8])"), eight,
             {"8 bytes of data"});
  expect_bad(tensor(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0])"), "",
             {"0 bytes of data"});
  expect_bad(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,9])"), eight, {"within the 8"});
  expect_bad(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), eight, {"within the 8"});
  expect_bad(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), eight, {"[begin, end]"});
  expect_bad(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4,8])"), eight,
             {"[begin, end]"});
  expect_bad(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), eight,
             {"begins at byte 4, expected 0"});
  expect_bad(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), eight,
             {"8 bytes of data, its tensors account for 4"});
  expect_bad("{}", eight, {"account for 0"});
  expect_bad(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
             eight, {"\"b\" begins at byte 4, expected 8", "overlap"});
  expect_bad(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
             R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
             eight, {"\"a\" occurs twice"});
  expect_bad(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", eight,
             {"\"dtype\" occurs twice"});
  expect_bad(R"({"__metadata__":{"k":"1","k":"2"}})", "", {"\"k\" occurs twice"});
  expect_bad(R"({"__metadata__":{"k":1}})", "", {"\"k\"", "no string"});
  expect_bad(R"({"__metadata__":"k"})", "", {"no JSON object"});
  expect_bad(R"({"a":1e9999})", "", {"bad"});
  const std::string deep(200000, '[');
  expect_bad(R"({"a":)" + deep + std::string(deep.size(), ']') + "}", "", {"nests deeper"});
}

TEST(Safetensors, LyingHeaderLengthsAreErrors) {
  const Scratch scratch;
  for (const std::uint64_t length :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{11}, std::uint64_t{100'000'001},
        std::uint64_t{0x7FFFFFFFFFFFFFFF}, std::uint64_t{0xFFFFFFFFFFFFFFFF},
        std::uint64_t{0xFFFFFFFFFFFFFFF8}}) {
    const std::string bytes = bytes_of_number(length, false) + "{}        ";
    expect_error([&] { (void)load_safetensors(scratch.file("bad", bytes)); },
                 {"a header of " + std::to_string(length) + " bytes", "expected 2 to 10"});
  }
  expect_error([&] { (void)load_safetensors(scratch.file("z.gz", gzip(std::string(64, 'x')))); },
               {"compressed"});
  expect_error([&] { (void)load_safetensors(scratch.path("none")); }, {"No such file"});
}

TEST(Safetensors, CutAtEveryByteIsAnError) {
  const Scratch scratch;
  save_safetensors(scratch.path("f"), example());
  const std::string good = content(scratch.path("f"));
  for (std::size_t length = 0; length < good.size(); ++length) {
    expect_error([&] { (void)load_safetensors(scratch.file("cut", good.substr(0, length))); },
                 {"cut"});
  }
  expect_error([&] { (void)load_safetensors(scratch.file("long", good + "x")); }, {"account for"});
}

TEST(Safetensors, SurvivesEveryChangeOfAByte) {
  const Scratch scratch;
  save_safetensors(scratch.path("f"), example());
  testing::expect_survives_mutation(scratch, "m", content(scratch.path("f")),
                                    [](const std::string& path) { (void)load_safetensors(path); });
}

TEST(Safetensors, RefusesToWriteWhatItCouldNotRead) {
  const Scratch scratch;
  const std::string path = scratch.path("f");
  const auto save = [&](std::vector<NamedTensor> tensors) {
    return [&path, tensors] { save_safetensors(path, {{}, tensors}); };
  };
  expect_error<UsageError>(save({{"a", {3}, {1, 2}}}), {"\"a\" has 2 values", "[3]"});
  expect_error<UsageError>(save({{"a", {-1}, {}}}), {"[-1]"});
  expect_error<UsageError>(save({{"a", {1LL << 32, 1LL << 32}, {}}}), {"has 0 values"});
  expect_error<UsageError>(save({{"a", {1}, {1}}, {"a", {1}, {1}}}), {"repeated name"});
  expect_error<UsageError>(save({{"__metadata__", {1}, {1}}}), {"reserved name"});
  EXPECT_TRUE(scratch.names().empty());
}

}  // namespace
}  // namespace hourglass
