// What there is: stores, their freshness, single records.
#include <charconv>

#include "nearlite/base/error.h"
#include "nearlite/store/metrics_db.h"
#include "record_lookup.h"
#include "route.h"
#include "similar_rows.h"

namespace nearlite::server {
namespace {

constexpr std::size_t kRunsShown = 10;

Json status_of(Call& call, const std::string& name) {
  ApiContext& context = call.context;
  {
    const std::scoped_lock lock(context.mutex);
    const auto known = context.known_status.find(name);
    if (known != context.known_status.end() &&
        std::chrono::steady_clock::now() < known->second.until)
      return known->second.json;
  }
  const Stopwatch stopwatch;
  Json json = {{"store", name}};
  try {
    const auto store = context.parts.stores.get(name);
    json["class"] = store->class_name();
    json["fields"] = store->shown_fields();
    const Freshness freshness = store->freshness();
    json.update(json_of(freshness));
    report_freshness(context.parts.metrics, name, freshness);
  } catch (const std::exception& error) {
    context.parts.stores.forget(name);
    StoreFailure failure = failure_in_flight(name);
    context.parts.log.write(
        {LogLevel::kError,
         "store failed",
         {{"store", name}, {"error.type", failure.type}, {"exception.message", failure.message}},
         "store.failed"});
    json["error"] = nearlite::json_of(failure);
  }
  const auto took = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double, std::milli>(stopwatch.elapsed_ms()));
  if (stopwatch.elapsed_ms() > 100) {
    const std::scoped_lock lock(context.mutex);
    context.known_status[name] = {json, std::chrono::steady_clock::now() + 10 * took};
  }
  return json;
}

Json runs_of(Call& call, const std::string& name) {
  Json runs = Json::array();
  try {
    auto all =
        MetricsDb::open_existing(call.context.parts.stores.source(name).metrics_file).runs(name);
    std::ranges::reverse(all);
    if (all.size() > kRunsShown) all.resize(kRunsShown);
    for (const BackfillRun& run : all) {
      runs.push_back({{"started_at", run.started_at},
                      {"session_id", run.session_id},
                      {"embedded", run.embedded},
                      {"skipped", run.skipped},
                      {"removed", run.removed},
                      {"unchanged", run.unchanged},
                      {"blocked", run.blocked},
                      {"tokens", run.tokens},
                      {"wall_ms", run.wall_ms},
                      {"store_ms", run.store_ms}});
    }
  } catch (const NotFound&) {
    return runs;  // never embedded
  }
  return runs;
}

HttpResponse list_stores(Call& call) {
  Json list = Json::array();
  for (const std::string& name : call.stores(std::nullopt)) list.push_back(status_of(call, name));
  return json_response({{"stores", list}});
}

HttpResponse show_store(Call& call) {
  const std::string name = call.store();
  Json json = status_of(call, name);
  json["runs"] = runs_of(call, name);
  return json_response(json);
}

HttpResponse show_record(Call& call) {
  const std::string name = call.store();
  const auto store = call.context.parts.stores.get(name);
  const auto found = find_record(*store, call.path.at("key"));
  if (!found)
    throw ApiError(404, "unknown_record", "the store has no such record, or it is gone", "key");
  return json_response({{"store", name},
                        {"key", json_of(found->key)},
                        {"fields", json_of_fields(found->fields.fields())}});
}

/// How many hits ?k= or ?limit= asks for.
std::size_t hits_wanted(std::string_view query) {
  std::optional<std::size_t> wanted;
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const std::string name(part.substr(0, std::min(part.find('='), std::size_t{64})));
    if (name != "k" && name != "limit")
      throw ApiError(400, "unknown_field", "the only parameters here are k and limit", name);
    const std::string_view digits = part.substr(std::min(name.size() + 1, part.size()));
    std::size_t k = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), k);
    if (error != std::errc() || end != digits.data() + digits.size() || k < 1 || k > 1000)
      throw ApiError(400, "invalid_value", "\"" + name + "\" is not a whole number from 1 to 1000",
                     name);
    if (wanted && *wanted != k)
      throw ApiError(400, "invalid_value", "\"" + name + "\" is there twice and says both", name);
    wanted = k;
  }
  return wanted.value_or(10);
}

