#include "nearlite/retrieval/universal_retriever.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <tuple>

#include "links.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "result_scoring.h"
#include "scoring.h"
#include "store_reply.h"

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

/// The number of a seed store's row; nothing for other keys and further source tables.
std::optional<std::int64_t> row_id(const RetrievalHit& hit) {
  if (!hit.key.table.empty()) return std::nullopt;
  const std::vector<Value> values = hit.key.values();
  if (values.size() != 1 || !std::holds_alternative<std::int64_t>(values[0])) return std::nullopt;
  return std::get<std::int64_t>(values[0]);
}

StoreFailure too_slow(const Store& store, const std::string& what) {
  return {store.name(), "Unavailable", what, "ask again later", 4};
}

std::optional<double> age_of(const std::string& last_updated, const Clock& clock) {
  try {
    return std::chrono::duration<double>(clock.now() - parse_rfc3339(last_updated)).count();
  } catch (const InvalidArgument&) {
    return std::nullopt;  // the row says it in its own way
  }
}

ResultBundle bundle_of(RetrievalHit hit, HitDetail detail, const std::string& origin,
                       const Clock& clock) {
  ResultBundle bundle;
  bundle.origin_db = origin;
  bundle.store = hit.store;
  bundle.record_id = hit.key.display();
  bundle.metadata = std::move(hit.fields);
  bundle.confidence = hit.confidence;
  bundle.similarity = hit.similarity;
  bundle.vector_distance = hit.distance;
  bundle.snippet = std::move(hit.snippet);
  bundle.kind = std::move(detail.kind);
  bundle.age = age_of(detail.last_updated, clock);
  bundle.signals = std::move(hit.signals);
  bundle.parts = std::move(hit.parts);
  bundle.score = hit.score;
  bundle.governance = std::move(detail.governance);
  return bundle;
}

/// Length as JSON / 4.
std::size_t tokens_of(const std::vector<std::pair<std::string, Value>>& fields) {
  std::size_t length = 2;
  for (const auto& [name, value] : fields) length += name.size() + text_of(value).size() + 6;
  return length / 4;
}

bool stands_before(const ResultBundle& a, const ResultBundle& b) {
  return std::tuple(-a.score, std::string_view(a.store)) <
         std::tuple(-b.score, std::string_view(b.store));
}

ConfidentResult plain(RetrieverResult result) {
  ConfidentResult confident;
  for (ResultBundle& bundle : result.results) {
    ConfidentHit& hit = confident.results.emplace_back();
    hit.source = std::move(bundle.origin_db);
    hit.record_id = std::move(bundle.record_id);
    hit.item = std::move(bundle.metadata);
    hit.confidence = bundle.confidence.value_or(bundle.score);
    hit.reason = std::move(bundle.reason);
    hit.license = std::move(bundle.governance.license);
    hit.license_fingerprint = std::move(bundle.governance.license_fingerprint);
    hit.semantic_alerts = std::move(bundle.governance.semantic_alerts);
    hit.alignment_severity = bundle.governance.alignment_severity;
  }
  confident.session_id = std::move(result.session_id);
  confident.vectors = std::move(result.vectors);
  return confident;
}

}  // namespace

struct UniversalRetriever::Source {
  std::string origin;
  std::shared_ptr<Store> store;
  std::vector<std::string> id_fields;
  AskStore when = AskStore::kAlways;
  std::shared_ptr<std::atomic<bool>> busy = std::make_shared<std::atomic<bool>>(false);
  std::jthread running;  // of the last question; joined before the next one and at the end
};

/// One question on its way: shared with threads that may outlast it.
struct UniversalRetriever::Asked {
  Question question;
  RetrievalOptions options;
  RowSelection rows;
  std::vector<std::vector<float>> vectors;
  std::mutex mutex;
  std::condition_variable answered;
  std::vector<std::optional<StoreReply>> replies;
  std::size_t missing = 0;
};

/// Who answered, and what.
struct UniversalRetriever::Gathered {
  std::vector<StoreReply> replies;
  std::vector<std::string> origins;
  std::size_t num_hits = 0;
};

/// What may be loaded anew between two questions.
struct UniversalRetriever::Learned {
  std::map<std::string, Reliability> reliability;
  std::shared_ptr<const RankingModel> ranker;

