#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <thread>

#include "nearlite/base/error.h"
#include "nearlite/encoder/model_choice.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite_test/message_of.h"
#include "testing_folder.h"

namespace nearlite {
namespace {

using nearlite::testing::ModelFixture;
using nearlite::testing::write_safetensors;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Rows = std::vector<std::vector<double>>;

std::vector<float> encode_one(const TextEncoder& encoder, std::string_view text,
                              TextRole role = TextRole::kPlain) {
  return encoder.encode(std::span(&text, 1), role).vectors;
}

std::shared_ptr<const TextEncoder> open(const ModelFixture& fixture, std::size_t threads = 1) {
  return open_encoder(
      fixture.path(),
      {.threads = threads, .precision = Precision::kFp32, .digest_cache = fixture.digests()});
}

void expect_near(const std::vector<float>& ours, const std::vector<double>& expected) {
  ASSERT_EQ(ours.size(), expected.size());
  for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_NEAR(ours[i], expected[i], 2e-5) << i;
}

constexpr const char* kText = "w5 w17 w9 w30 w11";

// ---- pooling
// --------------------------------------------------------------------------------------------------------

/// One pooled vector straight from the definition.
std::vector<double> pooled(const std::string& mode, const Rows& rows) {
  const std::size_t dim = rows[0].size();
  if (mode == "cls") return rows.front();
  if (mode == "lasttoken") return rows.back();
  std::vector<double> result(dim, mode == "max" ? -1e30 : 0.0);
  double weights = 0;
  for (std::size_t t = 0; t < rows.size(); ++t) {
    const double weight = mode == "weightedmean" ? static_cast<double>(t + 1) : 1.0;
    weights += weight;
    for (std::size_t i = 0; i < dim; ++i) {
      if (mode == "max")
        result[i] = std::max(result[i], rows[t][i]);
      else
        result[i] += weight * rows[t][i];
    }
  }
  const double divisor = mode == "max"                    ? 1
                         : mode == "mean_sqrt_len_tokens" ? std::sqrt(weights)
                                                          : weights;
  for (double& value : result) value /= divisor;
  return result;
}

class EveryPooling : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(EveryPooling, AgreesWithItsDefinitionInBothSpellings) {
  const auto& [mode, old_key] = GetParam();
  for (const bool new_spelling : {false, true}) {
    const ModelFixture fixture;
    fixture.write_modules({"Transformer", "Pooling"}, new_spelling);
    fixture.write(
        "1_Pooling/config.json",
        new_spelling
            ? R"({"embedding_dimension": 24, "pooling_mode": ")" + std::string(mode) + R"("})"
            : R"({"word_embedding_dimension": 24, ")" + std::string(old_key) + R"(": true})");
    const auto encoder = open(fixture);
    expect_near(encode_one(*encoder, kText),
                pooled(mode, fixture.bert().reference(ModelFixture::ids(kText))));
    EXPECT_THAT(encoder->info().modules,
                ElementsAre("Transformer", "Pooling(" + std::string(mode) + ")"));
    EXPECT_FALSE(encoder->info().normalized);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Encoder, EveryPooling,
    ::testing::Values(std::pair{"cls", "pooling_mode_cls_token"},
                      std::pair{"max", "pooling_mode_max_tokens"},
                      std::pair{"mean", "pooling_mode_mean_tokens"},
                      std::pair{"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
                      std::pair{"weightedmean", "pooling_mode_weightedmean_tokens"},
                      std::pair{"lasttoken", "pooling_mode_lasttoken"}),
    [](const auto& instance) { return std::string(instance.param.first); });

TEST(Pooling, ConcatenatesOldBooleansInTheFixedOrderAndListsInTheirs) {
  const ModelFixture fixture;
  fixture.write_modules({"Transformer", "Pooling"});
  const Rows rows = fixture.bert().reference(ModelFixture::ids(kText));
  const auto joined = [&](const std::string& a, const std::string& b) {
    std::vector<double> both = pooled(a, rows);
    const std::vector<double> second = pooled(b, rows);
    both.insert(both.end(), second.begin(), second.end());
    return both;
  };
  fixture.write(
      "1_Pooling/config.json",
      R"({"word_embedding_dimension": 24, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true})");
  expect_near(encode_one(*open(fixture), kText), joined("cls", "mean"));
  fixture.write("1_Pooling/config.json",
                R"({"embedding_dimension": 24, "pooling_mode": ["mean", "cls"]})");
  expect_near(encode_one(*open(fixture), kText), joined("mean", "cls"));
  EXPECT_EQ(open(fixture)->info().dim, 48U);
}

TEST(Pooling, LeavesOutThePromptIfToldSo) {
  const ModelFixture fixture;
  fixture.write_modules({"Transformer", "Pooling"});
  fixture.write("1_Pooling/config.json",
                R"({"embedding_dimension": 24, "pooling_mode": "mean", "include_prompt": false})");
  fixture.write("config_sentence_transformers.json", R"({"prompts": {"query": "w20 w21 "}})");
  Rows rows = fixture.bert().reference(ModelFixture::ids("w20 w21 " + std::string(kText)));
  rows.erase(rows.begin(), rows.begin() + 3);  // [CLS] w20 w21
  expect_near(encode_one(*open(fixture), kText, TextRole::kQuery), pooled("mean", rows));
  expect_near(encode_one(*open(fixture), kText),
              pooled("mean", fixture.bert().reference(ModelFixture::ids(kText))));
}

TEST(Pooling, RefusesWhatItDoesNotKnow) {
  const ModelFixture fixture;
  fixture.write_modules({"Transformer", "Pooling"});
  fixture.write("1_Pooling/config.json",
                R"({"embedding_dimension": 24, "pooling_mode": "median"})");
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }),
              HasSubstr("the pooling mode \"median\" is not supported; supported are cls"));
  fixture.write("1_Pooling/config.json", R"({"embedding_dimension": 25, "pooling_mode": "mean"})");
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }),
              HasSubstr("is 25, the transformer has 24"));
}

