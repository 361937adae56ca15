#include "nearlite/retrieval/universal_retriever.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <random>
#include <set>
#include <tuple>

#include "links.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "result_bundles.h"
#include "result_scoring.h"
#include "scoring.h"
#include "source_pool.h"

namespace nearlite {
namespace {

std::string origin_of(const Store& store) {
  const std::string origin = store.origin();
  return origin == "info" || origin == "research" ? "information" : origin;
}

std::string random_session() {
  std::random_device device;
  std::string session;
  for (int i = 0; i < 4; ++i) {
    std::array<char, 9> digits{};
    std::snprintf(digits.data(), digits.size(), "%08x", device());
    session += digits.data();
  }
  return session;
}

bool stands_before(const ResultBundle& a, const ResultBundle& b) {
  return std::tuple(-a.score, std::string_view(a.store)) <
         std::tuple(-b.score, std::string_view(b.store));
}

/// What may be loaded anew between two questions.
struct Learned {
  std::map<std::string, Reliability> reliability;
  std::shared_ptr<const RankingModel> ranker;

  Reliability of(const std::string& origin) const {
    const auto known = reliability.find(origin);
    return known == reliability.end() ? Reliability{} : known->second;
  }
};

struct Found {
  ResultBundle bundle;
  std::optional<std::int64_t> id;  // of a row that link tables may name
};

/// The vectors that a question is asked with, one for each source; empty where there is none.
using Vectors = std::function<std::vector<std::vector<float>>(std::span<Source* const> sources,
                                                              std::vector<StoreFailure>& failures)>;

}  // namespace

struct UniversalRetriever::State {
  RetrieverOptions options;
  SourcePool sources;
  LinkTables links;
  std::map<std::pair<std::string, std::string>, std::size_t> prior_hits;  // by (store, record)
  std::mutex learning;                                                    // guards learned
  Learned learned;

  Learned learned_now();
  void add(Source source);
  std::vector<Source*> chosen(const RetrieveOptions& asked, const Learned& known,
                              AskStore when) const;
  bool is_reliable(const std::string& origin, const Learned& known) const;
  bool needs_more(const Gathered& gathered, std::size_t top_k, const Learned& known) const;
  RetrieverResult answer(const Question& question, const Vectors& vectors,
                         const RetrieveOptions& asked);
  std::vector<Found> bundles_of(Gathered& gathered, RetrieverResult& result) const;
  std::vector<Found> best_of(std::vector<Found> all, const Learned& known, std::size_t top_k,
                             RetrieverResult& result) const;
  std::vector<ResultBundle> scored(std::vector<Found> best, const Learned& known,
                                   const RetrieveOptions& asked);
  void note_outcomes(const Learned& known, RetrieverResult& result);
};

UniversalRetriever::UniversalRetriever(std::vector<std::shared_ptr<Store>> stores,
                                       RetrieverOptions options)
    : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
  RetrieverOptions& set = state_->options;
  if (!set.new_session) set.new_session = &random_session;
  if (set.clock == nullptr) set.clock = &system_clock();
  state_->learned = {set.reliability, set.ranker};
  if (!set.ranker && !set.model_path.empty()) {
    try {
      reload_ranker_model(set.model_path);
    } catch (const Error&) {
      state_->learned.ranker = nullptr;  // as without one: every hit has the probability 1
    }
  }
  reload_reliability();
  if (set.subscribe) set.subscribe("retrieval:feedback", [this] { reload_reliability(); });
  for (auto& store : stores) {
    const std::string origin = origin_of(*store);
    state_->add({.origin = origin, .store = std::move(store)});
  }
}

UniversalRetriever::~UniversalRetriever() = default;

void UniversalRetriever::register_db(const std::string& name, std::shared_ptr<Store> store,
                                     std::vector<std::string> id_fields, AskStore when) {
  if (state_->sources.has(name)) throw InvalidArgument("there is a store of the name " + name);
  state_->add(
      {.origin = name, .store = std::move(store), .id_fields = std::move(id_fields), .when = when});
}

std::map<std::string, Reliability> UniversalRetriever::reliability_metrics() const {
  return state_->learned_now().reliability;
}

void UniversalRetriever::reload_reliability() {
  if (!state_->options.reliability_source) return;
  auto reliability = state_->options.reliability_source();
  const std::lock_guard lock(state_->learning);
  state_->learned.reliability = std::move(reliability);
}

void UniversalRetriever::reload_ranker_model(const std::filesystem::path& file) {
  auto ranker = std::make_shared<const RankingModel>(RankingModel::load(file));
  const std::lock_guard lock(state_->learning);
  state_->learned.ranker = std::move(ranker);
}

RetrieverResult UniversalRetriever::retrieve(std::string_view question,
                                             const RetrieveOptions& options) {
  const Question parsed = parse_question(question);
  const auto vectors = [&](std::span<Source* const> sources, std::vector<StoreFailure>& failures) {
    return encoded_for(sources, parsed.text, failures);
  };
  return state_->answer(parsed, vectors, options);
}

