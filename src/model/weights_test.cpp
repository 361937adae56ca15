#include "nearlite/model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nearlite/base/error.h"
#include "nearlite/model/transformer.h"
#include "nearlite_test/message_of.h"
#include "testing/random_bert.h"

namespace nearlite {
namespace {

using nearlite::testing::safetensors_bytes;
using nearlite::testing::write_file;
using nearlite::testing::write_safetensors;
using ::testing::HasSubstr;

class SafetensorsTest : public ::testing::Test {
 protected:
  std::string refusal(const std::string& bytes) {
    write_file(folder_.path() / "model.safetensors", bytes);
    return message_of<CorruptData>([&] { SafetensorsFile(folder_.path() / "model.safetensors"); });
  }
  Weights weights_of(const std::string& header, const std::string& data) {
    write_file(folder_.path() / "model.safetensors", safetensors_bytes(header, data));
    return Weights(folder_.path());
  }
  TemporaryFolder folder_;
};

std::string four_floats() {
  const float values[] = {1.0F, -2.0F, 0.5F, 1e-3F};
  return {reinterpret_cast<const char*>(values), sizeof values};
}

TEST_F(SafetensorsTest, ReadsTensorsAndTheirShapes) {
  const Weights weights = weights_of(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})",
      four_floats());
  EXPECT_EQ(weights.read("a", {2, 2}), (std::vector<float>{1.0F, -2.0F, 0.5F, 1e-3F}));
  EXPECT_EQ(weights.shape("a"), (std::vector<std::size_t>{2, 2}));
}

TEST_F(SafetensorsTest, ReadsHalfAndBrainFloats) {
  const std::uint16_t bits[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x3f80, 0xc049};
  const Weights weights = weights_of(
      R"({"h":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}})",
      {reinterpret_cast<const char*>(bits), sizeof bits});
  EXPECT_EQ(weights.read("h", {4}), (std::vector<float>{1.0F, -2.0F, 0x1p-24F, 65504.0F}));
  EXPECT_EQ(weights.read("b", {2}), (std::vector<float>{1.0F, -3.140625F}));
  EXPECT_FALSE(weights.view("h", {4}));
}

TEST_F(SafetensorsTest, ReadsSingleRowsOfEveryType) {
  const std::uint16_t bits[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x3f80, 0xc049, 0x4000, 0x0000};
  const Weights weights = weights_of(
      R"({"f":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"h":{"dtype":"F16","shape":[2,2],"data_offsets":[16,24]},"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[24,32]}})",
      four_floats() + std::string(reinterpret_cast<const char*>(bits), sizeof bits));
  for (const char* name : {"f", "h", "b"}) {
    const std::vector<float> whole = weights.read(name, {2, 2});
    const TensorRows rows = weights.rows(name, {2, 2});
    std::vector<float> row(2);
    for (const std::size_t i : {1, 0}) {
      rows.read(i, row);
      EXPECT_EQ(row, std::vector<float>({whole[2 * i], whole[2 * i + 1]})) << name;
    }
  }
  EXPECT_THROW(weights.rows("f", {2, 3}), CorruptData);
}

TEST_F(SafetensorsTest, RefusesARowOfAFileThatWasCut) {
  const Weights weights =
      weights_of(R"({"f":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})", four_floats());
  const TensorRows rows = weights.rows("f", {2, 2});
  std::filesystem::resize_file(folder_.path() / "model.safetensors", 40);
  std::vector<float> row(2);
  EXPECT_THROW(rows.read(1, row), CorruptData);
}

TEST_F(SafetensorsTest, LeavesOutTensorsOfOtherTypes) {
  const Weights weights = weights_of(
      R"({"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[],"data_offsets":[8,12]}})",
      std::string(12, '\0'));
  EXPECT_FALSE(weights.has("ids"));
  EXPECT_EQ(weights.read("x", {}), std::vector<float>{0.0F});
}

TEST_F(SafetensorsTest, RefusesAHeaderLongerThanTheFile) {
  EXPECT_THAT(refusal(std::string("\x40\0\0\0\0\0\0\0{}", 10)), HasSubstr("said to have 64 bytes"));
  EXPECT_THAT(refusal(std::string("\0\0\0\0\0\0\0\x80{}", 10)), HasSubstr("9223372036854775808"));
  EXPECT_THAT(refusal("abc"), HasSubstr("too short"));
}

