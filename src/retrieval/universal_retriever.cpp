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

struct Phrase {
  const char* signal;
  const char* phrase;
};
constexpr std::array kPhrases = {Phrase{"similarity", "high vector similarity"},
                                 Phrase{"feedback", "like the best of its store"},
                                 Phrase{"keyword", "matching words"},
                                 Phrase{"roi", "high ROI uplift"},
                                 Phrase{"frequency", "frequent error recurrence"},
                                 Phrase{"usage", "heavy usage"},
                                 Phrase{"deploy", "widely deployed bot"}};

/// The phrase of the part that contributes most, with the value that people know it by.
std::string reason_of(const ResultBundle& result) {
  const auto best = std::ranges::max_element(result.parts, {}, &SignalPart::contribution);
  if (best == result.parts.end()) return "relevant match";
  const auto phrase =
      std::ranges::find_if(kPhrases, [&](const Phrase& one) { return best->signal == one.signal; });
  double value = best->value;
  if (const auto raw = result.signals.find(best->signal); raw != result.signals.end())
    value = raw->second;
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%s (%s=%.2f)",
                phrase == kPhrases.end() ? "relevant match" : phrase->phrase, best->signal.c_str(),
                value);
  return text.data();
}

/// The figure of a seed store that speaks for a row whatever the question is (reference: metric
/// signals); nothing for information and other stores.
std::optional<std::pair<std::string, double>> metric_of(const ResultBundle& result, std::int64_t id,
                                                        LinkTables& links) {
  const auto named = [](const char* name, std::optional<double> value) {
    return value ? std::optional(std::pair<std::string, double>(name, *value)) : std::nullopt;
  };
  if (result.origin_db == "error")
    return named("frequency", links.number("error", "errors", "frequency", id));
  if (result.origin_db == "enhancement")
    return named("roi", links.number("enhancement", "enhancements", "score", id));
  if (result.origin_db == "bot")
    return named("deploy", static_cast<double>(links.deployments_of(id)));
  if (result.origin_db == "workflow")
    return named("usage", static_cast<double>(links.bots_of("workflow", id).size()));
  return std::nullopt;
}

/// The mean of the match and of each signal as a share of the largest of its name.
void score_with_signals(std::vector<ResultBundle>& results) {
  std::map<std::string, double> largest;
  for (const ResultBundle& result : results) {
    for (const auto& [name, value] : result.signals) {
      if (name != "similarity" && name != "keyword") largest[name] = std::max(largest[name], value);
    }
  }
  for (ResultBundle& result : results) {
    std::vector<SignalPart> signals;
    for (const auto& [name, value] : result.signals) {
      const auto greatest = largest.find(name);
      if (greatest == largest.end()) continue;
      signals.push_back({name, greatest->second > 0 ? std::max(value, 0.0) / greatest->second : 0});
    }
    const double weight = 1 / static_cast<double>(signals.size() + 1);
    double score = 0;
    for (SignalPart& part : result.parts) {
      part.weight *= weight;
      part.contribution *= weight;
      score += part.contribution;
    }
    for (SignalPart& part : signals) {
      part.weight = weight;
      part.contribution = weight * part.value;
      score += part.contribution;
      result.parts.push_back(part);
    }
    result.score = score;
  }
}

StoreFailure too_slow(const Store& store, const std::string& what) {
  return {store.name(), "Unavailable", what, "ask again later", 4};
}

ResultBundle bundle_of(RetrievalHit hit, const std::string& origin) {
  ResultBundle bundle;
  bundle.origin_db = origin;
  bundle.store = hit.store;
  bundle.record_id = hit.key.display();
  bundle.metadata = std::move(hit.fields);
  bundle.confidence = hit.confidence;
  bundle.similarity = hit.similarity;
  bundle.snippet = std::move(hit.snippet);
  bundle.signals = std::move(hit.signals);
  bundle.parts = std::move(hit.parts);
  bundle.score = hit.score;
  return bundle;
}

