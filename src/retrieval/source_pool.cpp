#include "source_pool.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite {
namespace {

/// One question on its way: shared with threads that may outlast it.
struct Asked {
  Question question;
  RetrievalOptions options;
  std::vector<std::vector<float>> vectors;
  std::mutex mutex;
  std::condition_variable answered;
  std::vector<std::optional<StoreReply>> replies;
  std::size_t missing = 0;
};

StoreFailure too_slow(const Store& store, const std::string& what) {
  return {store.name(), "Unavailable", what, "ask again later", 4};
}

/// False if the store is still busy.
bool start(Source& source, const std::shared_ptr<Asked>& asked, std::size_t place) {
  if (source.busy->load()) return false;
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
      reply = ask_store(*store, asked->question, asked->vectors[place], mine);
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

std::optional<std::vector<float>> stored_vector(const Store& store, const Record& record,
                                                const std::string& id_field) {
  const Value* value = record.find(id_field);
  if (value == nullptr || std::holds_alternative<std::monostate>(*value)) return std::nullopt;
  return store.get_vector(RecordKey::of(std::span(value, 1)));
}

}  // namespace

bool SourcePool::has(const std::string& origin) const {
  return std::ranges::any_of(sources_, [&](const auto& one) { return one->origin == origin; });
}

std::vector<Source*> SourcePool::named(const std::vector<std::string>& dbs, AskStore when) const {
  std::vector<Source*> found;
  bool any = false;
  for (const auto& source : sources_) {
    const auto names_it = [&](const std::string& name) {
      return name == source->origin || name == source->store->name() ||
             name == source->store->origin();
    };
    if (!dbs.empty() && std::ranges::none_of(dbs, names_it)) continue;
    any = true;
    if (source->when == when) found.push_back(source.get());
  }
  if (!any) {
    throw InvalidArgument(dbs.empty() ? "there is no store to ask"
                                      : "there is no store " + join_names(dbs));
  }
  return found;
}

void SourcePool::ask(std::span<Source* const> sources, const Question& question,
                     std::vector<std::vector<float>> vectors, const RetrievalOptions& options,
                     std::chrono::milliseconds deadline, Gathered& gathered) {
  auto asked = std::make_shared<Asked>();
  asked->question = question;
  asked->options = options;
  asked->vectors = std::move(vectors);
  asked->replies.resize(sources.size());
  std::vector<bool> started(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (asked->vectors[i].empty() && options.mode == SearchMode::kVector) continue;
    started[i] = start(*sources[i], asked, i);
    if (!started[i]) {
      gathered.failures.push_back(
          too_slow(*sources[i]->store, "is still busy with an earlier question"));
    }
  }
  std::unique_lock lock(asked->mutex);
  const auto all_there = [&] { return asked->missing == 0; };
  if (deadline.count() > 0) {
    asked->answered.wait_for(lock, deadline, all_there);
  } else {
    asked->answered.wait(lock, all_there);
  }
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!started[i]) continue;
    std::optional<StoreReply>& reply = asked->replies[i];
    if (!reply) {
      gathered.failures.push_back(too_slow(
          *sources[i]->store, "did not answer within " + std::to_string(deadline.count()) + " ms"));
    } else if (reply->failure) {
      gathered.failures.push_back(*reply->failure);
    } else {
      gathered.num_hits += reply->hits.size();
      gathered.replies.push_back(std::move(*reply));
      gathered.origins.push_back(sources[i]->origin);
    }
  }
}

std::vector<std::vector<float>> encoded_for(std::span<Source* const> sources, std::string_view text,
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

std::vector<float> vector_of(const Record& record, std::span<Source* const> sources) {
  for (const Source* source : sources) {
    const Store& store = *source->store;
    if (const auto own = store.vector(record)) return *own;
    if (const std::string text = store.text(record); !text.empty()) return store.encode_text(text);
  }
  for (const Source* source : sources) {
    for (const std::string& field : source->id_fields) {
      if (const auto stored = stored_vector(*source->store, record, field)) return *stored;
    }
  }
  for (const char* field : {"id", "wid", "bid", "record_id", "info_id", "item_id"}) {
    for (const Source* source : sources) {
      if (const auto stored = stored_vector(*source->store, record, field)) return *stored;
    }
  }
  throw InvalidArgument("no store can make or find a vector for this record",
                        "give a text, a vector, or a record with text or a known id");
}

}  // namespace nearlite