  double reliability_of(const std::string& origin) const {
    const auto known = reliability.find(origin);
    return known == reliability.end() ? 0 : known->second.score();
  }
};

struct UniversalRetriever::State {
  std::vector<std::unique_ptr<Source>> sources;
  LinkTables links;
  std::map<std::pair<std::string, std::string>, std::size_t> prior_hits;  // by (store, record)
  std::mutex learning;                                                    // guards learned
  Learned learned;
};

UniversalRetriever::UniversalRetriever(std::vector<std::shared_ptr<Store>> stores,
                                       RetrieverOptions options)
    : options_(std::move(options)), state_(std::make_unique<State>()) {
  if (!options_.new_session) options_.new_session = &random_session;
  if (options_.clock == nullptr) options_.clock = &system_clock();
  state_->learned = {options_.reliability, options_.ranker};
  if (!options_.ranker && !options_.model_path.empty()) {
    try {
      reload_ranker_model(options_.model_path);
    } catch (const Error&) {
      state_->learned.ranker = nullptr;  // as without one: every hit has the probability 1
    }
  }
  reload_reliability();
  if (options_.subscribe)
    options_.subscribe("retrieval:feedback", [this] { reload_reliability(); });
  for (auto& store : stores) {
    auto source = std::make_unique<Source>();
    source->origin = origin_of(*store);
    source->store = std::move(store);
    state_->links.add(source->origin, source->store->name(), source->store->database_path());
    state_->sources.push_back(std::move(source));
  }
}

UniversalRetriever::~UniversalRetriever() = default;

void UniversalRetriever::register_db(const std::string& name, std::shared_ptr<Store> store,
                                     std::vector<std::string> id_fields, AskStore when) {
  for (const auto& source : state_->sources) {
    if (source->origin == name) throw InvalidArgument("there is a store of the name " + name);
  }
  auto source = std::make_unique<Source>();
  source->origin = name;
  source->store = std::move(store);
  source->id_fields = std::move(id_fields);
  source->when = when;
  state_->links.add(name, source->store->name(), source->store->database_path());
  state_->sources.push_back(std::move(source));
}

std::map<std::string, Reliability> UniversalRetriever::reliability_metrics() const {
  return learned().reliability;
}

void UniversalRetriever::reload_reliability() {
  if (!options_.reliability_source) return;
  auto reliability = options_.reliability_source();
  const std::lock_guard lock(state_->learning);
  state_->learned.reliability = std::move(reliability);
}

void UniversalRetriever::reload_ranker_model(const std::filesystem::path& file) {
  auto ranker = std::make_shared<const RankingModel>(RankingModel::load(file));
  const std::lock_guard lock(state_->learning);
  state_->learned.ranker = std::move(ranker);
}

UniversalRetriever::Learned UniversalRetriever::learned() const {
  const std::lock_guard lock(state_->learning);
  return state_->learned;
}

/// The stores that `options` name and that are asked at this time, the most reliable first.
std::vector<UniversalRetriever::Source*> UniversalRetriever::chosen(const RetrieveOptions& options,
                                                                    const Learned& learned,
                                                                    AskStore when) {
  if (options.top_k == 0) throw InvalidArgument("top_k is 0, at least 1 is needed");
  std::vector<Source*> chosen;
  bool named = false;
  for (const auto& source : state_->sources) {
    const auto names_it = [&](const std::string& name) {
      return name == source->origin || name == source->store->name() ||
             name == source->store->origin();
    };
    if (!options.dbs.empty() && std::ranges::none_of(options.dbs, names_it)) continue;
    named = true;
    if (source->when == when) chosen.push_back(source.get());
  }
  if (!named) {
    throw InvalidArgument(options.dbs.empty() ? "there is no store to ask"
                                              : "there is no store " + join_names(options.dbs));
  }
  const auto reliability = [&](const Source* source) {
    return learned.reliability_of(source->origin);
  };
  const double least = options_.reliability_threshold;
  if (least > 0 && !options_.fallback_on_low_reliability)
    std::erase_if(chosen, [&](const Source* source) { return reliability(source) < least; });
  std::ranges::stable_sort(
      chosen, [&](const Source* a, const Source* b) { return reliability(a) > reliability(b); });
  return chosen;
}

