// Questions: POST /v1/search.
#include <algorithm>
#include <cmath>

#include "nearlite/base/error.h"
#include "nearlite/service/retriever.h"
#include "route.h"
#include "search_request.h"

namespace nearlite::server {
namespace {

constexpr std::size_t kMostHits = 1000;
constexpr std::size_t kMostStores = 256;
constexpr std::size_t kMostFilters = 32;
constexpr std::size_t kMostKinds = 64;
constexpr std::size_t kLongestAge = 100'000'000'000;  // seconds
constexpr std::size_t kMostDimensions = 8192;

Value value_of(const Fields& fields, const Json& json) {
  if (json.is_null()) return std::monostate{};
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX)
    fields.refuse("filter", "holds a number that is too large");
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_boolean()) return std::int64_t{json.get<bool>()};
  if (json.is_string()) return json.get<std::string>();
  fields.refuse("filter", "compares with a number, a text, true, false or null");
}

FieldFilter filter_of(const Fields& outer, const Json& json) {
  Fields fields(json);
  FieldFilter filter;
  filter.field = fields.text("field", 256);
  filter.op = filter_op_of(fields.text("op", 16));
  const auto value = json.find("value");
  if (value == json.end()) outer.refuse("filter", "has a condition without a value");
  fields.ignore("value");
  fields.finish();
  if (filter.op == FilterOp::kIn) {
    if (!value->is_array() || value->size() > 1000)
      outer.refuse("filter", "with op in takes a list of at most 1000 values");
    for (const Json& one : *value) filter.values.push_back(value_of(outer, one));
  } else {
    filter.values.push_back(value_of(outer, *value));
  }
  return filter;
}

std::vector<float> floats_of(const Fields& fields, const Json& json) {
  std::vector<float> vector;
  if (!json.is_array() || json.empty() || json.size() > kMostDimensions)
    fields.refuse("vector", "is not a list of 1 to 8192 numbers");
  double squares = 0;
  for (const Json& value : json) {
    if (!value.is_number() || std::abs(value.get<double>()) > 1e15)
      fields.refuse("vector", "holds what is no number from -1e15 to 1e15");
    vector.push_back(value.get<float>());
    squares += double{vector.back()} * double{vector.back()};
  }
  if (squares == 0) fields.refuse("vector", "is zero");
  return vector;
}

RowSelection rows_of(Fields& fields) {
  RowSelection rows;
  if (auto kinds = fields.texts("kinds", kMostKinds)) rows.kinds = *std::move(kinds);
  if (const auto age = fields.count("max_age_seconds", 0, kLongestAge))
    rows.max_age = std::chrono::seconds(*age);
  if (const auto scope = fields.optional_text("scope", 16)) {
    if (*scope != "all" && *scope != "local" && *scope != "global")
      fields.refuse("scope", "is not one of all, local, global");
    rows.scope = scope_of(*scope);
  }
  rows.own = fields.optional_text("instance", 256).value_or("");
  return rows;
}

HttpResponse search(Call& call) {
  const Json body = call.body();
  Fields fields(body);
  const SearchRequest request = read_search_request(fields, SearchBy::kQuestionOrVector);
  fields.finish();
  return json_response(run_search(call, request));
}

}  // namespace

SearchRequest read_search_request(Fields& fields, SearchBy by) {
  SearchRequest request;
  const Json* vector = by == SearchBy::kQuestionOrVector ? fields.any("vector") : nullptr;
  if (vector != nullptr) {
    if (fields.any("query") != nullptr) fields.refuse("vector", "and \"query\" exclude each other");
    request.vector = floats_of(fields, *vector);
  } else {
    request.question = fields.text("query", 64 << 10);
    if (request.question.find_first_not_of(" \t\r\n\v\f") == std::string::npos)
      fields.refuse("query", "is blank");
  }
  const auto k = fields.count("k", 1, kMostHits);
  const auto limit = fields.count("limit", 1, kMostHits);
  if (k && limit && *k != *limit) fields.refuse("limit", "and \"k\" disagree");
  request.options.k = k.value_or(limit.value_or(10));
  request.stores = fields.texts("stores", kMostStores);
  if (const Json* filter = fields.any("filter")) {
    if (!filter->is_array() || filter->size() > kMostFilters)
      fields.refuse("filter", "is not a list of at most " + std::to_string(kMostFilters) +
                                  " conditions {\"field\", \"op\", \"value\"}");
    for (const Json& condition : *filter)
      request.options.filters.push_back(filter_of(fields, condition));
  }
  request.options.rows = rows_of(fields);
  if (const auto mode = fields.optional_text("mode", 16)) {
    if (*mode != "hybrid" && *mode != "vector" && *mode != "keyword")
      fields.refuse("mode", "is not one of hybrid, vector, keyword");
    request.options.mode = search_mode_of(*mode);
    if (!request.vector.empty() && request.options.mode == SearchMode::kKeyword)
      fields.refuse("mode", "is keyword, and there are no words beside a vector");
  }
  request.options.recall = fields.number("recall", 0.01, 1).value_or(request.options.recall);
  request.options.min_confidence = fields.number("min_confidence", 0, 1).value_or(0);
  request.options.distinct = fields.flag("distinct", false);
  request.explain = fields.flag("explain", false);
  return request;
}

