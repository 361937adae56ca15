#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/server/access.h"
#include "nearlite/server/http_message.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"
#include "nearlite/service/open_stores.h"

namespace nearlite::server {

/// What the routes work with. All references must outlive the Api.
struct ApiParts {
  vector_service::OpenStores& stores;
  /// The default model, for /v1/embeddings and /embed; may be one that cannot be had.
  std::shared_ptr<const TextEncoder> encoder;
  std::string model_name;  // its full name
  const Clock& clock;
  LogSink& log;
  PrometheusMetrics& metrics;
  vector_service::StatisticsSink& statistics;
  std::string version;
};

/// What can be changed while the service runs (SIGHUP).
struct AccessRules {
  std::optional<TokenList> tokens{};  // nothing: everybody who reaches the socket may do everything
  HostRule hosts{};
  /// Of each token, or each address without tokens; twice as many may come at once. 0: no limit.
  double requests_per_second = 0;
};

struct Route;

/// The routes of interface.md, section 4. handle() may be called by several threads.
class Api {
 public:
  Api(ApiParts parts, AccessRules rules);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  /// Does not throw: what goes wrong is an answer.
  HttpResponse handle(const HttpRequest& request);
  /// The body of an error that the server found before there was a request for a route.
  static std::string error_body(int status, const std::string& message, const std::string& id);
  /// Whether the answer costs next to nothing.
  bool is_quick(const HttpRequest& request) const;
  /// Whether it waits for other requests, to be computed with them.
  bool waits(const HttpRequest& request) const;

  /// Opens every store and reads the model, so that the first question does not wait. Tells
  /// `readyz`. Does not throw.
  void warm_up();
  void set_rules(AccessRules rules);
  /// Stops running jobs after their batch, and waits for them.
  void stop_jobs();
  /// The OpenAPI 3.1 document.
  std::string openapi() const;

 private:
  struct State;
  HttpResponse dispatch(const HttpRequest& request, LogSink& log, const Route*& route);
  std::unique_ptr<State> state_;
};

}  // namespace nearlite::server