// ---- the other modules
// ----------------------------------------------------------------------------------------------

class EveryActivation : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryActivation, OfADenseModuleAgreesWithItsDefinition) {
  const std::string name = GetParam();
  const ModelFixture fixture;
  fixture.write_modules({"Transformer", "Pooling", "Dense", "Normalize"}, name == "ReLU");
  fixture.write("1_Pooling/config.json", R"({"embedding_dimension": 24, "pooling_mode": "mean"})");
  const std::string module = name == "Identity" ? "linear" : "activation";
  fixture.write(
      "2_Dense/config.json",
      R"({"in_features": 24, "out_features": 7, "bias": true, "activation_function": "torch.nn.modules.)" +
          module + "." + name + R"("})");
  std::vector<float> weights(7 * 24);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::sin(static_cast<float>(i));
  const std::vector<float> bias{0.1F, -0.2F, 0.3F, -0.4F, 0.5F, -0.6F, 0.7F};
  write_safetensors(fixture.path() / "2_Dense" / "model.safetensors",
                    {{"linear.weight", {7, 24}, weights}, {"linear.bias", {7}, bias}});

  const std::vector<double> input =
      pooled("mean", fixture.bert().reference(ModelFixture::ids(kText)));
  std::vector<double> expected(7);
  double squares = 0;
  for (std::size_t o = 0; o < 7; ++o) {
    double x = bias[o];
    for (std::size_t i = 0; i < 24; ++i) x += input[i] * static_cast<double>(weights[o * 24 + i]);
    expected[o] = name == "Tanh"      ? std::tanh(x)
                  : name == "ReLU"    ? std::max(x, 0.0)
                  : name == "GELU"    ? 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)))
                  : name == "Sigmoid" ? 1 / (1 + std::exp(-x))
                  : name == "SiLU"    ? x / (1 + std::exp(-x))
                                      : x;
    squares += expected[o] * expected[o];
  }
  for (double& value : expected) value /= std::sqrt(squares);
  const auto encoder = open(fixture);
  expect_near(encode_one(*encoder, kText), expected);
  EXPECT_EQ(encoder->info().dim, 7U);
  EXPECT_TRUE(encoder->info().normalized);
  EXPECT_THAT(encoder->info().modules, ElementsAre("Transformer", "Pooling(mean)",
                                                   "Dense(24 -> 7, " + name + ")", "Normalize"));
}