/// The text as the model of each store's vectors reads it; an empty vector, and a failure, where
/// that cannot be had.
std::vector<std::vector<float>> UniversalRetriever::encoded(const std::vector<Source*>& sources,
                                                            std::string_view text,
                                                            std::vector<StoreFailure>& failures) {
  std::vector<std::vector<float>> vectors;
  std::map<std::string, std::vector<float>> by_model;
  for (const Source* source : sources) {
    try {
      const std::string model = source->store->question_model();
      auto known = by_model.find(model);
      if (known == by_model.end())
        known = by_model.emplace(model, source->store->encode_text(text)).first;
      vectors.push_back(known->second);
    } catch (const std::exception&) {
      failures.push_back(failure_in_flight(source->store->name()));
      vectors.emplace_back();  // it can still be searched by words
    }
  }
  return vectors;
}

RetrieverResult UniversalRetriever::retrieve(std::string_view question,
                                             const RetrieveOptions& options) {
  const Stopwatch stopwatch;
  const Question parsed = parse_question(question);
  const Learned learned = this->learned();
  std::vector<StoreFailure> failures;
  Gathered gathered;
  for (const AskStore when : {AskStore::kAlways, AskStore::kWhenShort}) {
    const std::vector<Source*> sources = chosen(options, learned, when);
    if (when == AskStore::kWhenShort && gathered.num_hits >= options.top_k) break;
    const auto vectors = encoded(sources, parsed.text, failures);
    ask_all(sources, parsed, vectors, options, failures, gathered);
  }
  return finish(std::move(gathered), learned, options, std::move(failures), stopwatch);
}

RetrieverResult UniversalRetriever::retrieve(std::span<const float> vector,
                                             const RetrieveOptions& options) {
  const Stopwatch stopwatch;
  const Learned learned = this->learned();
  std::vector<StoreFailure> failures;
  Gathered gathered;
  for (const AskStore when : {AskStore::kAlways, AskStore::kWhenShort}) {
    const std::vector<Source*> sources = chosen(options, learned, when);
    if (when == AskStore::kWhenShort && gathered.num_hits >= options.top_k) break;
    const std::vector<std::vector<float>> vectors(sources.size(),
                                                  std::vector<float>(vector.begin(), vector.end()));
    ask_all(sources, {}, vectors, options, failures, gathered);
  }
  return finish(std::move(gathered), learned, options, std::move(failures), stopwatch);
}

RetrieverResult UniversalRetriever::retrieve(const Record& record, const RetrieveOptions& options) {
  const Learned learned = this->learned();
  const std::vector<Source*> sources = chosen(options, learned, AskStore::kAlways);
  for (const Source* source : sources) {
    const Store& store = *source->store;
    if (const auto own = store.vector(record)) return retrieve(*own, options);
    if (const std::string text = store.text(record); !text.empty())
      return retrieve(std::span<const float>(store.encode_text(text)), options);
  }
  const auto stored_of = [&](const Source* source, const std::string& field) {
    const Value* value = record.find(field);
    if (value == nullptr || std::holds_alternative<std::monostate>(*value))
      return std::optional<std::vector<float>>();
    return source->store->get_vector(RecordKey::of(std::span(value, 1)));
  };
  for (const Source* source : sources) {
    for (const std::string& field : source->id_fields) {
      if (const auto stored = stored_of(source, field))
        return retrieve(std::span<const float>(*stored), options);
    }
  }
  for (const char* field : {"id", "wid", "bid", "record_id", "info_id", "item_id"}) {
    for (const Source* source : sources) {
      if (const auto stored = stored_of(source, field))
        return retrieve(std::span<const float>(*stored), options);
    }
  }
  throw InvalidArgument("no store can make or find a vector for this record",
                        "give a text, a vector, or a record with text or a known id");
}

