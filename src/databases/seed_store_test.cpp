#include "nearlite/databases/seed_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "nearlite/base/error.h"
#include "nearlite/databases/bot_db.h"
#include "nearlite/databases/enhancement_db.h"
#include "nearlite/databases/error_db.h"
#include "nearlite/databases/info_db.h"
#include "nearlite/databases/information_db.h"
#include "nearlite/databases/workflow_db.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SeedFixture {
 protected:
  template <typename T>
  std::unique_ptr<T> open(const std::string& file, SeedStoreOptions seed = {.open = Open::kCreate},
                          std::shared_ptr<const TextEncoder> encoder = nullptr) {
    EmbeddableOptions options = T::default_options(folder_.path());
    options.encoder = encoder ? encoder : encoder_;
    options.backend = backend_;
    return std::make_unique<T>(folder_ / file, seed, options);
  }
  Connection raw(const std::string& file) { return Connection::open(folder_ / file, false); }
  std::vector<float> vector_of(std::string_view text) const {
    return encoder_->encode(std::span(&text, 1), TextRole::kQuery).vectors;
  }

  Backend backend_ = Backend::kFlat;
  DatabaseFolder folder_;
  std::shared_ptr<const TextEncoder> encoder_ = std::make_shared<WordCountEncoder>();
};

class SeedSchemaTest : public SeedFixture, public testing::Test {};  // what no backend changes

class SeedStoreTest : public SeedFixture, public testing::TestWithParam<Backend> {
 protected:
  SeedStoreTest() { backend_ = GetParam(); }
};
std::vector<Backend> backends() {
  std::vector<Backend> backends{Backend::kAnnoy, Backend::kFlat, Backend::kAuto};
#ifdef NEARLITE_TEST_FAISS
  backends.push_back(Backend::kFaiss);
#endif
  return backends;
}

INSTANTIATE_TEST_SUITE_P(Backends, SeedStoreTest, testing::ValuesIn(backends()),
                         [](const auto& parameter) {
                           return std::string(backend_name(parameter.param));
                         });

BotRecord scraper() {
  return {.name = "Scraper",
          .type_ = "worker",
          .tasks = {"fetch"},
          .purpose = "Collects web pages. Stores them! n/a",
          .tags = {"web", "WEB", "x", "none"},
          .toolchain = {"libcurl", " web "}};
}

TEST_P(SeedStoreTest, ABotIsAddedFoundUpdatedAndFoundAgain) {
  const auto bots = open<BotDB>("bots.db");
  AddReport report;
  const std::int64_t id =
      bots->add_bot(scraper(), {.models = {3}, .workflows = {4}, .enhancements = {5}}, &report);
  bots->add_bot({.name = "Mailer", .purpose = "Sends letters to customers."});
  EXPECT_TRUE(report.embedded) << report.not_embedded_because;

  const auto found = bots->search_by_vector(vector_of("collects web pages"));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].get("name"), "Scraper");
  EXPECT_EQ(found[0].get("creation_date"), found[0].get("last_modification_date"));
  ASSERT_NE(found[0].find("_distance"), nullptr);

  bots->update_bot(id, {{"purpose", std::string("Waters the garden daily.")}});
  EXPECT_EQ(bots->search_by_vector(vector_of("garden"), 1).at(0).get("name"), "Scraper");
  EXPECT_EQ(bots->find_by_name("scraper")->purpose, "Waters the garden daily.");
  EXPECT_EQ(bots->find_by_name("scraper")->tags, scraper().tags);
  EXPECT_THROW(bots->update_bot(99, {{"purpose", std::string("x")}}), NotFound);
  EXPECT_THROW(bots->update_bot(id, {{"porpose", std::string("x")}}), NotFound);
}