RetrieverResult UniversalRetriever::retrieve(std::span<const float> vector,
                                             const RetrieveOptions& options) {
  const auto vectors = [&](std::span<Source* const> sources, std::vector<StoreFailure>&) {
    return std::vector<std::vector<float>>(sources.size(), {vector.begin(), vector.end()});
  };
  return state_->answer({}, vectors, options);
}

RetrieverResult UniversalRetriever::retrieve(const Record& record, const RetrieveOptions& options) {
  const auto sources = state_->chosen(options, state_->learned_now(), AskStore::kAlways);
  return retrieve(std::span<const float>(vector_of(record, sources)), options);
}

std::vector<ResultBundle> UniversalRetriever::search(std::string_view question, std::size_t top_k) {
  RetrieveOptions options;
  options.top_k = top_k;
  return retrieve(question, options).results;
}

ConfidentResult UniversalRetriever::plain(RetrieverResult result) const {
  const bool by_formula = state_->options.scoring != Scoring::kNearlite;
  ConfidentResult confident;
  for (ResultBundle& bundle : result.results)
    confident.results.push_back(confident_hit(std::move(bundle), by_formula));
  confident.session_id = std::move(result.session_id);
  confident.vectors = std::move(result.vectors);
  return confident;
}

ConfidentResult UniversalRetriever::retrieve_with_confidence(std::string_view question,
                                                             const RetrieveOptions& options) {
  return plain(retrieve(question, options));
}

ConfidentResult UniversalRetriever::retrieve_with_confidence(std::span<const float> vector,
                                                             const RetrieveOptions& options) {
  return plain(retrieve(vector, options));
}

ConfidentResult UniversalRetriever::retrieve_with_confidence(const Record& record,
                                                             const RetrieveOptions& options) {
  return plain(retrieve(record, options));
}

Learned UniversalRetriever::State::learned_now() {
  const std::lock_guard lock(learning);
  return learned;
}

void UniversalRetriever::State::add(Source source) {
  links.add(source.origin, source.store->name(), source.store->database_path());
  sources.add(std::move(source));
}

bool UniversalRetriever::State::is_reliable(const std::string& origin, const Learned& known) const {
  return known.of(origin).score() >= options.reliability_threshold;
}

/// The stores that `asked` names and that are asked at this time, the most reliable first.
std::vector<Source*> UniversalRetriever::State::chosen(const RetrieveOptions& asked,
                                                       const Learned& known, AskStore when) const {
  if (asked.top_k == 0) throw InvalidArgument("top_k is 0, at least 1 is needed");
  std::vector<Source*> chosen = sources.named(asked.dbs, when);
  if (options.reliability_threshold > 0 && !options.fallback_on_low_reliability)
    std::erase_if(chosen, [&](const Source* one) { return !is_reliable(one->origin, known); });
  std::ranges::stable_sort(chosen, [&](const Source* a, const Source* b) {
    return known.of(a->origin).score() > known.of(b->origin).score();
  });
  return chosen;
}

/// True: too little was found, or, where it matters, nothing by a reliable store.
bool UniversalRetriever::State::needs_more(const Gathered& gathered, std::size_t top_k,
                                           const Learned& known) const {
  if (gathered.num_hits < top_k) return true;
  if (options.reliability_threshold <= 0 || !options.fallback_on_low_reliability) return false;
  for (std::size_t i = 0; i < gathered.replies.size(); ++i) {
    if (!gathered.replies[i].hits.empty() && is_reliable(gathered.origins[i], known)) return false;
  }
  return true;
}

RetrieverResult UniversalRetriever::State::answer(const Question& question, const Vectors& vectors,
                                                  const RetrieveOptions& asked) {
  const Stopwatch stopwatch;
  const Learned known = learned_now();
  RetrievalOptions each;
  each.k = asked.top_k;
  each.rows = asked.rows;
  each.rows.governed = options.governed;
  each.rows.max_alert_severity = options.max_alert_severity;
  const bool by_words = options.scoring == Scoring::kNearlite && !question.words.empty();
  each.mode = by_words ? SearchMode::kHybrid : SearchMode::kVector;
  Gathered gathered;
  for (const AskStore when : {AskStore::kAlways, AskStore::kWhenShort}) {
    auto now = chosen(asked, known, when);
    if (when == AskStore::kWhenShort) {
      if (!needs_more(gathered, asked.top_k, known)) break;
      if (gathered.num_hits >= asked.top_k)  // what is missing is only what can be relied on
        std::erase_if(now, [&](const Source* one) { return !is_reliable(one->origin, known); });
    }
    SourcePool::ask(now, question, vectors(now, gathered.failures), each, options.deadline,
                    gathered);
  }
  RetrieverResult result;
  auto best = best_of(bundles_of(gathered, result), known, asked.top_k, result);
  result.results = scored(std::move(best), known, asked);
  for (const ResultBundle& bundle : result.results)
    result.vectors.push_back({bundle.origin_db, bundle.record_id, bundle.score});
  result.session_id = options.new_session();
  result.failures = std::move(gathered.failures);
  note_outcomes(known, result);
  result.took_ms = stopwatch.elapsed_ms();
  if (options.sink) options.sink(result);
  return result;
}

