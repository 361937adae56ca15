#include "nearlite/retrieval/search_stores.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <new>
#include <thread>
#include <tuple>

#include "nearlite/base/clock.h"
#include "nearlite/base/cpu.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"
#include "nearlite/retrieval/snippet.h"

namespace nearlite {
namespace {

/// What one store said: an answer or a failure.
struct Reply {
  StoreAnswer answer;
  std::vector<RetrievalHit> hits;
  std::string incomplete_reason;
  std::optional<StoreFailure> failure;
};

std::string reason_of(double similarity) {
  char text[64];
  std::snprintf(text, sizeof text, "high vector similarity (similarity=%.2f)", similarity);
  return text;
}

using Fields = std::vector<std::pair<std::string, Value>>;

/// What a hit shows: the store's own columns from the row that was read, further ones by another
/// look at the row. Throws NotFound for a column that the store does not have.
Fields shown_values(const Store& store, const RecordHit& hit, std::span<const std::string> shown,
                    std::span<const std::string> wanted) {
  Fields values;
  const auto has = [&](const std::string& column) {
    return std::ranges::any_of(values, [&](const auto& value) { return value.first == column; });
  };
  for (const std::string& column : shown) {
    if (const Value* value = hit.record.find(column); value != nullptr && !has(column))
      values.emplace_back(column, *value);
  }
  std::vector<std::string> further;
  std::ranges::copy_if(wanted, std::back_inserter(further),
                       [&](const std::string& column) { return !has(column); });
  if (further.empty()) return values;
  const Record row = store.read_fields(hit.key, further);
  for (const auto& field : row.fields()) values.push_back(field);
  return values;
}

Reply ask(const Store& store, std::string_view question, std::span<const float> query,
          const RetrievalOptions& options) {
  const Stopwatch stopwatch;
  RecordSearchOptions search;
  search.k = options.k;
  search.recall = options.recall;
  search.filter = keys_passing(store, options.where, options.filters);
  RecordSearchResult found = store.search_records(query, search);
  Reply reply;
  reply.answer = {store.name(), found.records, found.path, found.recall, 0};
  if (!found.complete) reply.incomplete_reason = found.incomplete_reason;
  const std::vector<std::string> shown = store.shown_fields();
  for (RecordHit& hit : found.hits) {
    const double similarity = hit.similarity;
    RetrievalHit& shown_hit = reply.hits.emplace_back();
    shown_hit.store = store.name();
    shown_hit.origin = store.origin();
    shown_hit.key = hit.key;
    shown_hit.score = similarity;
    shown_hit.similarity = similarity;
    shown_hit.distance = hit.distance;
    shown_hit.stale = hit.stale;
    shown_hit.reason = reason_of(similarity);
    shown_hit.signals = {{"similarity", similarity}};
    shown_hit.snippet = make_snippet(hit.passage_text, question, options.snippet_bytes);
    shown_hit.fields = shown_values(store, hit, shown, options.fields);
  }
  reply.answer.took_ms = stopwatch.elapsed_ms();
  return reply;
}

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
  for (std::size_t i = 1; i < std::min(count, available_cpus()); ++i) helpers.emplace_back(take);
  take();
}

void merge(std::vector<Reply>& replies, RetrievalResult& result) {
  std::vector<std::string> reasons;
  for (Reply& reply : replies) {
    if (reply.failure) {
      reasons.push_back("store " + reply.failure->store + " failed");
      result.failures.push_back(std::move(*reply.failure));
      continue;
    }
    if (!reply.incomplete_reason.empty())
      reasons.push_back(reply.answer.store + ": " + reply.incomplete_reason);
    result.stores.push_back(std::move(reply.answer));
    std::ranges::move(reply.hits, std::back_inserter(result.hits));
  }
  // A store that came back short matters only if the whole list did too; one that failed always
  // does.
  if (!result.failures.empty() || result.hits.size() < result.k)
    result.incomplete_reason = join_names(reasons, "; ");
  result.complete = result.incomplete_reason.empty();
  // Stable: hits of one store that are equally good stay in the order of their keys.
  std::ranges::stable_sort(result.hits, [](const RetrievalHit& a, const RetrievalHit& b) {
    return std::tuple(-a.score, std::string_view(a.store)) <
           std::tuple(-b.score, std::string_view(b.store));
  });
  if (result.hits.size() > result.k) result.hits.resize(result.k);
  for (std::size_t i = 0; i < result.hits.size(); ++i) result.hits[i].rank = i + 1;
}

}  // namespace

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
  if (const auto at = find_invalid_utf8(question)) {
    throw InvalidArgument("the question is not valid UTF-8 (byte " + std::to_string(*at) + ")");
  }
  if (question.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos) {
    throw InvalidArgument("the question is blank");
  }
  if (options.k == 0) throw InvalidArgument("k is 0, at least 1 is needed");
  const std::vector<std::string> models = question_models(stores);
  const auto encoded = encode_once_per_model(stores, models, question);
  std::vector<Reply> replies(stores.size());
  side_by_side(stores.size(), [&](std::size_t i) {
    const Store& store = *stores[i];
    const auto& mine = *std::ranges::find(encoded, models[i], &EncodedQuestion::model);
    try {
      if (mine.failure) {
        replies[i].failure = mine.failure;
        replies[i].failure->store = store.name();
      } else {
        replies[i] = ask(store, question, mine.vector, options);
      }
    } catch (const std::exception&) {
      replies[i].failure = failure_in_flight(store.name());
    }
  });
  RetrievalResult result;
  result.question = question;
  result.k = options.k;
  merge(replies, result);
  if (!stores.empty())
    result.confidence_note = "no store is calibrated yet: hits are ranked by similarity";
  result.took_ms = stopwatch.elapsed_ms();
  return result;
}

}  // namespace nearlite