TEST_P(SeedStoreTest, ARowInsertedByAnotherProgramIsFoundAfterABackfill) {
  const auto bots = open<BotDB>("bots.db");
  raw("bots.db").execute(
      "INSERT INTO bots(name, purpose, source_menace_id, content_hash) VALUES ('Direct', 'Counts "
      "birds at the river.', '', 'h1')");
  EXPECT_THAT(bots->search_by_vector(vector_of("birds river")), IsEmpty());
  const BackfillResult result = bots->backfill_embeddings();
  EXPECT_EQ(result.embedded, 1U);
  EXPECT_EQ(bots->search_by_vector(vector_of("birds river")).at(0).get("name"), "Direct");
  EXPECT_EQ(bots->backfill_embeddings().embedded, 0U);
  raw("bots.db").execute("DELETE FROM bots");
  EXPECT_THAT(bots->search_by_vector(vector_of("birds river")), IsEmpty());
  EXPECT_EQ(bots->backfill_embeddings().removed, 1U);
}

TEST_F(SeedSchemaTest, ADuplicateGivesTheOldIdAndAddsNothing) {
  const auto bots = open<BotDB>("bots.db");
  const std::int64_t id = bots->add_bot(scraper());
  AddReport report;
  EXPECT_EQ(bots->add_bot(scraper(), {}, &report), id);
  EXPECT_TRUE(report.duplicate);
  EXPECT_EQ(bots->fetch_all().size(), 1U);
  const std::int64_t other = bots->add_bot({.name = "Other"});
  EXPECT_THROW(bots->update_bot(other, {{"name", std::string("Scraper")},
                                        {"type", std::string("worker")},
                                        {"tasks", std::string("[\"fetch\"]")}}),
               InvalidArgument);
  EXPECT_EQ(bots->find_by_name("Other")->bid, other);
}

TEST_F(SeedSchemaTest, AMissingModelDoesNotLoseTheRow) {
  AddReport report;
  open<BotDB>("bots.db", {.open = Open::kCreate}, std::make_shared<MissingEncoder>())
      ->add_bot(scraper(), {}, &report);
  EXPECT_FALSE(report.embedded);
  EXPECT_THAT(report.not_embedded_because, HasSubstr("there is no model"));
  const auto bots = open<BotDB>("bots.db", {.open = Open::kExisting});
  EXPECT_EQ(bots->fetch_all().size(), 1U);
  EXPECT_EQ(bots->backfill_embeddings().embedded, 1U);
}

TEST_F(SeedSchemaTest, AReaderCreatesNothing) {
  try {
    open<BotDB>("bots.db", {.open = Open::kExisting});
    FAIL() << "opened";
  } catch (const NotFound& error) {
    EXPECT_THAT(error.hint(), HasSubstr("store create bot"));
  }
  EXPECT_THAT(folder_.files(), IsEmpty());
  folder_.database("bots.db", "CREATE TABLE other(x)");
  EXPECT_THROW(open<BotDB>("bots.db", {.open = Open::kExisting}), NotFound);
  folder_.write(
      "bad.db",
      "this is no database at all, but it has the length of a header of one....................");
  EXPECT_THROW(open<BotDB>("bad.db", {.open = Open::kExisting}), CorruptData);
}

TEST_F(SeedSchemaTest, ScopesTellOwnRowsFromThoseOfOthers) {
  open<BotDB>("bots.db", {.open = Open::kCreate, .source_menace_id = "a"})->add_bot({.name = "A"});
  const auto bots = open<BotDB>("bots.db", {.open = Open::kCreate, .source_menace_id = "b"});
  bots->add_bot({.name = "B", .hierarchy_level = "L1"});
  EXPECT_EQ(bots->fetch_all(Scope::kLocal).at(0).name, "B");
  EXPECT_EQ(bots->fetch_all(Scope::kGlobal).at(0).name, "A");
  EXPECT_EQ(bots->fetch_all(Scope::kAll).size(), 2U);
  EXPECT_EQ(bots->by_level("L1").size(), 1U);
  EXPECT_EQ(bots->find_by_name("A"), std::nullopt);
}