std::vector<Found> UniversalRetriever::State::bundles_of(Gathered& gathered,
                                                         RetrieverResult& result) const {
  const bool by_distance = options.scoring != Scoring::kNearlite;
  if (!by_distance) score_replies(gathered.replies);
  std::vector<Found> all;
  std::size_t num_forbidden = 0;
  for (std::size_t i = 0; i < gathered.replies.size(); ++i) {
    StoreReply& reply = gathered.replies[i];
    double& took_ms = result.store_ms[gathered.origins[i]];
    took_ms = std::max(took_ms, reply.answer.took_ms);
    num_forbidden += reply.num_forbidden;
    for (RetrievalHit& hit : reply.hits) {
      const auto id = row_id(hit);
      score_match(hit, by_distance);
      all.push_back({bundle_of(std::move(hit), gathered.origins[i], *options.clock), id});
    }
  }
  if (num_forbidden > 0)
    result.left_out.push_back(std::to_string(num_forbidden) + " that governance forbids to show");
  return all;
}

/// The best top_k; with a threshold, and if all of them come from stores below it, also what the
/// stores at or above it found.
std::vector<Found> UniversalRetriever::State::best_of(std::vector<Found> all, const Learned& known,
                                                      std::size_t top_k,
                                                      RetrieverResult& result) const {
  std::ranges::stable_sort(all, stands_before, &Found::bundle);
  result.candidates = all.size();
  const auto below = [&](const Found& one) { return !is_reliable(one.bundle.origin_db, known); };
  const auto kept = static_cast<std::ptrdiff_t>(std::min(top_k, all.size()));
  std::vector<Found> best(std::make_move_iterator(all.begin()),
                          std::make_move_iterator(all.begin() + kept));
  if (options.reliability_threshold <= 0 || !std::ranges::all_of(best, below)) return best;
  for (auto one = all.begin() + kept; one != all.end(); ++one) {
    if (below(*one)) continue;
    auto& fallbacks = result.fallback_sources;
    if (std::ranges::find(fallbacks, one->bundle.origin_db) == fallbacks.end())
      fallbacks.push_back(one->bundle.origin_db);
    best.push_back(std::move(*one));
  }
  return best;
}

/// With signals and links, in their order, cut at top_k.
std::vector<ResultBundle> UniversalRetriever::State::scored(std::vector<Found> found,
                                                            const Learned& known,
                                                            const RetrieveOptions& asked) {
  std::vector<std::set<std::int64_t>> bots;
  std::vector<ResultBundle> results;
  for (Found& one : found) {
    ResultBundle& bundle = results.emplace_back(std::move(one.bundle));
    auto& mine = bots.emplace_back();
    if (!one.id) continue;
    if (!options.knowledge_graph) mine = links.bots_of(bundle.origin_db, bundle.store, *one.id);
    const auto signal = links.signal_of(bundle.origin_db, bundle.store, *one.id);
    if (!signal) continue;
    bundle.signals.insert(*signal);
    bundle.context_score = context_of(signal->first, signal->second);
  }
  score_results(results, {options, asked, known.reliability, known.ranker.get()});
  const auto groups = options.knowledge_graph ? groups_by_graph(results, options.knowledge_graph)
                                              : groups_by_bots(bots);
  boost_links(results, groups, asked.link_multiplier, !options.knowledge_graph);
  for (ResultBundle& bundle : results) bound(bundle);
  std::ranges::stable_sort(results, stands_before);
  if (results.size() > asked.top_k) results.resize(asked.top_k);
  return results;
}

/// Fills result.metrics.
void UniversalRetriever::State::note_outcomes(const Learned& known, RetrieverResult& result) {
  constexpr std::size_t kMostRemembered = 100'000;
  if (prior_hits.size() > kMostRemembered) prior_hits.clear();
  const double hit_rate = result.candidates == 0 ? 0
                                                 : static_cast<double>(result.results.size()) /
                                                       static_cast<double>(result.candidates);
  for (const ResultBundle& bundle : result.results) {
    RetrievalOutcome outcome = outcome_of(bundle, known.of(bundle.origin_db));
    outcome.rank = result.metrics.size() + 1;
    outcome.hit_rate = hit_rate;
    outcome.session_id = result.session_id;
    outcome.prior_hits = prior_hits[{bundle.store, bundle.record_id}]++;
    result.metrics.push_back(std::move(outcome));
  }
}

}  // namespace nearlite
