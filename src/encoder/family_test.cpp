// A small model of every architecture, saved by sentence-transformers, with the vectors that it
// gave (testdata/families, made by tools/make_family_goldens.py): texts beyond every limit, every
// pooling mode, weights of 16 bits and in shards, prompts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

const fs::path kFamilies = fs::path(NEARLITE_ENCODER_TESTDATA) / "families";

const json& goldens() {
  static const json loaded = json::parse(read_file(kFamilies / "goldens.json"));
  return loaded;
}

/// A copy of a family's folder that a test may change.
class FamilyFolder {
 public:
  explicit FamilyFolder(const std::string& family) {
    fs::copy(kFamilies / family, folder_.path() / "model", fs::copy_options::recursive);
  }
  fs::path path() const { return folder_.path() / "model"; }
  std::shared_ptr<const TextEncoder> open() const {
    return open_encoder(path(), {.threads = 1,
                                 .precision = Precision::kFp32,
                                 .digest_cache = folder_.path() / "digests.json"});
  }
  void change(const std::string& file, const std::function<void(json&)>& edit) const {
    json content = json::parse(read_file(path() / file));
    edit(content);
    std::ofstream(path() / file) << content.dump();
  }

 private:
  TemporaryFolder folder_;
};

/// Each component to 1e-5 of the length, and the cosine.
void expect_vectors(const EncodedBatch& batch, const json& expected) {
  const auto texts = goldens().at("texts").get<std::vector<std::string>>();
  ASSERT_EQ(expected.size(), texts.size());
  for (std::size_t t = 0; t < texts.size(); ++t) {
    const auto wanted = expected[t].get<std::vector<double>>();
    ASSERT_EQ(wanted.size(), batch.dim);
    double dot = 0;
    double ours = 0;
    double theirs = 0;
    double error = 0;
    for (std::size_t i = 0; i < batch.dim; ++i) {
      const double a = batch.vector(t)[i];
      dot += a * wanted[i];
      ours += a * a;
      theirs += wanted[i] * wanted[i];
      error = std::max(error, std::abs(a - wanted[i]));
    }
    EXPECT_LE(error, 1e-5 * std::max(1.0, std::sqrt(theirs))) << json(texts[t]).dump();
    if (theirs > 0) {
      EXPECT_GE(dot / std::sqrt(ours * theirs), 0.999999) << json(texts[t]).dump();
    }
  }
}

EncodedBatch encode_all(const TextEncoder& encoder, TextRole role = TextRole::kPlain) {
  const auto texts = goldens().at("texts").get<std::vector<std::string>>();
  return encoder.encode(std::vector<std::string_view>(texts.begin(), texts.end()), role);
}

class EveryFamily : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryFamily, GivesTheVectorsOfTheReference) {
  const FamilyFolder folder(GetParam());
  expect_vectors(encode_all(*folder.open()), goldens().at("vectors").at(GetParam()));
}

TEST_P(EveryFamily, SaysWhatItIs) {
  const FamilyFolder folder(GetParam());
  std::string name = GetParam();
  std::replace(name.begin(), name.end(), '_', '-');
  EXPECT_EQ(folder.open()->info().architecture, name);
  EXPECT_EQ(folder.open()->info().identity.size(), 32U);
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamily,
                         ::testing::Values("bert", "roberta", "xlm_roberta", "camembert", "mpnet",
                                           "distilbert", "static"),
                         [](const auto& family) { return std::string(family.param); });

TEST(Families, PoolInEveryMode) {
  for (const auto& [mode, vectors] : goldens().at("vectors").at("modes").items()) {
    SCOPED_TRACE(mode);
    const FamilyFolder folder("distilbert");
    folder.change("1_Pooling/config.json",
                  [&name = mode](json& config) { config["pooling_mode"] = name; });
    expect_vectors(encode_all(*folder.open()), vectors);
  }
}

TEST(Families, PutTheirPromptBeforeAQuery) {
  const FamilyFolder folder("xlm_roberta");
  expect_vectors(encode_all(*folder.open(), TextRole::kQuery), goldens().at("vectors").at("query"));
}

TEST(Families, ReadNoMoreThanTheirPositionsAllow) {
  // 66 positions, of which RoBERTa leaves the two up to its padding id unused.
  for (const char* family : {"roberta", "xlm_roberta", "camembert"}) {
    const FamilyFolder folder(family);
    folder.change("sentence_bert_config.json",
                  [](json& config) { config["max_seq_length"] = 500; });
    EXPECT_EQ(folder.open()->info().max_tokens, 64U);
  }
}

