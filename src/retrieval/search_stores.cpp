#include "nearlite/retrieval/search_stores.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <system_error>
#include <thread>

#include "nearlite/base/clock.h"
#include "nearlite/base/cpu.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/retrieval/question.h"
#include "store_reply.h"

namespace nearlite {
namespace {

// Of a store asked for distinct rows: how many of its rows to look at for each one wanted.
constexpr std::size_t kRowsPerDistinct = 4;

/// The question as each store's model reads it; one vector per model, or why it could not be had.
struct EncodedQuestion {
  std::string model;
  std::vector<float> vector;
  std::optional<StoreFailure> failure;
};

/// The model that made each store's vectors; where it cannot be had, encode_text() says why.
std::vector<std::string> question_models(std::span<Store* const> stores) {
  std::vector<std::string> models;
  for (const Store* store : stores) {
    try {
      models.push_back(store->question_model());
    } catch (const std::exception&) {
      models.push_back("none for " + store->name() + " " + store->database_path().string());
    }
  }
  return models;
}

std::vector<EncodedQuestion> encode_once_per_model(std::span<Store* const> stores,
                                                   const std::vector<std::string>& models,
                                                   std::string_view question) {
  std::vector<EncodedQuestion> encoded;
  for (std::size_t i = 0; i < stores.size(); ++i) {
    Store* store = stores[i];
    const std::string& model = models[i];
    if (std::ranges::any_of(encoded, [&](const auto& known) { return known.model == model; }))
      continue;
    EncodedQuestion& next = encoded.emplace_back();
    next.model = model;
    try {
      next.vector = store->encode_text(question);
    } catch (const std::exception&) {
      next.failure = failure_in_flight({});
    }
  }
  return encoded;
}

/// Runs work(0) ... work(count - 1) on up to `count` threads; `work` does not throw.
template <typename Work>
void side_by_side(std::size_t count, const Work& work) {
  std::atomic<std::size_t> next{0};
  const auto take = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> helpers;
  const std::size_t threads = count > 1 ? std::min(count, available_cpus()) : 1;
  try {
    while (helpers.size() + 1 < threads) helpers.emplace_back(take);
    take();
  } catch (const std::system_error&) {  // there is no further thread: those that there are do all
    take();
  }
}

/// More rows than wanted, of which some will be folded.
RetrievalOptions widened(RetrievalOptions options) {
  if (options.distinct) options.k *= kRowsPerDistinct;
  return options;
}

}  // namespace

SearchMode search_mode_of(std::string_view name) {
  for (const SearchMode mode : {SearchMode::kHybrid, SearchMode::kVector, SearchMode::kKeyword}) {
    if (search_mode_name(mode) == name) return mode;
  }
  throw InvalidArgument("there is no search mode \"" + std::string(name) + "\"",
                        "one of hybrid vector keyword");
}

std::string_view search_mode_name(SearchMode mode) {
  switch (mode) {
    case SearchMode::kVector:
      return "vector";
    case SearchMode::kKeyword:
      return "keyword";
    case SearchMode::kHybrid:
      break;
  }
  return "hybrid";
}

StoreFailure failure_in_flight(std::string store) {
  try {
    throw;
  } catch (const Error& error) {
    return {std::move(store), error.type(), error.what(), error.hint(), error.exit_code()};
  } catch (const std::bad_alloc&) {
    return {std::move(store), "Unavailable", "out of memory", "", 4};
  } catch (const std::exception& error) {
    return {std::move(store), "InternalError", error.what(), "", 6};
  }
}

RetrievalResult search_stores(std::span<Store* const> stores, std::string_view question,
                              const RetrievalOptions& options) {
  const Stopwatch stopwatch;
  const Question parsed = parse_question(question);
  if (options.k == 0) throw InvalidArgument("k is 0, at least 1 is needed");
  const std::vector<std::string> models = question_models(stores);
  std::vector<EncodedQuestion> encoded;
  if (options.mode != SearchMode::kKeyword)
    encoded = encode_once_per_model(stores, models, parsed.text);
  const RetrievalOptions asked = widened(options);
  std::vector<StoreReply> replies(stores.size());
  side_by_side(stores.size(), [&](std::size_t i) {
    const Store& store = *stores[i];
    const auto mine = std::ranges::find(encoded, models[i], &EncodedQuestion::model);
    try {
      if (mine == encoded.end()) {
        replies[i] = ask_store(store, parsed, {}, asked);
      } else if (mine->failure) {
        replies[i].failure = mine->failure;
        replies[i].failure->store = store.name();
      } else {
        replies[i] = ask_store(store, parsed, mine->vector, asked);
      }
    } catch (const std::exception&) {
      replies[i].failure = failure_in_flight(store.name());
    }
  });
  RetrievalResult result = merge_replies(std::move(replies), options);
  result.question = question;
  result.took_ms = stopwatch.elapsed_ms();
  return result;
}

RetrievalResult search_by_vector(std::span<Store* const> stores, std::span<const float> vector,
                                 const RetrievalOptions& options) {
  const Stopwatch stopwatch;
  if (options.k == 0) throw InvalidArgument("k is 0, at least 1 is needed");
  double squares = 0;
  for (const float value : vector) squares += double{value} * double{value};
  if (!std::isfinite(squares) || squares == 0)
    throw InvalidArgument("the vector is zero, or holds what is no finite number");
  RetrievalOptions by_vector = widened(options);
  by_vector.mode = SearchMode::kVector;
  std::vector<StoreReply> replies(stores.size());
  side_by_side(stores.size(), [&](std::size_t i) {
    try {
      replies[i] = ask_store(*stores[i], {}, vector, by_vector);
    } catch (const std::exception&) {
      replies[i].failure = failure_in_flight(stores[i]->name());
    }
  });
  by_vector.k = options.k;
  RetrievalResult result = merge_replies(std::move(replies), by_vector);
  result.took_ms = stopwatch.elapsed_ms();
  return result;
}

RetrievalResult similar_rows(Store& store, const RecordKey& key, const RetrievalOptions& options) {
  const Stopwatch stopwatch;
  if (options.k == 0) throw InvalidArgument("k is 0, at least 1 is needed");
  const auto vector = store.get_vector(key);
  if (!vector) throw NotFound("the store " + store.name() + " has no vector of " + key.display());
  RetrievalOptions by_vector = widened(options);
  by_vector.mode = SearchMode::kVector;
  std::vector<StoreReply> replies;
  replies.push_back(ask_store(store, {}, *vector, by_vector, key));
  by_vector.k = options.k;
  RetrievalResult result = merge_replies(std::move(replies), by_vector);
  result.question = key.display();
  result.took_ms = stopwatch.elapsed_ms();
  return result;
}

RecordKey stored_key(const Store& store, const std::string& typed) {
  std::string table;
  std::string rest = typed;
  const auto is_known = [&](const std::string& json, const std::string& key_table) {
    RecordKey key;
    key.json = json;
    key.table = key_table;
    return store.get_vector(key).has_value() ? std::optional<RecordKey>(key) : std::nullopt;
  };
  for (const bool with_table : {false, true}) {
    if (with_table) {
      const std::size_t colon = typed.find(':');
      if (colon == std::string::npos) break;
      table = typed.substr(0, colon);
      rest = typed.substr(colon + 1);
    }
    if (const auto key = is_known(rest, table)) return *key;  // a number or an array
    if (const auto key = is_known(RecordKey(std::string_view(rest)).json, table)) return *key;
  }
  throw NotFound("the store " + store.name() + " has no vector of a row with the key " + typed,
                 "a row that is new needs a backfill; nearlite status says what is missing");
}

}  // namespace nearlite