INSTANTIATE_TEST_SUITE_P(Encoder, EveryActivation,
                         ::testing::Values("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Modules, AreRefusedByNameIfUnknown) {
  const ModelFixture fixture;
  fixture.write(
      "modules.json",
      R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.CLIPModel"}])");
  EXPECT_THAT(
      message_of<CorruptData>([&] { open(fixture); }),
      HasSubstr(
          "'sentence_transformers.models.CLIPModel' is not supported; supported are Transformer"));
  fixture.write("modules.json", R"([{"idx":0,"name":"0","path":"","type":"evil.Transformer"}])");
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }), HasSubstr("'evil.Transformer'"));
  fixture.write_modules({"Transformer", "Normalize"});
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }),
              HasSubstr("second module is Normalize"));
}

TEST(Modules, MustLieInsideTheFolder) {
  for (const char* path : {"../x", "/etc", "a/../../x"}) {
    const ModelFixture fixture;
    fixture.write("modules.json",
                  R"([{"type":"sentence_transformers.models.Transformer","path":")" +
                      std::string(path) + R"("}])");
    EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }), HasSubstr("does not lie inside"));
  }
}

TEST(Modules, UnknownActivationsOfDenseAreRefusedByName) {
  const ModelFixture fixture;
  fixture.write_modules({"Transformer", "Pooling", "Dense"});
  fixture.write("1_Pooling/config.json", R"({"embedding_dimension": 24, "pooling_mode": "mean"})");
  fixture.write("2_Dense/config.json",
                R"({"in_features": 24, "out_features": 7, "activation_function": "os.system"})");
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }),
              HasSubstr("'os.system' is not supported"));
}

TEST(Modules, DefaultToMeanPoolingWithoutModulesJson) {
  const ModelFixture fixture;
  const auto encoder = open(fixture);
  expect_near(encode_one(*encoder, kText),
              pooled("mean", fixture.bert().reference(ModelFixture::ids(kText))));
  EXPECT_THAT(encoder->info().notes, ::testing::Contains(HasSubstr("mean")));
  EXPECT_THAT(encoder->info().notes, ::testing::Contains(HasSubstr("vocab.txt")));
}

// ---- texts
// ----------------------------------------------------------------------------------------------------------

TEST(Encoder, ReadsAnEmptyTextAndABlankAsNothingButSpecialTokens) {
  const ModelFixture fixture;
  const auto encoder = open(fixture);
  const std::vector<double> expected = pooled("mean", fixture.bert().reference({2, 3}));
  expect_near(encode_one(*encoder, ""), expected);
  expect_near(encode_one(*encoder, " "), expected);
  EXPECT_EQ(encoder->encode({}, TextRole::kPlain).vectors.size(), 0U);
}

TEST(Encoder, CutsAtTheConfiguredLengthAndCounts) {
  const ModelFixture fixture;
  fixture.write("sentence_bert_config.json", R"({"max_seq_length": 5, "do_lower_case": false})");
  const auto encoder = open(fixture);
  EXPECT_EQ(encoder->info().max_tokens, 5U);
  const std::vector<std::string_view> texts{"w5 w6 w7", "w5 w6 w7 w8", ""};
  const EncodedBatch batch = encoder->encode(texts, TextRole::kPlain);
  EXPECT_EQ(batch.num_truncated, 1U);
  EXPECT_EQ(batch.num_tokens, 5U + 5U + 2U);
  EXPECT_TRUE(std::equal(batch.vector(0).begin(), batch.vector(0).end(), batch.vector(1).begin()));
}

TEST(Encoder, TakesTheTokenizersLimitIfThereIsNoOtherAndNeverMoreThanThePositions) {
  const ModelFixture fixture;
  fixture.write("tokenizer_config.json", R"({"model_max_length": 33})");
  EXPECT_EQ(open(fixture)->info().max_tokens, 33U);
  fixture.write("tokenizer_config.json",
                R"({"model_max_length": 1000000000000000019884624838656})");
  EXPECT_EQ(open(fixture)->info().max_tokens, 64U);
  fixture.write("sentence_bert_config.json", R"({"max_seq_length": 512})");
  EXPECT_EQ(open(fixture)->info().max_tokens, 64U);
  fixture.write("sentence_bert_config.json", R"({"max_seq_length": 1})");
  EXPECT_THROW(open(fixture), CorruptData);
}

