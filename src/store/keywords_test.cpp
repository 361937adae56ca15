// The words of passages: how texts become tokens, how matches are ranked, and that words live and
// die with their vectors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "keyword_lists.h"
#include "nearlite/base/error.h"
#include "nearlite/store/keywords.h"
#include "nearlite/store/sidecar.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Keywords : public testing::Test {
 protected:
  Keywords() : sidecar_(folder_.path() / "notes.sqlite", SidecarOptions{.create = true}) {}

  std::vector<std::int64_t> put(const std::string& key, const std::string& text,
                                const std::string& store = "notes") {
    Transaction transaction = sidecar_.begin();
    RecordWrite write;
    write.key = {store, "", key};
    write.model = sidecar_.put_model(store, {.name = "test", .identity = "m1", .dim = 2});
    write.text_hash = 1;
    write.passages = {
        {.text_begin = 0, .text_end = text.size(), .text_hash = 1, .vector = east_, .text = text}};
    auto slots = sidecar_.put_record(write);
    transaction.commit();
    return slots;
  }
  std::vector<std::int64_t> found(const std::string& expression,
                                  const std::string& store = "notes") {
    std::vector<std::int64_t> slots;
    for (const KeywordMatch& match : sidecar_.search_keywords(store, expression, 10).matches)
      slots.push_back(match.slot);
    return slots;
  }

  const TemporaryFolder folder_{FolderPlace::kMemory};
  Sidecar sidecar_;
  const std::vector<float> east_ = {1, 0};
};

TEST_F(Keywords, FindWordsByStemWithoutCaseAndAccents) {
  put("1", "Uploading a résumé failed");
  EXPECT_THAT(found("\"uploads\""), ElementsAre(1));
  EXPECT_THAT(found("\"RESUME\""), ElementsAre(1));
  EXPECT_THAT(found("\"load\""), IsEmpty());
}

TEST_F(Keywords, FindChineseJapaneseAndKoreanByPairsOfCharacters) {
  put("1", "文件上传失败，请重试");
  put("2", "ファイルのアップロード");
  put("3", "업로드가 실패했습니다");
  EXPECT_THAT(found("\"上传\""), ElementsAre(1));
  EXPECT_THAT(found("\"上传失败\""), ElementsAre(1));
  EXPECT_THAT(found("\"失上\""), IsEmpty());
  EXPECT_THAT(found("\"传\""), ElementsAre(1));
  EXPECT_THAT(found("\"试\""), ElementsAre(1));
  EXPECT_THAT(found("\"アップ\""), ElementsAre(2));
  EXPECT_THAT(found("\"실패\""), ElementsAre(3));
}

TEST_F(Keywords, FindMixedTextByBothKindsOfWords) {
  put("1", "curl报错SSL_ERROR上传失败");
  EXPECT_THAT(found("\"curl\""), ElementsAre(1));
  EXPECT_THAT(found("\"ssl error\""), ElementsAre(1));
  EXPECT_THAT(found("\"报错\""), ElementsAre(1));
  EXPECT_THAT(found("\"curl报错\""), ElementsAre(1));  // one phrase over both kinds
}

TEST(KeywordPieces, AreWordsAndPairsOfCharacters) {
  EXPECT_THAT(keyword_pieces("SSL_ERROR: 上传失败, 否 naïve-2"),
              ElementsAre("SSL", "ERROR", "上传", "传失", "失败", "否", "naïve", "2"));
  EXPECT_THAT(keyword_pieces(" -\"* "), IsEmpty());
}

TEST_F(Keywords, ScoreByBm25) {
  put("1", "disk full");
  put("2", "disk");
  put("3", "lamp lamp lamp");
  // By hand: N = 3, 6 words, 2 on average. "disk" is in 2 passages: idf = ln(1 + 1.5 / 2.5);
  // passage 2 has one word: f = 1, length part = 1.2 * (0.25 + 0.75 * 1 / 2) = 0.75.
  const double idf = std::log(1 + 1.5 / 2.5);
  const KeywordSearch result = sidecar_.search_keywords("notes", "\"disk\" OR \"nowhere\"", 10);
  ASSERT_THAT(result.matches, SizeIs(2));
  EXPECT_EQ(result.matches[0].slot, 2);
  EXPECT_NEAR(result.matches[0].score, idf * 2.2 / (1 + 0.75), 1e-12);
  EXPECT_NEAR(result.matches[1].score, idf * 2.2 / (1 + 1.2), 1e-12);
  const double unheard = std::log(1 + 3.5 / 0.5);
  EXPECT_NEAR(result.greatest, (idf + unheard) * 2.2, 1e-12);
}