TEST_F(SeedSchemaTest, TheTextsAreThoseOfTheReference) {
  const SeedStoreOptions unembedded{.open = Open::kCreate, .embed_on_add = false};
  const auto bots = open<BotDB>("bots.db", unembedded);
  bots->add_bot(scraper());
  EXPECT_EQ(bots->text(bots->iter_records().find(1)->record),
            "Collects web pages. Stores them! web libcurl");

  const auto workflows = open<WorkflowDB>("workflows.db", unembedded);
  workflows->add({.workflow = {"Start", "fetch page", "parse. it", "end"},
                  .argument_strings = {"--all"},
                  .title = "Crawl",
                  .task_sequence = {"noop", "rest"},
                  .tags = {"web", "daily"},
                  .category = "io",
                  .type_ = "batch"});
  EXPECT_EQ(
      workflows->text(workflows->iter_records().find(1)->record),
      "fetch page parse. it rest --all\ntitle: Crawl\ntags: web, daily\ncategory: io\ntype: batch");

  const auto enhancements = open<EnhancementDB>("enhancements.db", unembedded);
  enhancements->add({.summary = "Faster loop.",
                     .context = "not used",
                     .before_code = "a\nb",
                     .after_code = "a\nc"});
  enhancements->add({.idea = "second", .context = "Only context."});
  EXPECT_EQ(enhancements->text(enhancements->iter_records().find(1)->record),
            "--- \n+++ \n@@ -1,2 +1,2 @@\n a\n-b\n+c\nFaster loop.");
  EXPECT_EQ(enhancements->text(enhancements->iter_records().find(2)->record), "Only context.");

  const auto errors = open<ErrorDB>("errors.db", unembedded);
  errors->add_error({.message = "Disk full. The password is x. Disk FULL."});
  errors->add_telemetry({.cause = "Upload failed",
                         .stack_trace = "File \"a.py\", line 1\n  raise IOError\n\nraise ioerror"});
  errors->add_known("EPERM", "Ask for rights.");
  EXPECT_EQ(errors->text(errors->iter_records().find(1)->record), "Disk full.");
  const auto key = [](const char* table) {
    return RecordKey::of(std::array<Value, 1>{std::int64_t{1}}, table);
  };
  EXPECT_EQ(errors->text(errors->iter_records().find(key("telemetry"))->record),
            "Upload failed raise IOError");
  EXPECT_EQ(errors->text(errors->iter_records().find(key("known_errors"))->record),
            "EPERM Ask for rights.");

  const auto information = open<InformationDB>("information.db", unembedded);
  information->add({.data_type = "manual",
                    .summary = "How to mount.",
                    .validated = true,
                    .keywords = {"disk", "mount"}});
  EXPECT_EQ(information->text(information->iter_records().find(1)->record),
            "data_type=manual summary=How to mount. validated=1 keywords=disk keywords=mount");

  const auto info = open<InfoDB>("information.db", unembedded);
  info->add({.title = "Mounting",
             .tags = {"a", "b"},
             .content = "Text. More.",
             .timestamp = 5,
             .energy = 1});
  EXPECT_EQ(
      info->text(info->iter_records().find(1)->record),
      "title=Mounting summary=Text. tags=a tags=b type=text content=Text. More. data_depth=0.022 "
      "timestamp=5.0 energy=1 corroboration_count=0");
}

TEST_F(SeedSchemaTest, WorkflowsAreUpdatedReplacedAndRemovedWithTheirVectors) {
  const auto workflows = open<WorkflowDB>("workflows.db");
  const std::int64_t a = workflows->add(
      {.workflow = {"bake bread"}, .assigned_bots = {"x", "y"}, .estimated_profit_per_bot = 1});
  const std::int64_t b = workflows->add({.workflow = {"mow lawn"}, .estimated_profit_per_bot = 2});
  workflows->update_statuses(std::array{a, b}, "done");
  EXPECT_EQ(workflows->fetch(1).at(0).wid, b);
  EXPECT_EQ(workflows->fetch_workflows(Scope::kAll, WorkflowOrder::kConfidence).at(0).status,
            "done");
  EXPECT_EQ(workflows->usage_rate(a), 2U);
  EXPECT_EQ(workflows->usage_rate(b), 0U);
  EXPECT_TRUE(workflows->remove(a));
  EXPECT_FALSE(workflows->remove(a));
  EXPECT_EQ(workflows->get_vector(a), std::nullopt);
  const std::int64_t c = workflows->replace(b, {.workflow = {"paint fence"}});
  const auto found = workflows->search_by_vector(vector_of("paint fence"));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].wid, c);
  EXPECT_THROW(workflows->update_status(77, "x"), NotFound);
}