TEST(Encoder, PutsThePromptOfTheRoleBeforeTheText) {
  const ModelFixture fixture;
  fixture.write(
      "config_sentence_transformers.json",
      R"({"prompts": {"query": "w20 ", "passage": "w21 ", "other": "w22 "}, "default_prompt_name": null})");
  const auto encoder = open(fixture);
  const std::string text = kText;
  EXPECT_EQ(encode_one(*encoder, text, TextRole::kQuery), encode_one(*encoder, "w20 " + text));
  EXPECT_EQ(encode_one(*encoder, text, TextRole::kDocument), encode_one(*encoder, "w21 " + text));
  const std::vector<std::string_view> texts{text};
  EXPECT_EQ(encoder->encode_with_prompt(texts, "other").vectors,
            encode_one(*encoder, "w22 " + text));
  EXPECT_THAT(message_of<NotFound>([&] { encoder->encode_with_prompt(texts, "nope"); }),
              HasSubstr("has no prompt 'nope'; it has other, passage, query"));
}

TEST(Encoder, UsesTheDefaultPromptWhereTheRoleHasNone) {
  const ModelFixture fixture;
  fixture.write("config_sentence_transformers.json",
                R"({"prompts": {"p": "w20 "}, "default_prompt_name": "p"})");
  const auto with_default = open(fixture);
  const auto vector = encode_one(*with_default, kText);
  EXPECT_EQ(encode_one(*with_default, kText, TextRole::kDocument), vector);
  expect_near(
      vector,
      pooled("mean", fixture.bert().reference(ModelFixture::ids("w20 " + std::string(kText)))));
}

TEST(Encoder, LeavesRoomForTheDocumentPromptInPassages) {
  const ModelFixture fixture;
  fixture.write("sentence_bert_config.json", R"({"max_seq_length": 8})");
  fixture.write("config_sentence_transformers.json", R"({"prompts": {"document": "w20 w21 "}})");
  const auto encoder = open(fixture);
  const std::string text = "w5 w6 w7 w8 w9 w10 w11 w12";
  for (const Passage& passage : encoder->passages(text)) {
    const std::string_view part =
        std::string_view(text).substr(passage.begin, passage.end - passage.begin);
    EXPECT_EQ(encoder->encode(std::span(&part, 1), TextRole::kDocument).num_truncated, 0U) << part;
  }
  EXPECT_GE(encoder->passages(text).size(), 2U);
}

TEST(Encoder, NamesTheTextThatIsNotUtf8) {
  const ModelFixture fixture;
  const auto encoder = open(fixture, 2);
  const std::vector<std::string_view> texts{"w5", "w6 \xff", "w7"};
  EXPECT_THAT(message_of<InvalidArgument>([&] { encoder->encode(texts, TextRole::kPlain); }),
              HasSubstr("text 1: "));
}

TEST(Encoder, GivesTheSameBitsForEveryNumberOfThreadsAndAfterAFork) {
  const ModelFixture fixture;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 60; ++i) {
    std::string text;
    for (std::size_t w = 0; w <= (i * 13) % 37; ++w)
      text += "w" + std::to_string(5 + (i + w * 7) % 45) + " ";
    texts.push_back(text);
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto expected = open(fixture)->encode(views, TextRole::kPlain).vectors;
  const auto encoder = open(fixture, 4);
  EXPECT_EQ(encoder->encode(views, TextRole::kPlain).vectors, expected);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(encoder->encode(views, TextRole::kPlain).vectors == expected ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// ---- files
// ----------------------------------------------------------------------------------------------------------

TEST(ModelFiles, APickledModelIsRefusedWithWhatToDo) {
  const ModelFixture fixture;
  std::filesystem::rename(fixture.path() / "model.safetensors",
                          fixture.path() / "pytorch_model.bin");
  EXPECT_THAT(message_of<NotFound>([&] { open(fixture); }),
              HasSubstr("pickle is never loaded; convert to safetensors"));
}

TEST(ModelFiles, AMissingFileIsNamed) {
  const TemporaryFolder empty;
  EXPECT_THAT(message_of<NotFound>([&] { open_encoder(empty.path()); }),
              HasSubstr("has no config.json"));
  EXPECT_THAT(message_of<NotFound>([&] { open_encoder(empty.path() / "x"); }),
              HasSubstr("no model folder"));
  const ModelFixture fixture;
  std::filesystem::remove(fixture.path() / "vocab.txt");
  EXPECT_THAT(message_of<NotFound>([&] { open(fixture); }),
              HasSubstr("neither tokenizer.json nor vocab.txt"));
}

TEST(ModelFiles, AVocabularyLargerThanTheTableIsRefused) {
  const ModelFixture fixture;
  std::ofstream(fixture.path() / "vocab.txt", std::ios::app) << "extra\n";
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }),
              HasSubstr("has 51 tokens, the model only 50"));
}