/// The score of the match alone, 0 to 1, with its parts.
void score_match(RetrievalHit& hit, bool reference) {
  const double match =
      reference ? 1 / (1 + std::sqrt(std::max(0.0, 2 * (1 - hit.similarity)))) : hit.score;
  const double bounded = std::clamp(match, 0.0, 1.0);
  if (hit.score > 0) {
    scale_score(hit, bounded / hit.score);
  } else {
    hit.parts = {{"similarity", bounded, 1, bounded}};
  }
  hit.score = bounded;
}

/// At most 1, also after links.
void bound(ResultBundle& result) {
  if (result.score <= 1) return;
  for (SignalPart& part : result.parts) {
    part.weight /= result.score;
    part.contribution /= result.score;
  }
  result.score = 1;
}

void sort_results(std::vector<ResultBundle>& results) {
  std::ranges::stable_sort(results, [](const ResultBundle& a, const ResultBundle& b) {
    return std::tuple(-a.score, std::string_view(a.store)) <
           std::tuple(-b.score, std::string_view(b.store));
  });
}

}  // namespace

struct UniversalRetriever::Source {
  std::string origin;
  std::shared_ptr<Store> store;
  std::shared_ptr<std::atomic<bool>> busy = std::make_shared<std::atomic<bool>>(false);
  std::jthread running;  // of the last question; joined before the next one and at the end
};

/// One question on its way: shared with threads that may outlast it.
struct UniversalRetriever::Asked {
  Question question;
  RetrievalOptions options;
  std::vector<std::vector<float>> vectors;
  std::mutex mutex;
  std::condition_variable answered;
  std::vector<std::optional<StoreReply>> replies;
  std::size_t missing = 0;
};

struct UniversalRetriever::Gathered {
  std::vector<ResultBundle> results;
  std::map<std::string, std::filesystem::path> databases;           // by origin
  std::map<std::pair<std::string, std::string>, std::int64_t> ids;  // of (store, record_id)
};

UniversalRetriever::UniversalRetriever(std::vector<std::shared_ptr<Store>> stores,
                                       RetrieverOptions options)
    : options_(std::move(options)) {
  if (!options_.new_session) options_.new_session = &random_session;
  for (auto& store : stores) {
    auto source = std::make_unique<Source>();
    source->origin = origin_of(*store);
    source->store = std::move(store);
    sources_.push_back(std::move(source));
  }
}

UniversalRetriever::~UniversalRetriever() = default;

void UniversalRetriever::register_db(const std::string& name, std::shared_ptr<Store> store) {
  for (const auto& source : sources_) {
    if (source->origin == name) throw InvalidArgument("there is a store of the name " + name);
  }
  auto source = std::make_unique<Source>();
  source->origin = name;
  source->store = std::move(store);
  sources_.push_back(std::move(source));
}

std::vector<UniversalRetriever::Source*> UniversalRetriever::chosen(
    const RetrieveOptions& options) {
  if (options.top_k == 0) throw InvalidArgument("top_k is 0, at least 1 is needed");
  std::vector<Source*> chosen;
  for (const auto& source : sources_) {
    const auto names_it = [&](const std::string& name) {
      return name == source->origin || name == source->store->name() ||
             name == source->store->origin();
    };
    if (!options.dbs.empty() && std::ranges::none_of(options.dbs, names_it)) continue;
    chosen.push_back(source.get());
  }
  if (chosen.empty()) {
    throw InvalidArgument(options.dbs.empty() ? "there is no store to ask"
                                              : "there is no store " + join_names(options.dbs));
  }
  const auto reliability = [&](const Source* source) {
    const auto known = options_.reliability.find(source->origin);
    return known == options_.reliability.end() ? 0.0 : known->second.score();
  };
  const double least = options_.reliability_threshold;
  if (least > 0 && !options_.fallback_on_low_reliability)
    std::erase_if(chosen, [&](const Source* source) { return reliability(source) < least; });
  std::ranges::stable_sort(
      chosen, [&](const Source* a, const Source* b) { return reliability(a) > reliability(b); });
  return chosen;
}