TEST_P(SeedStoreTest, EnhancementsKeepLinksAndAMirrorOfWhatIsEmbedded) {
  const auto enhancements = open<EnhancementDB>("enhancements.db");
  enhancements->add({.idea = "cache",
                     .summary = "Keep pages in memory.",
                     .score = 4,
                     .model_ids = {7},
                     .bot_ids = {8, 9},
                     .workflow_ids = {1}});
  enhancements->add({.idea = "nothing to embed"});
  raw("enhancements.db")
      .execute(
          "INSERT INTO enhancements(idea, summary, source_menace_id, content_hash) VALUES "
          "('direct', 'Compress the log.', '', 'h')");
  const auto mirror = [&] {
    std::vector<std::string> ids;
    const Connection db = raw("enhancements.db");
    Statement select =
        db.prepare("SELECT record_id || kind FROM enhancement_embeddings ORDER BY 1");
    while (select.step()) ids.emplace_back(select.text(0));
    return ids;
  };
  EXPECT_THAT(mirror(), ElementsAre("1enhancement"));
  Store& store = *enhancements;
  store.backfill_embeddings();
  EXPECT_THAT(mirror(), ElementsAre("1enhancement", "3enhancement"));
  const auto found = enhancements->search_by_vector(vector_of("pages memory"), 1);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].bot_ids, ElementsAre(8, 9));
  EXPECT_THAT(found[0].model_ids, ElementsAre(7));
  EXPECT_EQ(enhancements->roi_uplift(1), 4);
  EXPECT_EQ(enhancements->fetch(50, EnhancementOrder::kId, false).at(0).idea, "cache");
  raw("enhancements.db").execute("DELETE FROM enhancements WHERE id = 1");
  store.backfill_embeddings();
  EXPECT_THAT(mirror(), ElementsAre("3enhancement"));
}

TEST_P(SeedStoreTest, ErrorsOfFourTablesWithEqualIdsDoNotCollide) {
  const auto errors = open<ErrorDB>("errors.db");
  errors->add_error({.message = "disk full"}, {.models = {1}, .bots = {2}, .codes = {3}});
  errors->add_telemetry({.category = "io",
                         .cause = "upload aborted",
                         .stack_trace = "send()",
                         .module_counts = {{"net", 2}, {"disk", 3}}});
  errors->add_known("permission denied", "Use another folder.");
  errors->log_discrepancy("totals differ between reports");
  EXPECT_EQ(errors->freshness().fresh, 4U);
  const auto first = [&](std::string_view question) {
    return errors->search_by_vector(vector_of(question), 1).at(0);
  };
  EXPECT_EQ(first("disk full").get("message"), "disk full");
  EXPECT_EQ(first("disk full").find("_table"), nullptr);
  EXPECT_EQ(first("upload aborted").get("cause"), "upload aborted");
  EXPECT_EQ(first("upload aborted").get("_table"), "telemetry");
  EXPECT_EQ(first("permission denied").get("_table"), "known_errors");
  EXPECT_EQ(first("totals differ").get("_table"), "discrepancies");
  EXPECT_EQ(errors->search("upload aborted", 1).at(0).key.display(), "telemetry:1");
  EXPECT_TRUE(errors->keys_matching("cause = 'upload aborted'")(
      RecordKey::of(std::array<Value, 1>{std::int64_t{1}}, "telemetry")));
  EXPECT_FALSE(errors->keys_matching("message = 'disk full'")(
      RecordKey::of(std::array<Value, 1>{std::int64_t{1}}, "telemetry")));
}