HttpResponse show_similar(Call& call) {
  const std::size_t k = hits_wanted(call.request.query);
  return json_response(similar_rows(call, call.store(), call.path.at("key"), k));
}

}  // namespace

void report_freshness(MetricsSink& metrics, const std::string& store, const Freshness& freshness) {
  const auto set = [&](std::string_view state, std::size_t count) {
    metrics.set("embedding_records", {{"store", store}, {"state", state}},
                static_cast<double>(count));
  };
  set("fresh", freshness.fresh);
  set("stale", freshness.stale_text + freshness.stale_model);
  set("missing", freshness.missing);
  set("orphan", freshness.orphan);
  set("blocked", freshness.blocked);
  metrics.set("embedding_oldest_pending_age_seconds", {{"store", store}},
              freshness.oldest_lag_seconds.value_or(0));
  metrics.set("embedding_stale_cost_seconds", {{"origin_db", store}},
              freshness.oldest_lag_seconds.value_or(0));
  metrics.set("embedding_index_bytes", {{"store", store}, {"kind", "index"}},
              static_cast<double>(freshness.index_bytes));
  metrics.set("embedding_index_bytes", {{"store", store}, {"kind", "sidecar"}},
              static_cast<double>(freshness.sidecar_bytes));
}

std::vector<RecordKey> keys_named(const std::string& text) {
  std::vector<RecordKey> keys;
  const auto add_plain = [&](const std::string& plain, const std::string& table) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), number);
    if (error == std::errc() && end == plain.data() + plain.size()) {
      RecordKey key(number);
      if (key.json == plain) {  // not "007"
        key.table = table;
        keys.push_back(key);
      }
    }
    if (plain.starts_with('[')) {
      RecordKey key;
      const Json parsed = Json::parse(plain, nullptr, false);
      if (parsed.is_array() && !parsed.empty()) {
        key.json = json_text(parsed);
        key.table = table;
        keys.push_back(key);
      }
    }
    RecordKey key{std::string_view(plain)};
    key.table = table;
    keys.push_back(key);
  };
  add_plain(text, "");
  if (const std::size_t colon = text.find(':'); colon != std::string::npos && colon > 0)
    add_plain(text.substr(colon + 1), text.substr(0, colon));
  return keys;
}

std::optional<FoundRecord> find_record(const Store& store, const std::string& key_text) {
  if (key_text.empty() || key_text.find('\0') != std::string::npos || key_text.size() > 4096)
    throw ApiError(400, "invalid_value", "the key cannot be read", "key");
  for (const RecordKey& key : keys_named(key_text)) {
    RecordCursor cursor = store.iter_records();
    if (!cursor.find(key)) continue;
    return FoundRecord{key, store.read_fields(key, store.shown_fields())};
  }
  return std::nullopt;
}

std::vector<Route> store_routes() {
  return {
      {"GET",
       "/v1/stores",
       Right::kRead,
       ErrorForm::kOwn,
       &list_stores,
       "The stores and how fresh their vectors are",
       {},
       200,
       "application/json",
       false,
       "Stores"},
      {"GET",
       "/v1/stores/{name}",
       Right::kRead,
       ErrorForm::kOwn,
       &show_store,
       "One store, its freshness and last runs",
       {},
       200,
       "application/json",
       false,
       "Store"},
      {"GET",
       "/v1/stores/{name}/records/{key}",
       Right::kRead,
       ErrorForm::kOwn,
       &show_record,
       "The exposed columns of one record",
       {},
       200,
       "application/json",
       false,
       "Record"},
      {"GET",
       "/v1/stores/{name}/records/{key}/similar",
       Right::kRead,
       ErrorForm::kOwn,
       &show_similar,
       "Records like this one",
       {},
       200,
       "application/json",
       false,
       "SearchResult",
       {{"k", "integer", false, "hits (default 10)", R"({"minimum": 1, "maximum": 1000})"},
        {"limit", "integer", false, "another name of k", R"({"minimum": 1, "maximum": 1000})"}}},
  };
}

}  // namespace nearlite::server