RetrieverResult UniversalRetriever::retrieve(std::string_view question,
                                             const RetrieveOptions& options) {
  const Question parsed = parse_question(question);
  std::vector<std::vector<float>> vectors;
  std::vector<StoreFailure> failures;
  std::map<std::string, std::vector<float>> by_model;
  for (const Source* source : chosen(options)) {
    const std::string model = full_model_name(source->store->options().model_name);
    try {
      auto known = by_model.find(model);
      if (known == by_model.end())
        known = by_model.emplace(model, source->store->encode_text(parsed.text)).first;
      vectors.push_back(known->second);
    } catch (const std::exception&) {
      failures.push_back(failure_in_flight(source->store->name()));
      vectors.emplace_back();  // it can still be searched by words
    }
  }
  return answer(parsed, vectors, std::move(failures), options);
}

RetrieverResult UniversalRetriever::retrieve(std::span<const float> vector,
                                             const RetrieveOptions& options) {
  const std::vector<std::vector<float>> vectors(chosen(options).size(),
                                                std::vector<float>(vector.begin(), vector.end()));
  return answer({}, vectors, {}, options);
}

RetrieverResult UniversalRetriever::retrieve(const Record& record, const RetrieveOptions& options) {
  static constexpr std::array kIdFields = {"id", "wid", "bid", "record_id", "info_id", "item_id"};
  for (const Source* source : chosen(options)) {
    const Store& store = *source->store;
    if (const auto own = store.vector(record)) return retrieve(*own, options);
    if (const std::string text = store.text(record); !text.empty())
      return retrieve(std::span<const float>(store.encode_text(text)), options);
  }
  for (const char* field : kIdFields) {
    const Value* value = record.find(field);
    if (value == nullptr || std::holds_alternative<std::monostate>(*value)) continue;
    for (const Source* source : chosen(options)) {
      const auto stored = source->store->get_vector(RecordKey::of(std::span(value, 1)));
      if (stored) return retrieve(std::span<const float>(*stored), options);
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

/// Starts a thread for each store that may be asked. True where one was started.
std::vector<bool> UniversalRetriever::ask(const std::vector<Source*>& sources,
                                          const std::shared_ptr<Asked>& asked,
                                          std::vector<StoreFailure>& failures) {
  std::vector<bool> started(sources.size());
  const auto has_failed = [&](const Source* source) {
    return std::ranges::any_of(failures, [&](const StoreFailure& failure) {
      return failure.store == source->store->name();
    });
  };
  for (std::size_t i = 0; i < sources.size(); ++i) {
    Source* source = sources[i];
    if (has_failed(source) && asked->options.mode == SearchMode::kVector) continue;
    if (source->busy->load()) {
      failures.push_back(too_slow(*source->store, "is still busy with an earlier question"));
      continue;
    }
    started[i] = true;
    {
      const std::lock_guard lock(asked->mutex);
      ++asked->missing;
    }
    source->busy->store(true);
    source->running = std::jthread([asked, i, store = source->store, busy = source->busy] {
      StoreReply reply;
      try {
        RetrievalOptions mine = asked->options;
        if (asked->vectors[i].empty()) mine.mode = SearchMode::kKeyword;
        reply = ask_store(*store, asked->question, asked->vectors[i], mine);
      } catch (const std::exception&) {
        reply.failure = failure_in_flight(store->name());
      }
      busy->store(false);
      const std::lock_guard lock(asked->mutex);
      asked->replies[i] = std::move(reply);
      --asked->missing;
      asked->answered.notify_all();
    });
  }
  return started;
}

/// Waits for the answers until the deadline; what is missing then is a failure.
UniversalRetriever::Gathered UniversalRetriever::gather(const std::vector<Source*>& sources,
                                                        const std::vector<bool>& started,
                                                        Asked& asked,
                                                        std::vector<StoreFailure>& failures) {
  std::vector<std::optional<StoreReply>> replies;
  {
    std::unique_lock lock(asked.mutex);
    const auto all_there = [&] { return asked.missing == 0; };
    if (options_.deadline.count() > 0) {
      asked.answered.wait_for(lock, options_.deadline, all_there);
    } else {
      asked.answered.wait(lock, all_there);
    }
    replies = asked.replies;
  }
  Gathered gathered;
  std::vector<StoreReply> answered;
  std::vector<std::string> origins;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!started[i]) continue;
    const Source& source = *sources[i];
    if (!replies[i]) {
      failures.push_back(
          too_slow(*source.store,
                   "did not answer within " + std::to_string(options_.deadline.count()) + " ms"));
    } else if (replies[i]->failure) {
      failures.push_back(*replies[i]->failure);
    } else {
      gathered.databases.emplace(source.origin, source.store->database_path());
      answered.push_back(std::move(*replies[i]));
      origins.push_back(source.origin);
    }
  }
  const bool reference = options_.scoring == Scoring::kReference;
  if (!reference) score_replies(answered);
  for (std::size_t i = 0; i < answered.size(); ++i) {
    for (RetrievalHit& hit : answered[i].hits) {
      if (const auto id = row_id(hit)) gathered.ids[{hit.store, hit.key.display()}] = *id;
      score_match(hit, reference);
      gathered.results.push_back(bundle_of(std::move(hit), origins[i]));
    }
  }
  return gathered;
}

/// The best top_k; with a threshold, and if all of them come from stores below it, also what the
/// stores at or above it found.
std::vector<ResultBundle> UniversalRetriever::best_of(std::vector<ResultBundle> all,
                                                      std::size_t top_k,
                                                      RetrieverResult& result) const {
  sort_results(all);
  result.candidates = all.size();
  const auto below = [&](const ResultBundle& bundle) {
    const auto known = options_.reliability.find(bundle.origin_db);
    const double reliability = known == options_.reliability.end() ? 0 : known->second.score();
    return reliability < options_.reliability_threshold;
  };
  const std::size_t kept = std::min(top_k, all.size());
  std::vector<ResultBundle> best(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kept));
  if (options_.reliability_threshold <= 0 || !std::ranges::all_of(best, below)) return best;
  for (std::size_t i = kept; i < all.size(); ++i) {
    if (below(all[i])) continue;
    auto& fallbacks = result.fallback_sources;
    if (std::ranges::find(fallbacks, all[i].origin_db) == fallbacks.end())
      fallbacks.push_back(all[i].origin_db);
    best.push_back(std::move(all[i]));
  }
  return best;
}