TEST_F(SeedSchemaTest, ErrorsAreCountedAndSolutionsKept) {
  const auto errors = open<ErrorDB>("errors.db");
  const std::int64_t id = errors->add_error({.message = "disk full"});
  EXPECT_EQ(errors->add_error({.message = "disk full"}), id);
  EXPECT_EQ(errors->recurrence_frequency(id), 2);
  EXPECT_EQ(errors->find_error("disk full"), id);
  EXPECT_EQ(errors->find_error("disk"), std::nullopt);
  const std::int64_t known = errors->add_known("m", "one");
  EXPECT_EQ(errors->add_known("m", "two"), known);
  EXPECT_EQ(errors->find_solution("m"), "two");
  EXPECT_EQ(errors->find_solution("n"), std::nullopt);
  errors->add_telemetry({.category = "io", .module = "net"});
  errors->add_telemetry({.category = "io", .module = "net"});
  const Connection db = raw("errors.db");
  Statement count =
      db.prepare("SELECT count FROM error_stats WHERE category = 'io' AND module = 'net'");
  ASSERT_TRUE(count.step());
  EXPECT_EQ(count.int64(0), 2);
}

TEST_P(SeedStoreTest, InfoAndInformationShareFileAndIndexWithoutHarm) {
  const auto info = open<InfoDB>("information.db");
  const auto information = open<InformationDB>("information.db");
  info->add({.title = "Rivers", .content = "The longest river."});
  information->add({.summary = "The highest mountain."});
  EXPECT_EQ(info->options().index_path, information->options().index_path);
  EXPECT_EQ(info->search_by_vector(vector_of("river")).at(0).title, "Rivers");
  EXPECT_EQ(info->search_by_vector(vector_of("mountain")).size(), 1U);
  EXPECT_EQ(information->search_by_vector(vector_of("mountain")).at(0).summary,
            "The highest mountain.");
  info->backfill_embeddings();
  information->backfill_embeddings();
  EXPECT_EQ(information->search_by_vector(vector_of("river")).size(), 1U);
  EXPECT_EQ(info->freshness().fresh, 1U);
  EXPECT_EQ(information->freshness().fresh, 1U);
}

TEST_F(SeedSchemaTest, ResearchItemsAreCorroboratedValidatedAndFoundByWords) {
  EmbeddableOptions options = InfoDB::default_options(folder_.path());
  options.encoder = encoder_;
  options.backend = backend_;
  InfoDB info(folder_ / "information.db", {.open = Open::kCreate}, options,
              {.text = [](const ResearchItem&) { return true; },
               .video = [](const ResearchItem&) { return false; }});
  info.add({.model_id = 5, .title = "Disks", .content = "Spinning."});
  info.add({.model_id = 5, .title = "Other", .content = "Something else."});
  const std::int64_t id = info.add({.model_id = 5,
                                    .title = "disks",
                                    .tags = {"ssd"},
                                    .content = "Solid state. Fast.",
                                    .energy = 3});
  const ResearchItem item = info.search("solid sta").at(0);
  EXPECT_EQ(item.item_id, id);
  EXPECT_EQ(item.notes,
            "xref 1 (topic, model); xref 2 (model); validated:text; validated:video_fail");
  EXPECT_EQ(item.corroboration_count, 2);
  EXPECT_EQ(item.summary, "Solid state.");
  EXPECT_EQ(info.items_for_model(5).size(), 3U);
  EXPECT_EQ(info.search("\"( NOT").size(), 0U);
  info.update(id, {{"content", std::string("Magnetic tape.")}});
  EXPECT_EQ(info.search("magn").at(0).item_id, id);
  EXPECT_THAT(info.search("solid"), IsEmpty());
  EXPECT_EQ(info.search_by_vector(vector_of("magnetic tape"), 1).at(0).item_id, id);
}

TEST_F(SeedSchemaTest, InformationIsUpdated) {
  const auto information =
      open<InformationDB>("information.db", {.open = Open::kCreate, .source_menace_id = "a"});
  const std::int64_t id = information->add({.summary = "Old words.", .keywords = {"k"}});
  information->update(id, {{"summary", std::string("Fresh bread.")}});
  const auto found = information->search_by_vector(vector_of("fresh bread"));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].keywords, ElementsAre("k"));
  EXPECT_EQ(information->fetch_all().size(), 1U);
  EXPECT_THAT(information->fetch_all(Scope::kGlobal), IsEmpty());
}