TEST(ModelFiles, ALinkOutOfTheFolderIsRefused) {
  const ModelFixture fixture;
  const TemporaryFolder elsewhere;
  std::filesystem::rename(fixture.path() / "config.json", elsewhere.path() / "config.json");
  std::filesystem::create_symlink(elsewhere.path() / "config.json", fixture.path() / "config.json");
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }), HasSubstr("outside of"));
}

TEST(ModelFiles, CodeOfTheModelIsIgnoredWithANote) {
  const ModelFixture fixture;
  const auto plain = encode_one(*open(fixture), kText);
  fixture.write("modeling_custom.py", "raise SystemExit");
  const auto encoder = open(fixture);
  EXPECT_THAT(encoder->info().notes, ::testing::Contains(HasSubstr("never run")));
  EXPECT_EQ(encode_one(*encoder, kText), plain);
}

TEST(ModelFiles, AModuleFolderThatLinksOutIsRefused) {
  const ModelFixture fixture;
  fixture.write_modules({"Transformer", "Pooling"});
  const TemporaryFolder elsewhere;
  std::filesystem::create_directory_symlink(elsewhere.path(), fixture.path() / "1_Pooling");
  EXPECT_THAT(message_of<CorruptData>([&] { open(fixture); }), HasSubstr("outside of"));
}

std::string identity_of(const ModelFixture& fixture) { return open(fixture)->info().identity; }

TEST(Identity, IsThatOfTheVectorsAndNotOfThePlace) {
  const ModelFixture a;
  const ModelFixture b;
  EXPECT_EQ(identity_of(a), identity_of(b));
  b.write("README.md", "changes no vector");
  EXPECT_EQ(identity_of(a), identity_of(b));
}

TEST(Identity, ChangesWithWeightsVocabularyLengthAndPrompts) {
  const std::string plain = identity_of(ModelFixture());
  EXPECT_NE(identity_of(ModelFixture({}, 2)), plain);
  const ModelFixture words;
  words.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nw5\n");
  EXPECT_NE(identity_of(words), plain);
  const ModelFixture length;
  length.write("sentence_bert_config.json", R"({"max_seq_length": 8})");
  EXPECT_NE(identity_of(length), plain);
  const ModelFixture prompts;
  prompts.write("config_sentence_transformers.json", R"({"prompts": {"query": "q: "}})");
  EXPECT_NE(identity_of(prompts), plain);
  const ModelFixture pooling;
  pooling.write_modules({"Transformer", "Pooling"});
  pooling.write("1_Pooling/config.json", R"({"embedding_dimension": 24, "pooling_mode": "cls"})");
  EXPECT_NE(identity_of(pooling), plain);
}

TEST(Identity, RemembersDigestsOnlyWhileSizeTimeAndInodeAgree) {
  const ModelFixture fixture;
  const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  const auto age = [&] {
    for (const char* name : {"model.safetensors", "vocab.txt"}) {
      std::filesystem::last_write_time(fixture.path() / name, old);
    }
  };
  age();
  const std::string first = identity_of(fixture);
  ASSERT_TRUE(std::filesystem::exists(fixture.digests()));
  // Same size and time, other content, other inode: must be hashed again.
  const ModelFixture other({}, 2);
  std::filesystem::rename(other.path() / "model.safetensors", fixture.path() / "model.safetensors");
  age();
  EXPECT_NE(identity_of(fixture), first);
  // A remembered digest is really used: a forged one shows in the identity.
  std::string digests;
  std::getline(std::ifstream(fixture.digests()), digests, '\0');
  const std::string honest = identity_of(fixture);
  const std::size_t at = digests.find("\"sha256\": \"") + 11;
  digests.replace(at, 8, "00000000");
  nearlite::testing::write_file(fixture.digests(), digests);
  EXPECT_NE(identity_of(fixture), honest);
  nearlite::testing::write_file(fixture.digests(), "not JSON");
  EXPECT_EQ(identity_of(fixture), honest);
}