RetrievalResult search_open_stores(const Call& call, const SearchRequest& request) {
  const ApiParts& parts = call.context.parts;
  std::vector<std::shared_ptr<Store>> stores;
  std::vector<StoreFailure> failures;
  for (const std::string& name : call.stores(request.stores)) {
    try {
      stores.push_back(parts.stores.get(name));
    } catch (const std::exception&) {
      failures.push_back(failure_in_flight(name));
    }
  }
  const std::string* session = call.request.header("x-session-id");
  vector_service::Retriever retriever(stores, parts.clock, call.log, parts.metrics);
  const std::string& session_id = session == nullptr ? call.request.id : *session;
  RetrievalResult result =
      request.vector.empty()
          ? retriever.search(request.question, request.options, session_id)
          : retriever.search_by_vector(request.vector, request.options, session_id);
  result.failures.insert(result.failures.end(), failures.begin(), failures.end());
  for (const StoreFailure& failure : result.failures) {
    // A file that was replaced is opened anew by the next request.
    if (failure.type == "Unavailable" || failure.type == "StoreError")
      parts.stores.forget(failure.store);
    // What the caller asked for does not fit the store: no failure of ours.
    const bool asked_wrongly = failure.type == "InvalidArgument" ||
                               (failure.type == "NotFound" && !request.options.filters.empty());
    call.log.write({asked_wrongly ? LogLevel::kWarning : LogLevel::kError,
                    asked_wrongly ? "request does not fit the store" : "store failed",
                    {{"store", failure.store},
                     {"error.type", failure.type},
                     // its message repeats what was sent
                     {"exception.message", asked_wrongly ? std::string() : failure.message}},
                    asked_wrongly ? "store.request_refused" : "store.failed"});
  }
  if (!failures.empty()) {
    result.complete = false;
    if (result.incomplete_reason.empty()) result.incomplete_reason = "a store could not be opened";
  }
  return result;
}

RetrievalResult search_or_refuse(const Call& call, const SearchRequest& request) {
  RetrievalResult result = search_open_stores(call, request);
  // Wrong for every store (a field that none has): the caller's mistake, or nobody can answer.
  if (result.stores.empty() && !result.failures.empty()) {
    const StoreFailure& first = result.failures.front();
    const bool show = !tells_too_much(first.message);
    if (first.type == "InvalidArgument" ||
        (first.type == "NotFound" && !request.options.filters.empty()))
      throw ApiError(400, "invalid_value",
                     show ? first.message : "a value of the request does not fit the store",
                     !request.vector.empty()           ? "vector"
                     : request.options.filters.empty() ? ""
                                                       : "filter");
    throw ApiError(first.type == "CorruptData" ? 500 : 503, "no_store_answered",
                   "no store could answer: " + first.store + ": " +
                       nearlite::json_of(first)["message"].get<std::string>());
  }
  return result;
}

Json run_search(const Call& call, const SearchRequest& request) {
  Json json = json_of(search_or_refuse(call, request), request.explain);
  if (!request.vector.empty()) json.erase("query");
  return json;
}

std::vector<Route> search_routes() {
  return {
      {"POST",
       "/v1/search",
       Right::kRead,
       ErrorForm::kOwn,
       &search,
       "Answer a question from the stores",
       {{"query", "string", false, "the question; this or \"vector\"",
         R"({"pattern": "[^ \\t\\r\\n\\v\\f]", "maxLength": 65536})"},
        {"vector", "number[]", false, "search by this vector instead: [dim] floats of the model",
         R"({"minItems": 1, "maxItems": 8192})"},
        {"k", "integer", false, "hits (default 10)", R"({"minimum": 1, "maximum": 1000})"},
        {"limit", "integer", false, "another name of k", R"({"minimum": 1, "maximum": 1000})"},
        {"stores", "string[]", false, "default: all", R"({"maxItems": 256})"},
        {"filter", "object[]", false, "conditions over exposed columns, all of which have to hold",
         R"({"maxItems": 32, "items": {"type": "object", "required": ["field", "op", "value"],
               "additionalProperties": false, "properties": {"field": {"type": "string"},
               "op": {"enum": ["=", "!=", "<", "<=", ">", ">=", "in", "like"]}, "value": {}}}})"},
        {"kinds", "string[]", false, "only records of these kinds", R"({"maxItems": 64})"},
        {"max_age_seconds", "integer", false,
         "only rows that were updated, or else embedded, so long ago at most",
         R"({"minimum": 0, "maximum": 100000000000})"},
        {"scope", "string", false, "whose rows, by source_menace_id; default: all",
         R"({"enum": ["all", "local", "global"]})"},
        {"instance", "string", false, "the source_menace_id that is local; default: none",
         R"({"maxLength": 256})"},
        {"mode", "string", false, "default: hybrid",
         R"({"enum": ["hybrid", "vector", "keyword"]})"},
        {"recall", "number", false, "asked share of the true neighbors; 1: exact",
         R"({"minimum": 0.01, "maximum": 1})"},
        {"min_confidence", "number", false, "leave out hits of calibrated stores below it",
         R"({"minimum": 0, "maximum": 1})"},
        {"distinct", "boolean", false, "fold rows that say nearly the same into the best one"},
        {"explain", "boolean", false, "how each hit was found, and what its score is made of"}},
       200,
       "application/json",
       false,
       "SearchResult"}};
}

}  // namespace nearlite::server