std::vector<ResultBundle> UniversalRetriever::search(std::string_view question, std::size_t top_k) {
  RetrieveOptions options;
  options.top_k = top_k;
  return retrieve(question, options).results;
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

/// Starts a thread for each store that may be asked, waits for the answers until the deadline, and
/// adds them to `gathered`; what is missing then is a failure.
void UniversalRetriever::ask_all(const std::vector<Source*>& sources, const Question& question,
                                 const std::vector<std::vector<float>>& vectors,
                                 const RetrieveOptions& options,
                                 std::vector<StoreFailure>& failures, Gathered& gathered) {
  auto asked = std::make_shared<Asked>();
  asked->question = question;
  asked->options.k = options.top_k;
  asked->rows = options.rows;
  asked->rows.governed = options_.governed;
  asked->rows.max_alert_severity = options_.max_alert_severity;
  const bool by_words = options_.scoring == Scoring::kNearlite && !question.words.empty();
  asked->options.mode = by_words ? SearchMode::kHybrid : SearchMode::kVector;
  asked->vectors = vectors;
  asked->replies.resize(sources.size());
  std::vector<bool> started(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (vectors[i].empty() && !by_words) continue;  // its failure is known
    started[i] = start(*sources[i], asked, i, failures);
  }
  {
    std::unique_lock lock(asked->mutex);
    const auto all_there = [&] { return asked->missing == 0; };
    if (options_.deadline.count() > 0) {
      asked->answered.wait_for(lock, options_.deadline, all_there);
    } else {
      asked->answered.wait(lock, all_there);
    }
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (!started[i]) continue;
      std::optional<StoreReply>& reply = asked->replies[i];
      if (!reply) {
        failures.push_back(
            too_slow(*sources[i]->store,
                     "did not answer within " + std::to_string(options_.deadline.count()) + " ms"));
      } else if (reply->failure) {
        failures.push_back(*reply->failure);
      } else {
        gathered.num_hits += reply->hits.size();
        gathered.replies.push_back(std::move(*reply));
        gathered.origins.push_back(sources[i]->origin);
      }
    }
  }
}

/// False if the store is still busy, which is a failure.
bool UniversalRetriever::start(Source& source, const std::shared_ptr<Asked>& asked,
                               std::size_t place, std::vector<StoreFailure>& failures) {
  if (source.busy->load()) {
    failures.push_back(too_slow(*source.store, "is still busy with an earlier question"));
    return false;
  }
  {
    const std::lock_guard lock(asked->mutex);
    ++asked->missing;
  }
  source.busy->store(true);
  source.running = std::jthread([asked, place, store = source.store, busy = source.busy] {
    StoreReply reply;
    try {
      RetrievalOptions mine = asked->options;
      if (asked->vectors[place].empty()) mine.mode = SearchMode::kKeyword;
      reply = ask_store(*store, asked->question, asked->vectors[place], mine, std::nullopt,
                        asked->rows);
    } catch (const std::exception&) {
      reply.failure = failure_in_flight(store->name());
    }
    busy->store(false);
    const std::lock_guard lock(asked->mutex);
    asked->replies[place] = std::move(reply);
    --asked->missing;
    asked->answered.notify_all();
  });
  return true;
}

/// The best top_k; with a threshold, and if all of them come from stores below it, also what the
/// stores at or above it found.
std::vector<UniversalRetriever::Found> UniversalRetriever::best_of(std::vector<Found> all,
                                                                   const Learned& learned,
                                                                   std::size_t top_k,
                                                                   RetrieverResult& result) const {
  std::ranges::stable_sort(all, stands_before, &Found::bundle);
  result.candidates = all.size();
  const auto below = [&](const Found& one) {
    return learned.reliability_of(one.bundle.origin_db) < options_.reliability_threshold;
  };
  const auto kept = static_cast<std::ptrdiff_t>(std::min(top_k, all.size()));
  std::vector<Found> best(std::make_move_iterator(all.begin()),
                          std::make_move_iterator(all.begin() + kept));
  if (options_.reliability_threshold <= 0 || !std::ranges::all_of(best, below)) return best;
  for (auto one = all.begin() + kept; one != all.end(); ++one) {
    if (below(*one)) continue;
    auto& fallbacks = result.fallback_sources;
    if (std::ranges::find(fallbacks, one->bundle.origin_db) == fallbacks.end())
      fallbacks.push_back(one->bundle.origin_db);
    best.push_back(std::move(*one));
  }
  return best;
}