TEST_F(SafetensorsTest, RefusesAHeaderOverTheLimit) {
  EXPECT_THAT(refusal(safetensors_bytes(std::string((16U << 20U) + 1, ' '), "")),
              HasSubstr("limit is 16777216"));
}

struct BadHeader {
  const char* name;
  std::string header;
  const char* message;
};

class BadHeaders : public SafetensorsTest, public ::testing::WithParamInterface<BadHeader> {};

TEST_P(BadHeaders, AreRefused) {
  EXPECT_THAT(refusal(safetensors_bytes(GetParam().header, four_floats())),
              HasSubstr(GetParam().message));
}

std::string tensor(const std::string& shape, const std::string& offsets, const char* type = "F32") {
  return R"({"dtype":")" + std::string(type) + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

INSTANTIATE_TEST_SUITE_P(
    Safetensors, BadHeaders,
    ::testing::Values(
        BadHeader{"NotUtf8", "{\"\xff\":1}", "not UTF-8"},
        BadHeader{"NotJson", "{", "not valid JSON"},
        BadHeader{"NotAnObject", "[1]", "not a JSON object"},
        BadHeader{"Deep", std::string(4000, '[') + std::string(4000, ']'), "nested deeper"},
        BadHeader{"Twice",
                  R"({"a":)" + tensor("[2]", "[0,8]") + R"(,"a":)" + tensor("[2]", "[8,16]") + "}",
                  "'a' twice"},
        BadHeader{"Overlap",
                  R"({"a":)" + tensor("[3]", "[0,12]") + R"(,"b":)" + tensor("[2]", "[8,16]") + "}",
                  "(overlap)"},
        BadHeader{"Gap",
                  R"({"a":)" + tensor("[1]", "[0,4]") + R"(,"b":)" + tensor("[2]", "[8,16]") + "}",
                  "(gap)"},
        BadHeader{"Backwards", R"({"a":)" + tensor("[4]", "[16,0]") + "}", "needs 16 bytes"},
        BadHeader{"NotAll", R"({"a":)" + tensor("[2]", "[0,8]") + "}", "file has 16"},
        BadHeader{"Beyond", R"({"a":)" + tensor("[8]", "[0,32]") + "}", "file has 16"},
        BadHeader{"Overflow", R"({"a":)" + tensor("[4294967296,4294967296]", "[0,16]") + "}",
                  "overflows"},
        BadHeader{"Negative", R"({"a":)" + tensor("[-4]", "[0,16]") + "}", "not a whole number"},
        BadHeader{"Huge", R"({"a":)" + tensor("[1e18]", "[0,16]") + "}", "not a whole number"},
        BadHeader{"Rank", R"({"a":)" + tensor("[1,1,1,1,1,1,1,1,4]", "[0,16]") + "}",
                  "9 dimensions"},
        BadHeader{"Type", R"({"a":)" + tensor("[4]", "[0,16]", "Q4_0") + "}", "unknown type"},
        BadHeader{"Size", R"({"a":)" + tensor("[5]", "[0,16]") + "}", "needs 20 bytes"},
        BadHeader{"Missing", R"({"a":{"dtype":"F32"}})", "lacks dtype, shape or data_offsets"}),
    [](const auto& instance) { return instance.param.name; });

TEST_F(SafetensorsTest, RefusesAHeaderThatWouldFillTheMemory) {
  std::string header = "{\"a\":[";
  for (int i = 0; i < 3'000'000; ++i) header += "0,";
  EXPECT_THAT(refusal(safetensors_bytes(header + "0]}", "")),
              HasSubstr("more than 2000000 names and values"));
}

TEST_F(SafetensorsTest, NamesTheTensorThatIsMissingOrMisshapen) {
  const Weights weights =
      weights_of(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", four_floats());
  EXPECT_THAT(message_of<CorruptData>([&] {
                weights.read("b", {2, 2});
              }),
              HasSubstr("no tensor 'b' of shape [2, 2]"));
  EXPECT_THAT(message_of<CorruptData>([&] {
                weights.read("a", {2, 2});
              }),
              HasSubstr("'a' has the shape [4], the configuration wants [2, 2]"));
}

TEST_F(SafetensorsTest, RefusesWeightsThatAreNotFinite) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::string data = four_floats();
    std::memcpy(data.data() + 8, &bad, sizeof bad);
    const Weights weights =
        weights_of(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}} )", data);
    EXPECT_THAT(message_of<CorruptData>([&] { weights.read("a", {4}); }),
                HasSubstr("'a' holds a NaN"));
    EXPECT_THROW(weights.view("a", {4}), CorruptData);
  }
}

