#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api_error.h"
#include "json_body.h"
#include "learning.h"
#include "nearlite/server/api.h"
#include "nearlite/service/backfill_jobs.h"
#include "nearlite/service/events.h"

namespace nearlite::server {

/// Whose form an error has.
enum class ErrorForm { kOwn, kOpenAi, kTei };

/// What the routes share.
struct ApiContext {
  explicit ApiContext(ApiParts given);
  ApiParts parts;
  Learning learning{parts};
  vector_service::EventBus events;
  vector_service::BackfillJobs jobs;

  /// How starting up went.
  struct Readiness {
    bool model = false;
    std::string model_problem = "the model is being read";
    std::map<std::string, std::string> failed_stores{};
    std::size_t open_stores = 0;
    bool done = false;
  };
  mutable std::mutex mutex;
  Readiness readiness;
  std::string openapi;  // made from the table of routes

  /// Freshness reads every row of a store. What took long is shown again for ten times as long.
  struct KnownStatus {
    Json json;
    std::chrono::steady_clock::time_point until;
  };
  std::map<std::string, KnownStatus> known_status;
};

/// One request on its way through a route.
struct Call {
  ApiContext& context;
  const HttpRequest& request;
  const Grant& grant;
  std::map<std::string, std::string> path;  // values of {name}
  LogSink& log;                             // says whose request it is in every line

  Json body() const { return parse_json(request.body); }
  /// The named stores that this caller may see; all of them for nothing. Throws ApiError 403, 404.
  std::vector<std::string> stores(const std::optional<std::vector<std::string>>& names) const;
  /// The store {name}. Throws ApiError 400 for what cannot be a name, 403, 404.
  std::string store() const;
};

/// A field of a body or answer, for the OpenAPI document.
struct FieldDoc {
  const char* name;
  const char* type;  // "string", "integer", "number", "boolean", "string[]", "object", "object[]"
  bool required = false;
  const char* about = "";
  const char* limits = "";  // further keywords of its schema, as a JSON object
};

struct Route {
  const char* method;
  const char* pattern;  // "/v1/stores/{name}"
  Right right;
  ErrorForm form;
  HttpResponse (*handle)(Call& call);
  const char* summary;
  std::vector<FieldDoc> body{};  // of a JSON body; empty: none
  int success = 200;
  const char* content_type = "application/json";
  bool quick = false;
  const char* answer = "";             // its schema: a name in openapi_schemas(); "": anything
  std::vector<FieldDoc> parameters{};  // behind the question mark of the address
};

/// Every route, first match wins. Made of the lists below.
const std::vector<Route>& all_routes();
std::vector<Route> search_routes();
std::vector<Route> context_routes();
std::vector<Route> store_routes();
std::vector<Route> job_routes();
std::vector<Route> embedding_routes();
std::vector<Route> status_routes();
std::vector<Route> page_routes();

/// The schemas of answers, by name, as a JSON object.
const char* openapi_schemas();

/// OpenAPI 3.1, made from the routes.
std::string openapi_document(const std::string& version);

HttpResponse json_response(const Json& json, int status = 200);
/// The values of {name} in `pattern`, percent signs resolved, or nothing if the path is another.
std::optional<std::map<std::string, std::string>> match_path(std::string_view pattern,
                                                             std::string_view path);

/// An exception of a lower layer as one that may be shown: paths and SQL stay inside.
ApiError public_error(const std::exception& error);

}  // namespace nearlite::server