TEST_P(SeedStoreTest, BulkLoadingLeavesEmbeddingToTheBackfill) {
  const auto bots = open<BotDB>("bots.db", {.open = Open::kCreate, .embed_on_add = false});
  for (int i = 0; i < 300; ++i)
    bots->add_bot({.name = "bot" + std::to_string(i),
                   .purpose = "Does work number w" + std::to_string(i) + "."});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "bot_embeddings.sqlite"));
  EXPECT_EQ(bots->backfill_embeddings().embedded, 300U);
  EXPECT_EQ(bots->freshness().fresh, 300U);
}

// hashlib.sha256(json.dumps({"dependencies": json.dumps([]), ...}, sort_keys=True).encode()) of
// Python, over the values as the original stores them.
TEST_F(SeedSchemaTest, ContentHashesAreThoseThatTheOriginalStores) {
  const SeedStoreOptions unembedded{.open = Open::kCreate, .embed_on_add = false};
  const auto hash_in = [&](const std::string& file, const std::string& table) {
    const Connection db = raw(file);
    Statement select = db.prepare("SELECT content_hash FROM " + table);
    return select.step() ? std::string(select.text(0)) : std::string();
  };
  open<BotDB>("bots.db", unembedded)
      ->add_bot({.name = "Scraper \xC3\xA9",
                 .type_ = "worker",
                 .tasks = {"fetch", "parse"},
                 .resources = {{"cpu", "2"}},
                 .purpose = "no part of it"});
  EXPECT_EQ(hash_in("bots.db", "bots"),
            "f8e7fbd9bd6738432bc597c4d19874ff9b0b1e2ef33fd94cfacc798fd41c315b");
  open<WorkflowDB>("workflows.db", unembedded)
      ->add({.workflow = {"fetch", "parse"},
             .action_chains = {"a", "b"},
             .argument_strings = {"--all"},
             .title = "no part of it",
             .description = "Gets \"pages\""});
  EXPECT_EQ(hash_in("workflows.db", "workflows"),
            "6b6a9bcc0f1a7faf345ce8d3e1aeb4e9bc7a4a66f7f09aa6bb56834abe6db676");
  open<EnhancementDB>("enhancements.db", unembedded)
      ->add({.idea = "i",
             .rationale = "r",
             .summary = "no part of it",
             .before_code = "x = 1\n",
             .after_code = "x = 2\n",
             .description = "d"});
  EXPECT_EQ(hash_in("enhancements.db", "enhancements"),
            "21847ce388bb363cd5af622054826904b7d337a0abbbce362cfe341c2954d628");
  open<ErrorDB>("errors.db", unembedded)
      ->add_error({.message = "no part of it", .type_ = "io", .description = "disk full"});
  EXPECT_EQ(hash_in("errors.db", "errors"),
            "b23257863001c95a7cfa058acee059d0492efbfa50f3d49ab58db4c6fb07140a");
}

TEST_F(SeedSchemaTest, AVectorIsTheStoredOneElseMadeOfTheRow) {
  const auto information = open<InformationDB>("information.db");
  const std::int64_t stored = information->add({.summary = "The highest mountain."});
  raw("information.db")
      .execute(
          "INSERT INTO information(summary, source_menace_id) VALUES ('The longest river.', ''), "
          "('', ''), ('Please run eval(data) now.', '')");
  EXPECT_EQ(information->vector_of(stored), information->get_vector(stored));
  EXPECT_EQ(information->vector_of(stored + 1), vector_of("summary=The longest river."));
  EXPECT_EQ(information->get_vector(stored + 1), std::nullopt);
  EXPECT_THAT(information->vector_of(stored + 2), IsEmpty());
  EXPECT_THAT(information->vector_of(stored + 3), IsEmpty()) << "governance refuses it";
  EXPECT_THROW(information->vector_of(99), NotFound);
}