RetrieverResult UniversalRetriever::finish(Gathered gathered, const Learned& learned,
                                           const RetrieveOptions& options,
                                           std::vector<StoreFailure> failures,
                                           const Stopwatch& stopwatch) {
  RetrieverResult result;
  const bool by_distance = options_.scoring != Scoring::kNearlite;
  if (!by_distance) score_replies(gathered.replies);
  std::vector<Found> all;
  std::size_t num_forbidden = 0;
  for (std::size_t i = 0; i < gathered.replies.size(); ++i) {
    StoreReply& reply = gathered.replies[i];
    double& took_ms = result.store_ms[gathered.origins[i]];
    took_ms = std::max(took_ms, reply.answer.took_ms);
    num_forbidden += reply.num_forbidden;
    for (std::size_t place = 0; place < reply.hits.size(); ++place) {
      RetrievalHit& hit = reply.hits[place];
      const auto id = row_id(hit);
      score_match(hit, by_distance);
      all.push_back({bundle_of(std::move(hit), std::move(reply.details[place]), gathered.origins[i],
                               *options_.clock),
                     id});
    }
  }
  if (num_forbidden > 0)
    result.left_out.push_back(std::to_string(num_forbidden) + " that governance forbids to show");
  std::vector<std::set<std::int64_t>> bots;
  std::vector<ResultBundle> best;
  for (Found& one : best_of(std::move(all), learned, options.top_k, result)) {
    ResultBundle& bundle = best.emplace_back(std::move(one.bundle));
    auto& mine = bots.emplace_back();
    if (!one.id) continue;
    if (!options_.knowledge_graph)
      mine = state_->links.bots_of(bundle.origin_db, bundle.store, *one.id);
    const auto signal = state_->links.signal_of(bundle.origin_db, bundle.store, *one.id);
    if (!signal) continue;
    bundle.signals.insert(*signal);
    bundle.context_score = context_of(signal->first, signal->second);
  }
  score_results(best, {options_, options, learned.reliability, learned.ranker.get()});
  const auto groups = options_.knowledge_graph ? groups_by_graph(best, options_.knowledge_graph)
                                               : groups_by_bots(bots);
  boost_links(best, groups, options.link_multiplier, !options_.knowledge_graph);
  for (ResultBundle& bundle : best) bound(bundle);
  std::ranges::stable_sort(best, stands_before);
  if (best.size() > options.top_k) best.resize(options.top_k);
  result.results = std::move(best);
  for (const ResultBundle& bundle : result.results)
    result.vectors.push_back({bundle.origin_db, bundle.record_id, bundle.score});
  result.session_id = options_.new_session();
  result.failures = std::move(failures);
  note_outcomes(learned, result);
  result.took_ms = stopwatch.elapsed_ms();
  if (options_.sink) options_.sink(result);
  return result;
}

/// Fills result.metrics.
void UniversalRetriever::note_outcomes(const Learned& learned, RetrieverResult& result) {
  constexpr std::size_t kMostRemembered = 100'000;
  if (state_->prior_hits.size() > kMostRemembered) state_->prior_hits.clear();
  const double hit_rate = result.candidates == 0 ? 0
                                                 : static_cast<double>(result.results.size()) /
                                                       static_cast<double>(result.candidates);
  for (const ResultBundle& bundle : result.results) {
    const auto known = learned.reliability.find(bundle.origin_db);
    const Reliability reliability =
        known == learned.reliability.end() ? Reliability{} : known->second;
    const auto signal = [&](const char* name) {
      const auto found = bundle.signals.find(name);
      return found == bundle.signals.end() ? 0 : found->second;
    };
    RetrievalOutcome outcome;
    outcome.origin_db = bundle.origin_db;
    outcome.db_type = bundle.kind;
    outcome.record_id = outcome.vector_id = bundle.record_id;
    outcome.rank = result.metrics.size() + 1;
    outcome.score = bundle.score;
    outcome.win_rate = reliability.win_rate;
    outcome.regret_rate = reliability.regret_rate;
    outcome.reliability_score = reliability.score();
    outcome.sample_count = reliability.sample_count;
    outcome.hit_rate = hit_rate;
    outcome.session_id = result.session_id;
    outcome.age = bundle.age;
    outcome.similarity = std::isfinite(bundle.similarity) ? bundle.similarity : 0;
    outcome.context_score = bundle.context_score;
    outcome.frequency = signal("frequency");
    outcome.roi_delta = signal("roi");
    outcome.usage = signal("usage");
    outcome.prior_hits = state_->prior_hits[{bundle.store, bundle.record_id}]++;
    outcome.tokens = tokens_of(bundle.metadata);
    result.metrics.push_back(std::move(outcome));
  }
}

}  // namespace nearlite
