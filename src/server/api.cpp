#include "nearlite/server/api.h"

#include <algorithm>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/config.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/backfill_events.h"
#include "rate_limit.h"
#include "request_id.h"
#include "route.h"
#include "trace_context.h"

namespace nearlite::server {
namespace {

HttpResponse error_response(const ApiError& error, ErrorForm form, const std::string& id) {
  const auto own_type = [&]() -> std::string {
    switch (error.status()) {
      case 401:
        return "Unauthorized";
      case 403:
        return "Forbidden";
      case 404:
        return "NotFound";
      case 429:
      case 503:
        return "Unavailable";
      default:
        return error.status() >= 500 ? "InternalError" : "InvalidArgument";
    }
  };
  const auto open_ai_type = [&]() -> std::string {
    if (error.status() == 401) return "authentication_error";
    if (error.status() == 403) return "permission_error";
    if (error.status() == 429) return "rate_limit_error";
    return error.status() >= 500 ? "server_error" : "invalid_request_error";
  };
  Json body;
  if (form == ErrorForm::kTei) {
    const int status = error.status();
    body = {{"error", error.what()},
            {"error_type", status == 429 || status == 503 ? "Overloaded"
                           : status == 424                ? "Backend"
                           : status == 422                ? "Tokenizer"
                           : status >= 500                ? "Unhealthy"
                                                          : "Validation"}};
    if (status == 400 && error.code() == "empty") body["error_type"] = "Empty";
  } else {
    const bool own = form == ErrorForm::kOwn;
    body["error"] = {{"message", error.what()},
                     {"type", own ? own_type() : open_ai_type()},
                     {"param", error.param().empty() ? Json(nullptr) : Json(error.param())},
                     {"code", error.code()},
                     {"request_id", id}};
  }
  HttpResponse response = json_response(body, error.status());
  if (error.status() == 503 || error.status() == 429)
    response.headers.emplace_back("Retry-After", "1");
  if (error.status() == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

bool is_json(const HttpRequest& request) {
  const std::string* type = request.header("content-type");
  if (type == nullptr) return false;
  const std::string media = to_lower_ascii(type->substr(0, type->find(';')));
  return media.substr(0, media.find_last_not_of(' ') + 1) == "application/json";
}

void log_request(LogSink& log, const HttpRequest& request, const Route* route, int status,
                 const std::string& code, const std::string& detail) {
  LogRecord record;
  record.event = "http.request";
  // That something is not ready yet is an answer of /readyz, not a failure.
  const bool failed = status >= 500 && (route == nullptr || !route->quick);
  record.level = failed ? LogLevel::kError : LogLevel::kInfo;
  record.message = "http request";
  record.fields = {{"http.request.method", request.method},
                   // never the address itself: it may hold a key
                   {"http.route", std::string(route == nullptr ? "none" : route->pattern)},
                   {"http.response.status_code", std::int64_t{status}}};
  if (!code.empty()) record.fields.emplace_back("error.type", code);
  if (!detail.empty()) record.fields.emplace_back("exception.message", detail);
  log.write(record);
}

}  // namespace

ApiContext::ApiContext(ApiParts given)
    : parts(std::move(given)),
      jobs(parts.clock, [this](std::span<const vector_service::StoreSource> stores,
                               const vector_service::BackfillRequest& request,
                               const vector_service::BackfillObserver& observer) {
        vector_service::EmbeddingBackfill backfill(parts.clock, parts.statistics, parts.log,
                                                   parts.metrics);
        return backfill.run(stores, request, observer);
      }) {}

struct Api::State {
  explicit State(ApiParts parts)
      : context(std::move(parts)),
        refreshes(
            context.events, [this] { return context.parts.stores.sources(); },
            [this](auto stores, const auto& request) {
              return vector_service::EmbeddingBackfill(context.parts.clock,
                                                       context.parts.statistics, context.parts.log,
                                                       context.parts.metrics)
                  .run(stores, request);
            },
            context.parts.metrics) {}
  ApiContext context;
  vector_service::BackfillEvents refreshes;  // of stores that outcomes name
  std::mutex rules_mutex;
  std::shared_ptr<const AccessRules> rules;
  std::shared_ptr<RateLimit> rate;  // of these rules; nullptr: none
  Grant local = Grant::full();
  Grant nobody{"nobody", {}, false, {}};
};

Api::Api(ApiParts parts, AccessRules rules) : state_(std::make_unique<State>(std::move(parts))) {
  set_rules(std::move(rules));
  state_->context.openapi = openapi_document(state_->context.parts.version);
}

Api::~Api() = default;

void Api::set_rules(AccessRules rules) {
  auto shared = std::make_shared<const AccessRules>(std::move(rules));
  const double rate = shared->requests_per_second;
  auto limit = rate > 0 ? std::make_shared<RateLimit>(rate, 2 * rate) : nullptr;
  const std::scoped_lock lock(state_->rules_mutex);
  state_->rules = std::move(shared);
  state_->rate = std::move(limit);
}

void Api::stop_jobs() { state_->context.jobs.stop(); }

std::string Api::openapi() const { return state_->context.openapi; }

std::string Api::error_body(int status, const std::string& message, const std::string& id) {
  static const std::map<int, std::string> kCodes = {
      {400, "bad_request"},      {408, "request_timeout"},   {413, "too_large"},
      {414, "address_too_long"}, {431, "headers_too_large"}, {503, "overloaded"},
      {505, "http_version"},     {500, "internal_error"}};
  const auto code = kCodes.find(status);
  return error_response(
             ApiError(status, code == kCodes.end() ? "bad_request" : code->second, message),
             ErrorForm::kOwn, id)
      .body;
}

bool Api::is_quick(const HttpRequest& request) const {
  for (const Route& route : all_routes()) {
    if (match_path(route.pattern, request.path)) return route.quick;
  }
  return true;  // 404
}

bool Api::waits(const HttpRequest& request) const {
  return request.path == "/v1/embeddings" || request.path == "/embed";
}

HttpResponse Api::handle(const HttpRequest& request) {
  const Route* route = nullptr;
  HttpResponse response;
  std::string detail;
  std::string code;
  const TraceContext trace = trace_context_of(request.header("traceparent"));
  TaggedLog::Fields tags = {
      {"request_id", request.id}, {"trace_id", trace.trace_id}, {"span_id", trace.span_id}};
  if (const std::string* session = request.header("x-session-id"); session != nullptr)
    tags.emplace_back("session_id", session->substr(0, 128));
  TaggedLog log(state_->context.parts.log, std::move(tags));
  const auto form = [&] { return route == nullptr ? ErrorForm::kOwn : route->form; };
  try {
    response = dispatch(request, log, route);
  } catch (const ApiError& error) {
    code = error.code();
    response = error_response(error, form(), request.id);
    if (error.code() == "method_not_allowed") response.headers.emplace_back("Allow", error.param());
  } catch (const std::exception& error) {
    const ApiError shown = public_error(error);
    code = shown.code();
    // What a caller sent wrongly may be anything, a secret too: only our own failures are told.
    if (shown.status() >= 500) detail = error.what();
    response = error_response(shown, form(), request.id);
  }
  response.headers.emplace_back("X-Request-Id", request.id);
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  log_request(log, request, route, response.status, code, detail);
  return response;
}

HttpResponse Api::dispatch(const HttpRequest& request, LogSink& log, const Route*& route) {
  std::shared_ptr<const AccessRules> rules;
  std::shared_ptr<RateLimit> rate;
  {
    const std::scoped_lock lock(state_->rules_mutex);
    rules = state_->rules;
    rate = state_->rate;
  }
  const std::string* host = request.header("host");
  if (host == nullptr || !rules->hosts.allows_host(*host))
    throw ApiError(403, "foreign_host", "this service is not called by that name (header Host)");
  if (const std::string* origin = request.header("origin");
      origin != nullptr && !rules->hosts.allows_origin(*origin, *host))
    throw ApiError(403, "foreign_origin", "pages of another origin may not call this service");

  std::string allowed;
  std::map<std::string, std::string> path;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  for (const Route& known : all_routes()) {
    auto values = match_path(known.pattern, request.path);
    if (!values) continue;
    route = &known;  // its error form, also when the method is wrong
    if (known.method == method) {
      path = std::move(*values);
      allowed.clear();
      break;
    }
    allowed += (allowed.empty() ? "" : ", ") + std::string(known.method);
  }
  if (route == nullptr) throw ApiError(404, "unknown_path", "there is nothing at this address");
  if (!allowed.empty())
    throw ApiError(405, "method_not_allowed", "this address takes " + allowed, allowed);

  const Grant* grant = rules->tokens ? &state_->nobody : &state_->local;
  if (rules->tokens && route->right != Right::kNone) {
    const std::string* header = request.header("authorization");
    const bool bearer = header != nullptr && to_lower_ascii(header->substr(0, 7)) == "bearer ";
    grant = rules->tokens->find(bearer ? std::string_view(*header).substr(7) : std::string_view());
    if (grant == nullptr)
      throw ApiError(401, "invalid_token", "a valid token is wanted (Authorization: Bearer ...)");
    if (!grant->allows(route->right))
      throw ApiError(403, "no_right",
                     "the token does not have the right " + std::string(right_name(route->right)));
  }
  if (rate && route->right != Right::kNone &&
      rate->take(rules->tokens ? "token " + grant->name : request.peer,
                 std::chrono::steady_clock::now()) > 0)
    throw ApiError(429, "rate_limit", "more requests per second than this service allows a caller");
  if (!route->body.empty() && !is_json(request))
    throw ApiError(415, "not_json", "the body must be sent as Content-Type: application/json");
  Call call{state_->context, request, *grant, std::move(path), log};
  return route->handle(call);
}

void Api::warm_up() {
  ApiContext& context = state_->context;
  ApiContext::Readiness readiness;
  readiness.model_problem.clear();
  for (const std::string& name : context.parts.stores.names()) {
    try {
      const auto store = context.parts.stores.get(name);
      store->load_index();
      ++readiness.open_stores;
    } catch (const std::exception& error) {
      readiness.failed_stores[name] = public_error(error).what();
      context.parts.log.write({LogLevel::kError,
                               "store cannot be opened",
                               {{"store", name}, {"exception.message", error.what()}}});
    }
  }
  try {
    const std::vector<std::string_view> text = {"ready"};
    context.parts.encoder->encode(text, TextRole::kQuery);
    readiness.model = true;
  } catch (const std::exception& error) {
    readiness.model_problem = public_error(error).what();
    context.parts.log.write(
        {LogLevel::kError, "the model cannot be read", {{"exception.message", error.what()}}});
  }
  readiness.done = true;
  const std::scoped_lock lock(context.mutex);
  context.readiness = std::move(readiness);
}

// ---------------------------------------------------------------------------------------- shared

HttpResponse json_response(const Json& json, int status) {
  HttpResponse response;
  response.status = status;
  response.body = json_text(json) + "\n";
  return response;
}

std::optional<std::map<std::string, std::string>> match_path(std::string_view pattern,
                                                             std::string_view path) {
  std::map<std::string, std::string> values;
  while (!pattern.empty()) {
    const std::size_t pattern_end = std::min(pattern.find('/', 1), pattern.size());
    const std::size_t path_end = std::min(path.find('/', 1), path.size());
    const std::string_view wanted = pattern.substr(0, pattern_end);
    const std::string_view given = path.substr(0, path_end);
    if (wanted.starts_with("/{")) {
      if (given.size() < 2) return std::nullopt;
      const bool rest = wanted.ends_with("*}");  // {id*}: with slashes, to the end
      const std::string_view name = wanted.substr(2, wanted.size() - (rest ? 4 : 3));
      auto value = percent_decoded(rest ? path.substr(1) : given.substr(1));
      values[std::string(name)] = value ? std::move(*value) : std::string(1, '\0');
      if (rest) return values;
    } else if (wanted != given) {
      return std::nullopt;
    }
    pattern.remove_prefix(pattern_end);
    path.remove_prefix(path_end);
  }
  return path.empty() ? std::optional(std::move(values)) : std::nullopt;
}

ApiError public_error(const std::exception& error) {
  const auto text = [&](const char* otherwise) {
    return tells_too_much(error.what()) ? std::string(otherwise) : std::string(error.what());
  };
  if (const auto* api = dynamic_cast<const ApiError*>(&error)) return *api;
  if (dynamic_cast<const InvalidArgument*>(&error) != nullptr)
    return {400, "invalid_value", text("a value of the request does not fit the store")};
  if (dynamic_cast<const NotFound*>(&error) != nullptr)
    return {404, "not_found", text("what was asked for is not there any more; see the log")};
  if (dynamic_cast<const Unavailable*>(&error) != nullptr)
    return {503, "unavailable", text("a file is busy or cannot be reached now; see the log")};
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return {503, "unavailable", "out of memory"};
  if (dynamic_cast<const CorruptData*>(&error) != nullptr)
    return {500, "corrupt_data", text("a file is damaged; see the log, and run nearlite check")};
  return {500, "internal_error", "something went wrong; the log has it under this request id"};
}

std::vector<std::string> Call::stores(const std::optional<std::vector<std::string>>& names) const {
  std::vector<std::string> chosen;
  if (!names) {
    for (const std::string& name : context.parts.stores.names()) {
      if (grant.allows_store(name)) chosen.push_back(name);
    }
    return chosen;
  }
  for (const std::string& name : *names) {
    // The same answer whether the store exists or not.
    if (!grant.allows_store(name))
      throw ApiError(403, "no_right", "the token does not reach this store", "stores");
    if (!context.parts.stores.has(name)) {
      const auto nearest = nearest_name(name, stores(std::nullopt));
      throw ApiError(404, "unknown_store",
                     "there is no store \"" + name.substr(0, 64) + "\"" +
                         (nearest ? "; did you mean \"" + *nearest + "\"?" : ""),
                     "stores");
    }
    if (std::ranges::find(chosen, name) == chosen.end()) chosen.push_back(name);
  }
  return chosen;
}

std::string Call::store() const {
  const std::string& name = path.at("name");
  try {
    check_store_name(name);
  } catch (const InvalidArgument&) {
    throw ApiError(400, "invalid_value",
                   "a store's name is 1 to 64 of A-Z a-z 0-9 _ . - and starts with none of . and -",
                   "name");
  }
  return stores(std::vector<std::string>{name}).front();
}

const std::vector<Route>& all_routes() {
  static const std::vector<Route> kRoutes = [] {
    std::vector<Route> routes;
    for (auto part : {search_routes(), context_routes(), store_routes(), job_routes(),
                      embedding_routes(), status_routes(), page_routes()})
      routes.insert(routes.end(), part.begin(), part.end());
    return routes;
  }();
  return kRoutes;
}

}  // namespace nearlite::server