TEST_F(SeedSchemaTest, WorkflowsComeWithTheirVectorsWhereAskedFor) {
  const auto workflows = open<WorkflowDB>("workflows.db");
  const std::int64_t id = workflows->add({.workflow = {"bake bread"}});
  raw("workflows.db")
      .execute(
          "INSERT INTO workflows(workflow, source_menace_id, content_hash) VALUES ('mow', '', "
          "'h')");
  const auto found = workflows->fetch_workflows(Scope::kAll, WorkflowOrder::kTimestamp, 100, true);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].embedding, workflows->get_vector(id));
  EXPECT_THAT(found[1].embedding, IsEmpty());
  EXPECT_THAT(workflows->fetch_workflows(Scope::kAll, WorkflowOrder::kTimestamp)[0].embedding,
              IsEmpty());
}

TEST_F(SeedSchemaTest, ASearchKeepsToItsScope) {
  const auto add = [&](const std::string& whose, const std::string& idea) {
    const auto store =
        open<EnhancementDB>("enhancements.db", {.open = Open::kCreate, .source_menace_id = whose});
    store->add({.idea = idea, .summary = "Keep pages in memory, says " + whose + "."});
  };
  add("a", "one");
  add("b", "two");
  const auto mine =
      open<EnhancementDB>("enhancements.db", {.open = Open::kExisting, .source_menace_id = "a"});
  const auto ideas = [&](Scope scope) {
    std::vector<std::string> found;
    for (const auto& one : mine->search_by_vector(vector_of("pages memory"), 5, scope))
      found.push_back(one.idea);
    std::ranges::sort(found);
    return found;
  };
  EXPECT_THAT(ideas(Scope::kLocal), ElementsAre("one"));
  EXPECT_THAT(ideas(Scope::kGlobal), ElementsAre("two"));
  EXPECT_THAT(ideas(Scope::kAll), ElementsAre("one", "two"));
  const auto errors = open<ErrorDB>("errors.db", {.open = Open::kCreate, .source_menace_id = "a"});
  errors->add_error({.message = "disk full"});
  errors->add_known("disk full", "Delete something.");
  EXPECT_EQ(errors->search_by_vector(vector_of("disk full"), 5, Scope::kLocal).size(), 2U);
  EXPECT_EQ(errors->search_by_vector(vector_of("disk full"), 5, Scope::kGlobal).size(), 1U);
}

TEST_F(SeedSchemaTest, AFileOfTheOriginalGetsTheTablesThatAWritingMethodNeeds) {
  folder_.database("bots.db",
                   "CREATE TABLE bots(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, type TEXT, "
                   "tasks TEXT, parent_id TEXT, dependencies TEXT, resources TEXT, hierarchy_level "
                   "TEXT, purpose TEXT, tags TEXT, toolchain TEXT, creation_date TEXT, "
                   "last_modification_date TEXT, status TEXT, version TEXT, estimated_profit REAL, "
                   "source_menace_id TEXT NOT NULL, content_hash TEXT NOT NULL)");
  const auto bots = open<BotDB>("bots.db", {.open = Open::kExisting});
  const std::int64_t id = bots->add_bot(scraper(), {.models = {3}, .workflows = {4, 5}});
  bots->link_enhancement(id, 6);
  Connection db = raw("bots.db");
  for (const auto& [table, count] : std::vector<std::pair<std::string, int>>{
           {"bot_model", 1}, {"bot_workflow", 2}, {"bot_enhancement", 1}}) {
    Statement rows = db.prepare("SELECT count(*) FROM " + table);
    ASSERT_TRUE(rows.step());
    EXPECT_EQ(rows.int64(0), count) << table;
  }
  folder_.database("errors.db",
                   "CREATE TABLE errors(id INTEGER PRIMARY KEY, message TEXT, type TEXT, "
                   "description TEXT, resolution TEXT, ts TEXT, category TEXT, cause TEXT, "
                   "frequency INTEGER, source_menace_id TEXT NOT NULL DEFAULT '', content_hash "
                   "TEXT NOT NULL)");
  const auto errors = open<ErrorDB>("errors.db", {.open = Open::kExisting});
  EXPECT_EQ(errors->find_solution("m"), std::nullopt);
  errors->add_telemetry({.category = "io", .cause = "upload aborted", .module = "net"});
  errors->add_known("m", "Reboot.");
  EXPECT_EQ(errors->find_solution("m"), "Reboot.");
  EXPECT_EQ(errors->search("upload aborted", 1).at(0).key.display(), "telemetry:1");
}