TEST_F(Keywords, GoWithTheirVectors) {
  put("1", "old words");
  put("1", "new words");
  EXPECT_THAT(found("\"old\""), IsEmpty());
  EXPECT_THAT(found("\"new\""), ElementsAre(2));
  EXPECT_EQ(sidecar_.num_keyword_orphans(), 0U);
  Transaction transaction = sidecar_.begin();
  sidecar_.remove_record({"notes", "", "1"});
  transaction.commit();
  EXPECT_THAT(found("\"words\""), IsEmpty());
  EXPECT_EQ(sidecar_.check_keywords(), "ok");
}

TEST_F(Keywords, OfOneStoreAreNotThoseOfAnother) {
  put("1", "disk", "notes");
  put("1", "disk", "other");
  EXPECT_THAT(found("\"disk\"", "notes"), ElementsAre(1));
  EXPECT_THAT(found("\"disk\"", "other"), ElementsAre(2));
}

TEST_F(Keywords, AFilterLeavesTheNumberOfMatchesAsAsked) {
  for (int i = 0; i < 20; ++i) put(std::to_string(i), "disk");
  const auto result =
      sidecar_.search_keywords("notes", "\"disk\"", 3, [](std::int64_t slot) { return slot > 15; });
  ASSERT_THAT(result.matches, SizeIs(3));
  EXPECT_EQ(result.matches[0].slot, 16);
  EXPECT_THAT(sidecar_.slots_of_records_with("\"disk\""), SizeIs(20));
}

TEST_F(Keywords, AreAddedToASidecarThatHasNone) {
  put("1", "a disk is full");
  sidecar_.connection().execute("DROP TABLE keyword; DELETE FROM fact WHERE name = 'keywords'");
  EXPECT_FALSE(sidecar_.has_keywords());
  EXPECT_THAT(found("\"disk\""), IsEmpty());
  Transaction transaction = sidecar_.begin();
  sidecar_.add_keywords({"notes", "", "1"}, "a disk is full");
  EXPECT_FALSE(sidecar_.keywords_complete("notes"));
  sidecar_.set_keywords_complete("notes");
  transaction.commit();
  EXPECT_TRUE(sidecar_.keywords_complete("notes"));
  EXPECT_THAT(found("\"disk\""), ElementsAre(1));
}

TEST_F(Keywords, ThatAreDamagedAreFoundAndMadeAnew) {
  put("1", "a disk is full");
  sidecar_.connection().execute("UPDATE keyword_content SET c0 = 'other text' WHERE id = 1");
  EXPECT_NE(sidecar_.check_keywords(), "ok");
  sidecar_.rebuild_keywords();
  EXPECT_EQ(sidecar_.check_keywords(), "ok");
}

TEST_F(Keywords, RefuseAnExpressionThatIsNone) {
  put("1", "disk");
  EXPECT_THROW(found("\"disk"), StoreError);
}

TEST_F(Keywords, KeptListsOfWordsAgreeWithTheRankOfSqliteBitForBit) {
  const std::vector<std::string> words = {"disk", "full", "printer", "soup", "tomato", "中文字"};
  std::uint32_t random = 7;
  const auto text_of_length = [&](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) {
      random = random * 1664525U + 1013904223U;
      text += words[(random >> 16U) % words.size()] + " ";
    }
    return text;
  };
  const auto expect_the_same = [&](const std::string& expression) {
    Statement rows = sidecar_.connection().prepare(
        "SELECT rowid, nearlite_rank(keyword), nearlite_rank(keyword, 'greatest') FROM keyword "
        "WHERE keyword MATCH ?1 ORDER BY 2 DESC, 1 LIMIT 10");
    rows.bind(1, std::string_view(expression));
    const KeywordSearch found = sidecar_.search_keywords("notes", expression, 10);
    std::size_t count = 0;
    for (; rows.step(); ++count) {
      ASSERT_LT(count, found.matches.size()) << expression;
      EXPECT_EQ(found.matches[count].slot, rows.int64(0)) << expression;
      EXPECT_EQ(found.matches[count].score, rows.real(1)) << expression;
      EXPECT_EQ(found.greatest, rows.real(2)) << expression;
    }
    EXPECT_EQ(count, found.matches.size()) << expression;
  };
  for (int round = 0; round < 3; ++round) {  // each write makes what was kept old
    for (int i = 0; i < 20; ++i)
      put(std::to_string(round * 20 + i), text_of_length(1 + (random >> 20U) % 12));
    for (const char* expression :
         {"\"disk\"", "\"disk\" OR \"soup\"", "\"soup\" OR \"nowhere\" OR \"soups\"",
          "\"中文\" OR \"printer\"", "\"tomato soup\" OR \"full\"", "\"nowhere\"",
          "\"say \"\"disk\"\"\" OR \"full\""}) {
      expect_the_same(expression);
      expect_the_same(expression);  // from what is kept
    }
  }
}