RetrieverResult UniversalRetriever::answer(const Question& question,
                                           const std::vector<std::vector<float>>& vectors,
                                           std::vector<StoreFailure> failures,
                                           const RetrieveOptions& options) {
  const Stopwatch stopwatch;
  const std::vector<Source*> sources = chosen(options);
  const bool reference = options_.scoring == Scoring::kReference;
  auto asked = std::make_shared<Asked>();
  asked->question = question;
  asked->options.k = options.top_k;
  asked->options.mode =
      reference || question.words.empty() ? SearchMode::kVector : SearchMode::kHybrid;
  asked->vectors = vectors;
  asked->replies.resize(sources.size());
  const std::vector<bool> started = ask(sources, asked, failures);
  Gathered gathered = gather(sources, started, *asked, failures);
  RetrieverResult result;
  std::vector<ResultBundle> best = best_of(std::move(gathered.results), options.top_k, result);
  LinkTables links(gathered.databases);
  std::vector<std::set<std::int64_t>> bots(best.size());
  for (std::size_t i = 0; i < best.size(); ++i) {
    const auto id = gathered.ids.find({best[i].store, best[i].record_id});
    if (id == gathered.ids.end()) continue;
    bots[i] = links.bots_of(best[i].origin_db, id->second);
    if (const auto metric = metric_of(best[i], id->second, links)) best[i].signals.insert(*metric);
  }
  score_with_signals(best);
  for (ResultBundle& bundle : best) bundle.reason = reason_of(bundle);
  boost_links(best, bots, options.link_multiplier);
  for (ResultBundle& bundle : best) bound(bundle);
  sort_results(best);
  if (best.size() > options.top_k) best.resize(options.top_k);
  result.results = std::move(best);
  for (const ResultBundle& bundle : result.results)
    result.vectors.push_back({bundle.origin_db, bundle.record_id, bundle.score});
  result.session_id = options_.new_session();
  result.failures = std::move(failures);
  result.took_ms = stopwatch.elapsed_ms();
  if (options_.sink) options_.sink(result);
  return result;
}

}  // namespace nearlite