TEST_F(SeedSchemaTest, TheDepthOfAnItemCountsCharactersNotBytes) {
  const auto info = open<InfoDB>("information.db");
  std::string content;
  for (int i = 0; i < 250; ++i) content += "\xC3\xA9";
  info->add({.title = "Accents", .content = content});
  EXPECT_EQ(info->search("Accents").at(0).data_depth, 0.5);
}

class StepClock : public Clock {
 public:
  std::chrono::system_clock::time_point now() const override {
    return parse_rfc3339("2026-11-20T12:00:00Z") + std::chrono::seconds(seconds);
  }
  int seconds = 0;
};

TEST_F(SeedSchemaTest, DefaultTimesAreThoseOfEachWriteNotOfTheStart) {
  StepClock clock;
  EmbeddableOptions options = BotDB::default_options(folder_.path());
  options.encoder = encoder_;
  options.clock = &clock;
  BotDB bots(folder_ / "bots.db", {.open = Open::kCreate, .embed_on_add = false}, options);
  bots.add_bot({.name = "first"});
  clock.seconds = 61;
  const std::int64_t second = bots.add_bot({.name = "second"});
  clock.seconds = 62;
  bots.update_bot(second, {{"purpose", std::string("Counts.")}});
  EXPECT_EQ(bots.find_by_name("first")->creation_date, "2026-11-20T12:00:00.000000");
  EXPECT_EQ(bots.find_by_name("second")->creation_date, "2026-11-20T12:01:01.000000");
  EXPECT_EQ(bots.find_by_name("second")->last_modification_date, "2026-11-20T12:01:02.000000");
}

TEST_F(SeedSchemaTest, EveryColumnOfABotIsStored) {
  const auto bots = open<BotDB>("bots.db", {.open = Open::kCreate, .embed_on_add = false});
  const BotRecord whole{.name = "n",
                        .type_ = "t",
                        .tasks = {"a", "b"},
                        .parent_id = "p",
                        .dependencies = {"d"},
                        .resources = {{"cpu", "2"}},
                        .hierarchy_level = "L2",
                        .purpose = "Counts.",
                        .tags = {"x"},
                        .toolchain = {"gcc"},
                        .creation_date = "2020-01-01T00:00:00.000000",
                        .last_modification_date = "2020-01-02T00:00:00.000000",
                        .status = "retired",
                        .version = "7",
                        .estimated_profit = 2.5};
  bots->add_bot(whole);
  const BotRecord stored = *bots->find_by_name("n");
  EXPECT_EQ(stored.type_, whole.type_);
  EXPECT_EQ(stored.tasks, whole.tasks);
  EXPECT_EQ(stored.parent_id, whole.parent_id);
  EXPECT_EQ(stored.dependencies, whole.dependencies);
  EXPECT_EQ(stored.resources, whole.resources);
  EXPECT_EQ(stored.hierarchy_level, whole.hierarchy_level);
  EXPECT_EQ(stored.tags, whole.tags);
  EXPECT_EQ(stored.toolchain, whole.toolchain);
  EXPECT_EQ(stored.creation_date, whole.creation_date);
  EXPECT_EQ(stored.last_modification_date, whole.last_modification_date);
  EXPECT_EQ(stored.status, whole.status);
  EXPECT_EQ(stored.version, whole.version);
  EXPECT_EQ(stored.estimated_profit, whole.estimated_profit);
}

}  // namespace
}  // namespace nearlite