TEST_F(Keywords, KeptListsServeManyConnectionsEachWithItsOwnState) {
  put("1", "disk full");
  const auto lists = make_keyword_lists();
  const SidecarOptions options{.keyword_lists = lists};
  Sidecar early(folder_.path() / "notes.sqlite", options);
  Sidecar late(folder_.path() / "notes.sqlite", options);
  const auto matches = [](Sidecar& sidecar) {
    return sidecar.search_keywords("notes", "\"disk\"", 10).matches;
  };
  early.connection().execute("BEGIN");
  EXPECT_THAT(matches(early), SizeIs(1));
  put("2", "disk empty");
  EXPECT_THAT(matches(late), SizeIs(2));
  EXPECT_THAT(matches(early), SizeIs(1));  // still reads the older state
  EXPECT_THAT(matches(late), SizeIs(2));
  early.connection().execute("COMMIT");
  EXPECT_THAT(matches(early), SizeIs(2));
  const std::size_t held = lists->num_postings();
  Transaction transaction = sidecar_.begin();  // of something else
  sidecar_.set_fact("notes", "note", "x");
  transaction.commit();
  EXPECT_THAT(matches(late), SizeIs(2));
  EXPECT_EQ(lists->num_postings(), held);
}

TEST_F(Keywords, KeptListsStayWithinTheMemoryBudget) {
  for (int i = 0; i < 30; ++i) put(std::to_string(i), "disk soup word" + std::to_string(i));
  const auto budget =
      std::make_shared<MemoryBudget>(600);  // bytes: one list of 30, or a few of one
  KeywordLists lists(KeywordLists::kMostPostings, budget);
  Connection& db = sidecar_.connection();
  for (int round = 0; round < 2; ++round) {
    for (const char* word : {"\"disk\"", "\"soup\"", "\"word7\"", "\"disk\" OR \"soup\""}) {
      EXPECT_THAT(lists.matches(db, word)->matches, SizeIs(word[1] == 'w' ? 1 : 30));
      EXPECT_EQ(budget->used_by_kind().at("words"), lists.num_postings() * 16);
      EXPECT_LE(budget->used_bytes(), 600U);
    }
  }
  MemoryBudget::Share other(budget, "others");
  EXPECT_TRUE(other.resize(600));  // the lists go for it
  EXPECT_EQ(lists.num_postings(), 0U);
  EXPECT_THAT(lists.matches(db, "\"disk\"")->matches, SizeIs(30));
  EXPECT_EQ(lists.num_postings(), 0U);
}

TEST_F(Keywords, KeptListsStayWithinTheirBound) {
  for (int i = 0; i < 30; ++i) put(std::to_string(i), "disk soup word" + std::to_string(i));
  KeywordLists lists(40);
  Connection& db = sidecar_.connection();
  EXPECT_THAT(lists.matches(db, "\"disk\" OR \"soup\"")->matches, SizeIs(30));
  EXPECT_EQ(lists.num_postings(), 0U);  // each is more than half of all
  for (int i = 0; i < 30; ++i) {
    EXPECT_THAT(lists.matches(db, "\"word" + std::to_string(i) + "\"")->matches, SizeIs(1));
    EXPECT_LE(lists.num_postings(), 40U);
  }
  EXPECT_FALSE(lists.matches(db, "\"disk\" AND \"soup\"").has_value());
  EXPECT_FALSE(lists.matches(db, "disk").has_value());
  EXPECT_FALSE(lists.matches(db, "\"disk").has_value());
}

}  // namespace
}  // namespace nearlite