TEST(Families, RunAllModulesInOrder) {
  const FamilyFolder folder("bert");
  EXPECT_THAT(folder.open()->info().modules,
              ElementsAre("Transformer", "Pooling(cls)", "Dense(24 -> 16, Tanh)", "LayerNorm",
                          "Normalize"));
}

TEST(Families, FollowModel2vecWhereThereIsNoListOfModules) {
  const FamilyFolder folder("static");
  std::ofstream(folder.path() / "config.json")
      << R"({"model_type": "model2vec", "normalize": true})";
  const auto as_modules = folder.open();
  fs::remove(folder.path() / "modules.json");
  const auto bare = folder.open();
  EXPECT_EQ(bare->info().architecture, "model2vec");
  EXPECT_EQ(bare->info().max_tokens, 512U);
  EXPECT_TRUE(bare->info().normalized);
  EXPECT_NE(bare->info().identity, as_modules->info().identity);
  const std::vector<std::string_view> texts{"new", "\U0001F600 new"};
  const EncodedBatch without = bare->encode(texts, TextRole::kPlain);
  const EncodedBatch with = as_modules->encode(texts, TextRole::kPlain);
  // An unknown token counts in the one and not in the other.
  EXPECT_TRUE(std::ranges::equal(without.vector(0), without.vector(1)));
  EXPECT_FALSE(std::ranges::equal(with.vector(0), with.vector(1)));
}

TEST(Families, AreRefusedByTheNameOfWhatIsNotKnown) {
  const auto refusal = [](const char* family, const char* file,
                          const std::function<void(json&)>& edit) -> std::string {
    const FamilyFolder folder(family);
    folder.change(file, edit);
    try {
      folder.open();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal("mpnet", "config.json", [](json& c) { c["model_type"] = "xlnet"; }),
              HasSubstr("'xlnet'"));
  EXPECT_THAT(refusal("distilbert", "config.json", [](json& c) { c["activation"] = "mish"; }),
              HasSubstr("'mish'"));
  EXPECT_THAT(refusal("roberta", "config.json",
                      [](json& c) { c["position_embedding_type"] = "relative_key"; }),
              HasSubstr("relative_key"));
  EXPECT_THAT(
      refusal("mpnet", "config.json", [](json& c) { c["relative_attention_num_buckets"] = 30; }),
      HasSubstr("relative_attention_num_buckets"));
  EXPECT_THAT(
      refusal("mpnet", "config.json", [](json& c) { c["relative_attention_num_buckets"] = 64; }),
      HasSubstr("relative_attention_bias"));
  EXPECT_THAT(refusal("roberta", "config.json", [](json& c) { c["pad_token_id"] = 64; }),
              HasSubstr("pad_token_id"));
  EXPECT_THAT(refusal("bert", "3_LayerNorm/config.json", [](json& c) { c["dimension"] = 24; }),
              HasSubstr("\"dimension\" is 24"));
  EXPECT_THAT(refusal("static", "modules.json",
                      [](json& c) { c[0]["type"] = "sentence_transformers.models.WordWeights"; }),
              HasSubstr("WordWeights"));
  EXPECT_THAT(refusal("camembert", "model.safetensors.index.json",
                      [](json& c) { c["weight_map"]["embeddings.LayerNorm.bias"] = "../x"; }),
              HasSubstr("../x"));
}

TEST(Families, AreRefusedWhereTheVocabularyIsLargerThanTheTable) {
  const FamilyFolder folder("static");
  folder.change("tokenizer.json", [](json& tokenizer) {
    tokenizer["added_tokens"].push_back({{"id", 99'999},
                                         {"content", "<extra>"},
                                         {"special", true},
                                         {"single_word", false},
                                         {"lstrip", false},
                                         {"rstrip", false},
                                         {"normalized", false}});
  });
  EXPECT_THROW(folder.open(), CorruptData);
}

TEST(Families, AreRefusedWhereAShardIsMissing) {
  const FamilyFolder folder("camembert");
  fs::remove(folder.path() / "model-00002-of-00002.safetensors");
  EXPECT_THROW(folder.open(), NotFound);
}

}  // namespace
}  // namespace nearlite