TEST(Identity, DoesNotNeedItsCache) {
  const ModelFixture fixture;
  const auto encoder =
      open_encoder(fixture.path(), {.threads = 1, .digest_cache = "/proc/no/such/digests.json"});
  EXPECT_EQ(encoder->info().identity, identity_of(fixture));
}

// ---- lazy
// -----------------------------------------------------------------------------------------------------------

TEST(LazyEncoder, TouchesNothingBeforeItIsAskedAndTriesAgainAfterAFailure) {
  const TemporaryFolder cache;
  const ModelPlaces places{.hub_caches = {}, .own_caches = {cache.path()}};
  const auto encoder =
      lazy_encoder("org/small", places, {.threads = 1, .precision = Precision::kFp32});
  EXPECT_THAT(message_of<NotFound>([&] { encoder->info(); }), HasSubstr("(not there)"));
  const ModelFixture fixture;
  std::filesystem::create_directories(cache.path() / "org");
  std::filesystem::copy(fixture.path(), cache.path() / "org" / "small",
                        std::filesystem::copy_options::recursive);
  EXPECT_EQ(encoder->info().name, "org/small");
  EXPECT_EQ(encoder->info().dim, 24U);
  EXPECT_EQ(encode_one(*encoder, kText), encode_one(*open(fixture), kText));
}

TEST(LazyEncoder, HasThePrecisionThatItsNameEndsIn) {
  const ModelFixture fixture;
  const std::string folder = fixture.path().string();
  const EncoderOptions options{.threads = 1, .digest_cache = fixture.digests()};
  const auto named = lazy_encoder(folder + ":int8", ModelPlaces::standard(), options);
  EXPECT_EQ(named->info().precision, Precision::kInt8);
  EXPECT_EQ(named->info().name, folder + ":int8");
  EXPECT_EQ(named->info().folder, fixture.path());
  EXPECT_NE(named->info().identity,
            lazy_encoder(folder + ":fp32", ModelPlaces::standard(), options)->info().identity);
  EXPECT_EQ(find_model(folder + ":bf16", ModelPlaces::standard()), fixture.path());
  EXPECT_THROW(find_model(folder + ":int4", ModelPlaces::standard()), NotFound);
  EXPECT_EQ(model_choice_of("org/name:int16").name, "org/name");
  const TemporaryFolder strange;
  std::filesystem::create_directories(strange / "x:int8");
  EXPECT_EQ(model_choice_of((strange / "x:int8").string()).precision, Precision::kAuto);
}

TEST(LazyEncoder, ReadsWeightsAtTheFirstTextAndNoticesThatTheyWereExchanged) {
  const ModelFixture fixture;
  const auto encoder = lazy_encoder(fixture.path().string(), ModelPlaces::standard(),
                                    {.threads = 1, .digest_cache = fixture.digests()});
  encoder->info();
  const ModelFixture other({}, 2);
  std::filesystem::rename(other.path() / "model.safetensors", fixture.path() / "model.safetensors");
  EXPECT_THAT(message_of<Unavailable>([&] { encode_one(*encoder, kText); }),
              HasSubstr("was changed after the model was opened"));
}

TEST(LazyEncoder, MayBeAskedByManyThreadsAtOnce) {
  const ModelFixture fixture;
  const auto encoder = lazy_encoder(fixture.path().string(), ModelPlaces::standard(),
                                    {.threads = 2, .digest_cache = fixture.digests()});
  std::vector<std::vector<float>> vectors(6);
  std::vector<std::thread> threads;
  for (auto& vector : vectors) threads.emplace_back([&] { vector = encode_one(*encoder, kText); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& vector : vectors) EXPECT_EQ(vector, vectors[0]);
}

}  // namespace
}  // namespace nearlite
