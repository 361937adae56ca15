// What a question costs from text in to ten hits with snippets out, in one warm process: over one
// store of all packages, and over six stores of 10,000 each. Questions are read by the model; rows
// have vectors of their words, since a search costs the same whatever the vectors say, and a bench
// need not wait for the model to read all rows. An indexed file is used as it is.
//
// usage: nearlite_retrieval_bench MODEL PACKAGES.db WORK-FOLDER [INDEXED.db]
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "nearlite/base/clock.h"
#include "nearlite/databases/registry.h"
#include "nearlite/databases/table_store.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite {
namespace {

constexpr std::size_t kQuestions = 400;
constexpr std::size_t kRounds = 3;
constexpr int kSmallStores = 6;
constexpr int kSmallRows = 10'000;

/// Questions by the model; rows as the sum of a random vector for each word, which makes rows that
/// share words near, as a model does.
class BenchEncoder : public TextEncoder {
 public:
  explicit BenchEncoder(std::shared_ptr<const TextEncoder> model) : model_(std::move(model)) {}
  const ModelInfo& info() const override { return model_->info(); }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const override {
    if (role == TextRole::kQuery) return model_->encode(texts, role);
    EncodedBatch batch;
    batch.dim = info().dim;
    for (const std::string_view text : texts) add_row(text, batch);
    return batch;
  }
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string& prompt) const override {
    return model_->encode_with_prompt(texts, prompt);
  }
  TokenizedText tokenize(std::string_view text) const override { return model_->tokenize(text); }
  std::vector<Passage> passages(std::string_view text) const override { return {{0, text.size()}}; }

 private:
  void add_row(std::string_view text, EncodedBatch& batch) const {
    std::vector<float> sum(batch.dim);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
      std::minstd_rand random(static_cast<std::uint32_t>(
          std::hash<std::string_view>{}(text.substr(at, end - at)) | 1U));
      for (float& value : sum)
        value += static_cast<float>(random()) / static_cast<float>(std::minstd_rand::max()) - 0.5F;
      at = end + 1;
    }
    float squares = 1e-12F;
    for (const float value : sum) squares += value * value;
    for (const float value : sum) batch.vectors.push_back(value / std::sqrt(squares));
    batch.num_tokens += text.size() / 4;
  }

  std::shared_ptr<const TextEncoder> model_;
};

std::unique_ptr<Store> embedded_store(const std::filesystem::path& packages,
                                      const std::filesystem::path& folder, const std::string& name,
                                      const std::string& where,
                                      const std::shared_ptr<const TextEncoder>& encoder) {
  TableConfig config;
  config.name = name;
  config.database = packages;
  config.table = "package";
  config.text = {"name", "summary", "description"};
  config.where = where;
  EmbeddableOptions options = TableStore::options_for(config, folder);
  options.encoder = encoder;
  auto store = std::make_unique<TableStore>(config, options);
  store->backfill_embeddings();
  return store;
}

/// Three to eight words from the summary of every n-th package.
std::vector<std::string> questions_of(const std::filesystem::path& packages) {
  Connection db = Connection::open_source(packages);
  Statement rows = db.prepare("SELECT summary FROM package WHERE length(summary) > 30 ORDER BY id");
  std::vector<std::string> summaries;
  while (rows.step()) summaries.emplace_back(rows.text(0));
  std::vector<std::string> questions;
  for (std::size_t i = 0; i < kQuestions; ++i) {
    std::string question = summaries[i * summaries.size() / kQuestions];
    std::size_t end = 0;
    for (std::size_t words = 0; words < 3 + i % 6 && end != std::string::npos; ++words)
      end = question.find(' ', end + 1);
    questions.push_back(question.substr(0, end));
  }
  return questions;
}

void report(const char* task, const std::string& shape, const char* measure, double value) {
  std::printf(
      "{\"task\": \"%s\", \"who\": \"nearlite\", \"shape\": \"%s\", \"measure\": \"%s\", "
      "\"value\": %.3f, \"unit\": \"ms\", \"better\": \"less\"}\n",
      task, shape.c_str(), measure, value);
}

