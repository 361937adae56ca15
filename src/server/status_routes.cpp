// How the service is: for load balancers, Prometheus and those who write clients.
#include "route.h"

namespace nearlite::server {
namespace {

ApiContext::Readiness readiness_of(const Call& call) {
  const std::scoped_lock lock(call.context.mutex);
  return call.context.readiness;
}

bool is_ready(const ApiContext::Readiness& readiness) {
  // One broken store of several is no reason to take the others out of service.
  return readiness.done && readiness.model &&
         (readiness.open_stores > 0 || readiness.failed_stores.empty());
}

HttpResponse alive(Call& /*call*/) { return json_response({{"status", "ok"}}); }

HttpResponse ready(Call& call) {
  const auto readiness = readiness_of(call);
  const bool fine = is_ready(readiness);
  return json_response({{"status", fine ? "ready" : "not ready"},
                        {"model", readiness.model},
                        {"stores", readiness.open_stores},
                        {"failed_stores", readiness.failed_stores.size()}},
                       fine ? 200 : 503);
}

HttpResponse health(Call& call) {
  const auto readiness = readiness_of(call);
  const bool fine = is_ready(readiness);
  Json json = {
      {"status", !fine                             ? "bootstrap_pending"
                 : readiness.failed_stores.empty() ? "ok"
                                                   : "degraded"},
      {"version", call.context.parts.version},
      {"model", call.context.parts.model_name.substr(call.context.parts.model_name.rfind('/') + 1)},
      {"stores", readiness.open_stores}};
  if (!readiness.model_problem.empty()) json["model_problem"] = readiness.model_problem;
  Json failed = Json::object();
  for (const auto& [store, problem] : readiness.failed_stores) {
    if (call.grant.allows_store(store)) failed[store] = problem;
  }
  json["failed_stores"] = failed;
  return json_response(json, fine ? 200 : 503);
}

HttpResponse metrics(Call& call) {
  using enum PrometheusMetrics::Exposition;
  const std::string* accept = call.request.header("accept");
  const bool open_metrics =
      accept != nullptr && accept->find("application/openmetrics-text") != std::string::npos;
  HttpResponse response;
  response.content_type = open_metrics
                              ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                              : "text/plain; version=0.0.4; charset=utf-8";
  response.body = call.context.parts.metrics.exposition(open_metrics ? kOpenMetrics : kPrometheus);
  return response;
}

HttpResponse openapi(Call& call) {
  HttpResponse response;
  response.body = call.context.openapi;
  return response;
}

}  // namespace

std::vector<Route> status_routes() {
  return {
      {"GET",
       "/healthz",
       Right::kNone,
       ErrorForm::kOwn,
       &alive,
       "Whether the service runs",
       {},
       200,
       "application/json",
       true,
       "Alive"},
      {"GET",
       "/readyz",
       Right::kNone,
       ErrorForm::kOwn,
       &ready,
       "Whether the model is loaded and the stores are open",
       {},
       200,
       "application/json",
       true,
       "Ready"},
      {"GET",
       "/health",
       Right::kRead,
       ErrorForm::kTei,
       &health,
       "What is ready and what is not",
       {},
       200,
       "application/json",
       true,
       "Health"},
      {"GET",
       "/metrics",
       Right::kMetrics,
       ErrorForm::kOwn,
       &metrics,
       "Figures for Prometheus",
       {},
       200,
       "text/plain"},
      {"GET",
       "/openapi.json",
       Right::kRead,
       ErrorForm::kOwn,
       &openapi,
       "This document",
       {},
       200,
       "application/json",
       true},
  };
}

}  // namespace nearlite::server