TEST(WeightsTest, ReadsShardsThatAnIndexNames) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "model-1.safetensors", {{"a", {1}, {1.0F}}});
  write_safetensors(folder.path() / "model-2.safetensors", {{"b", {1}, {2.0F}}});
  write_file(folder.path() / "model.safetensors.index.json",
             R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})");
  const Weights weights(folder.path());
  EXPECT_EQ(weights.read("a", {1})[0] + weights.read("b", {1})[0], 3.0F);
  std::filesystem::remove(folder.path() / "model-2.safetensors");
  EXPECT_THAT(message_of<NotFound>([&] { Weights{folder.path()}; }),
              HasSubstr("model-2.safetensors is named by"));
}

TEST(WeightsTest, RefusesShardsOutsideTheFolder) {
  for (const char* name : {"../../x.safetensors", "/etc/x.safetensors", "x.bin", ""}) {
    const TemporaryFolder folder;
    write_file(folder.path() / "model.safetensors.index.json",
               R"({"weight_map": {"a": ")" + std::string(name) + R"("}})");
    EXPECT_THAT(message_of<CorruptData>([&] { Weights{folder.path()}; }),
                HasSubstr("is not the name of a safetensors file"));
  }
}

TEST(WeightsTest, NeverLoadsPickle) {
  const TemporaryFolder folder;
  write_file(folder.path() / "pytorch_model.bin", "x");
  EXPECT_THAT(message_of<NotFound>([&] { Weights{folder.path()}; }),
              HasSubstr("pickle is never loaded; convert to safetensors"));
  std::filesystem::remove(folder.path() / "pytorch_model.bin");
  EXPECT_THAT(message_of<NotFound>([&] { Weights{folder.path()}; }), HasSubstr("has neither"));
}

class ConfigTest : public ::testing::Test {
 protected:
  TransformerConfig read(const std::string& from, const std::string& to) {
    std::string text = nearlite::testing::RandomBert({}).config_json();
    const std::size_t at = text.find(from);
    text.replace(at, from.size(), to);
    write_file(folder_.path() / "config.json", text);
    return read_transformer_config(folder_.path() / "config.json");
  }
  TemporaryFolder folder_;
};

TEST_F(ConfigTest, ReadsBert) {
  const TransformerConfig config = read("bert", "bert");
  EXPECT_EQ(config.architecture, "bert");
  EXPECT_EQ(config.num_layers, 2U);
  EXPECT_EQ(config.hidden, 24U);
  EXPECT_EQ(config.activation, Activation::kGeluErf);
  EXPECT_EQ(read("\"gelu\"", "\"gelu_new\"").activation, Activation::kGeluTanh);
  EXPECT_EQ(read("\"gelu\"", "\"relu\"").activation, Activation::kRelu);
}

TEST_F(ConfigTest, RefusesWhatItDoesNotSupportByName) {
  EXPECT_THAT(message_of<CorruptData>([&] { read("\"bert\"", "\"t5\""); }),
              HasSubstr("'t5' (\"model_type\") is not supported; supported are: bert"));
  EXPECT_THAT(message_of<CorruptData>([&] { read("\"gelu\"", "\"swish\""); }),
              HasSubstr("'swish' is not supported; supported are gelu"));
  EXPECT_THAT(message_of<CorruptData>([&] {
                read("\"hidden_act\"",
                     "\"position_embedding_type\": \"relative_key\", \"hidden_act\"");
              }),
              HasSubstr("relative_key"));
}

TEST_F(ConfigTest, RefusesValuesOutOfTheirLimits) {
  EXPECT_THAT(message_of<CorruptData>([&] { read("_layers\": 2", "_layers\": 1000000000"); }),
              HasSubstr("allowed is 1 to 256"));
  EXPECT_THAT(message_of<CorruptData>([&] { read("_size\": 24", "_size\": 0"); }),
              HasSubstr("\"hidden_size\" is 0"));
  EXPECT_THAT(message_of<CorruptData>([&] { read("_heads\": 3", "_heads\": 5"); }),
              HasSubstr("5 attention heads do not divide the hidden size 24"));
  EXPECT_THAT(message_of<CorruptData>([&] { read("\"vocab_size\": 50, ", ""); }),
              HasSubstr("lacks \"vocab_size\""));
}

}  // namespace
}  // namespace nearlite