/// Questions in a second, asked by so many threads at once.
void measure_callers(std::span<Store* const> stores, const std::vector<std::string>& questions,
                     std::size_t callers) {
  std::atomic<std::size_t> next{0};
  const std::size_t count = kRounds * questions.size();
  const Stopwatch stopwatch;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < callers; ++i) {
      threads.emplace_back([&] {
        for (std::size_t at = next++; at < count; at = next++)
          search_stores(stores, questions[at % questions.size()], {});
      });
    }
  }
  std::printf(
      "{\"task\": \"questions by many callers\", \"who\": \"nearlite\", \"shape\": \"%zu callers, "
      "hybrid\", \"measure\": \"rate\", \"value\": %.0f, \"unit\": \"1/s\", \"better\": "
      "\"more\"}\n",
      callers, 1000 * static_cast<double>(count) / stopwatch.elapsed_ms());
}

void measure(const char* task, std::span<Store* const> stores,
             const std::vector<std::string>& questions, SearchMode mode) {
  RetrievalOptions options;
  options.mode = mode;
  std::vector<double> times;
  std::size_t rows = 0;
  for (std::size_t round = 0; round <= kRounds; ++round) {
    for (const std::string& question : questions) {
      const Stopwatch stopwatch;
      const RetrievalResult result = search_stores(stores, question, options);
      if (round > 0) times.push_back(stopwatch.elapsed_ms());  // the first round warms up
      if (!result.failures.empty()) std::printf("failed: %s\n", result.failures[0].message.c_str());
      rows = 0;
      for (const StoreAnswer& store : result.stores) rows += store.records;
    }
  }
  std::ranges::sort(times);
  const std::string shape = std::to_string(rows) + " rows, " + std::to_string(stores.size()) +
                            (stores.size() == 1 ? " store, " : " stores, ") +
                            std::string(search_mode_name(mode));
  report(task, shape, "p50", times[times.size() / 2]);
  report(task, shape, "p99", times[times.size() * 99 / 100]);
}

int run(int count, char** arguments) {
  if (count < 4 || count > 5) {
    std::fprintf(stderr, "usage: %s MODEL PACKAGES.db WORK-FOLDER [INDEXED.db]\n", arguments[0]);
    return 2;
  }
  const std::filesystem::path packages = arguments[2];
  const std::filesystem::path work = arguments[3];
  std::filesystem::create_directories(work);
  const auto encoder = std::make_shared<BenchEncoder>(open_encoder(arguments[1], EncoderOptions{}));
  const std::vector<std::string> questions = questions_of(packages);
  {
    std::vector<double> times;
    for (const std::string& question : questions) {
      const std::string_view text = question;
      const Stopwatch stopwatch;
      encoder->encode(std::span(&text, 1), TextRole::kQuery);
      times.push_back(stopwatch.elapsed_ms());
    }
    std::ranges::sort(times);
    report("of it, reading the question", "one question", "p50", times[times.size() / 2]);
  }
  std::shared_ptr<Store> large;
  if (count == 5) {
    StoreSettings settings;
    settings.shared_encoder = encoder;
    const std::filesystem::path indexed = arguments[4];
    const Registry registry = Registry::of_files(std::span(&indexed, 1), settings);
    large = registry.open(registry.entries().front());
  } else {
    large = embedded_store(packages, work, "packages", "", encoder);
  }
  Store* const one[] = {large.get()};
  for (const SearchMode mode : {SearchMode::kHybrid, SearchMode::kVector, SearchMode::kKeyword})
    measure("question over one store", one, questions, mode);
  for (const std::size_t callers : {1U, 2U, 64U}) measure_callers(one, questions, callers);
  std::vector<std::unique_ptr<Store>> stores;
  std::vector<Store*> six;
  for (int i = 0; i < kSmallStores; ++i) {
    const std::string where =
        "id % 6 = " + std::to_string(i) + " AND id <= " + std::to_string(kSmallStores * kSmallRows);
    stores.push_back(
        embedded_store(packages, work, "packages" + std::to_string(i), where, encoder));
    six.push_back(stores.back().get());
  }
  for (const SearchMode mode : {SearchMode::kHybrid, SearchMode::kVector, SearchMode::kKeyword})
    measure("question over six stores", six, questions, mode);
  return 0;
}

}  // namespace
}  // namespace nearlite

int main(int count, char** arguments) { return nearlite::run(count, arguments); }
