// Backfills that callers start, watch and stop.
#include <algorithm>

#include "nearlite/base/error.h"
#include "nearlite/index/vector_index.h"
#include "route.h"
#include "trace_context.h"

namespace nearlite::server {
namespace {

using vector_service::BackfillJobs;
using vector_service::JobEvent;
using vector_service::JobStatus;

constexpr std::size_t kMostStores = 256;

Json json_of(const BackfillProgress& progress) {
  return {{"done", progress.done},
          {"total", progress.total},
          {"embedded", progress.embedded},
          {"tokens", progress.tokens},
          {"elapsed_ms", progress.elapsed_ms}};
}

Json json_of(const JobStatus& job) {
  Json json = {
      {"id", job.id},
      {"status", job_state_name(job.state)},
      {"stores", job.stores},
      {"dry_run", job.dry_run},
      {"created_at", job.created_at},
      {"finished_at", job.finished_at.empty() ? Json(nullptr) : Json(job.finished_at)},
      {"running_store", job.running_store.empty() ? Json(nullptr) : Json(job.running_store)},
      {"progress", job.progress ? json_of(*job.progress) : Json(nullptr)}};
  Json& results = json["results"] = Json::array();
  for (const auto& result : job.results) results.push_back(nearlite::json_of(result));
  return json;
}

/// The job {id}, if this caller may see all of its stores.
JobStatus job_of(const Call& call) {
  const auto job = call.context.jobs.status(call.path.at("id"));
  const bool seen = job && std::ranges::all_of(job->stores, [&](const std::string& store) {
                      return call.grant.allows_store(store);
                    });
  if (!seen) throw ApiError(404, "unknown_job", "there is no such job", "id");
  return *job;
}

HttpResponse start(Call& call) {
  const Json body = call.body();
  Fields fields(body);
  vector_service::BackfillRequest request;
  auto names = fields.texts("stores", kMostStores);
  if (const auto db = fields.texts("db", kMostStores)) {
    if (names && *names != *db) fields.refuse("db", "is another name of \"stores\"");
    names = db;
  }
  request.session_id = fields.optional_text("session_id", 256).value_or(call.request.id);
  request.trigger = "manual";
  if (const std::string* trace = call.request.header("traceparent"))
    request.trace_id = trace_id_of(*trace).value_or("");
  request.options.batch_size =
      fields.count("batch_size", 1, 10'000).value_or(request.options.batch_size);
  if (const auto backend = fields.optional_text("backend", 16)) {
    try {
      request.backend = backend_of(*backend);
    } catch (const InvalidArgument&) {
      fields.refuse("backend", "is not one of auto, annoy, faiss, flat, graph");
    }
  }
  request.options.dry_run = fields.flag("dry_run", false);
  fields.finish();
  std::vector<vector_service::StoreSource> sources;
  for (const std::string& name : call.stores(names))
    sources.push_back(call.context.parts.stores.source(name));
  if (sources.empty()) throw ApiError(409, "no_stores", "there is no store to embed");
  const std::string* retry_key = call.request.header("idempotency-key");
  const std::string id =
      call.context.jobs.start(std::move(sources), std::move(request),
                              retry_key == nullptr ? "" : retry_key->substr(0, 256));
  HttpResponse response = json_response(json_of(*call.context.jobs.status(id)), 202);
  response.headers.emplace_back("Location", "/v1/jobs/" + id);
  return response;
}

HttpResponse list(Call& call) {
  Json jobs = Json::array();
  for (const JobStatus& job : call.context.jobs.list()) {
    if (std::ranges::all_of(job.stores, [&](const auto& s) { return call.grant.allows_store(s); }))
      jobs.push_back(json_of(job));
  }
  return json_response({{"jobs", jobs}});
}

HttpResponse show(Call& call) { return json_response(json_of(job_of(call))); }

HttpResponse cancel(Call& call) {
  const JobStatus job = job_of(call);
  if (!call.context.jobs.cancel(job.id))
    throw ApiError(409, "job_ended", "the job has ended already", "id");
  return json_response(json_of(*call.context.jobs.status(job.id)), 202);
}

/// The events of a job as text/event-stream.
class JobEventSource : public EventSource {
 public:
  JobEventSource(BackfillJobs& jobs, std::string id, std::size_t after)
      : jobs_(jobs), id_(std::move(id)), last_(after) {}
  ~JobEventSource() override { JobEventSource::wake_by({}); }
  JobEventSource(const JobEventSource&) = delete;
  JobEventSource& operator=(const JobEventSource&) = delete;

  Piece take() override {
    Piece piece;
    const auto events = jobs_.events_after(id_, last_);
    if (!events) return {"", true};
    for (const JobEvent& event : events->events) {
      last_ = event.number;
      piece.text += "id: " + std::to_string(event.number) + "\nevent: " + event.kind +
                    "\ndata: " + json_text(data_of(event)) + "\n\n";
    }
    piece.last = events->ended;
    return piece;
  }
  void wake_by(std::function<void()> wake) override {
    if (listener_ != 0) jobs_.remove_listener(id_, listener_);
    listener_ = wake ? jobs_.add_listener(id_, std::move(wake)) : 0;
  }

 private:
  Json data_of(const JobEvent& event) const {
    if (event.kind == "progress") {
      Json json = {{"store", event.store}};
      json.update(json_of(*event.progress));
      return json;
    }
    if (event.kind == "result") return nearlite::json_of(*event.result);
    if (event.kind == "end") {
      const auto job = jobs_.status(id_);
      return {{"id", id_}, {"status", job ? job_state_name(job->state) : "done"}};
    }
    return {{"store", event.store}};
  }

  BackfillJobs& jobs_;
  std::string id_;
  std::size_t last_;
  std::size_t listener_ = 0;
};

HttpResponse events(Call& call) {
  const JobStatus job = job_of(call);
  std::size_t after = 0;
  if (const std::string* last = call.request.header("last-event-id")) {
    try {
      after = std::stoul(*last);
    } catch (const std::exception&) {
      throw ApiError(400, "invalid_value", "Last-Event-ID is not a number");
    }
  }
  HttpResponse response;
  response.content_type = "text/event-stream";
  response.headers.emplace_back("Cache-Control", "no-store");
  response.events = std::make_shared<JobEventSource>(call.context.jobs, job.id, after);
  return response;
}

}  // namespace

std::vector<Route> job_routes() {
  return {
      {"POST",
       "/v1/backfill",
       Right::kWrite,
       ErrorForm::kOwn,
       &start,
       "Embed what is missing or changed; answers with a job",
       {{"stores", "string[]", false, "default: all", R"({"maxItems": 256})"},
        {"db", "string[]", false, "another name of stores", R"({"maxItems": 256})"},
        {"session_id", "string", false, "goes to logs and statistics", R"({"maxLength": 256})"},
        {"batch_size", "integer", false, "records per transaction (default 100)",
         R"({"minimum": 1, "maximum": 10000})"},
        {"backend", "string", false, "default: each store's own",
         R"({"enum": ["auto", "annoy", "faiss", "flat", "graph"]})"},
        {"dry_run", "boolean", false, "count only"}},
       202,
       "application/json",
       false,
       "Job"},
      {"GET",
       "/v1/jobs",
       Right::kRead,
       ErrorForm::kOwn,
       &list,
       "The last jobs, newest first",
       {},
       200,
       "application/json",
       false,
       "Jobs"},
      {"GET",
       "/v1/jobs/{id}",
       Right::kRead,
       ErrorForm::kOwn,
       &show,
       "One job",
       {},
       200,
       "application/json",
       false,
       "Job"},
      {"DELETE",
       "/v1/jobs/{id}",
       Right::kWrite,
       ErrorForm::kOwn,
       &cancel,
       "Stop a job after its running batch",
       {},
       202,
       "application/json",
       false,
       "Job"},
      {"GET",
       "/v1/jobs/{id}/events",
       Right::kRead,
       ErrorForm::kOwn,
       &events,
       "What happens in a job, as server-sent events",
       {},
       200,
       "text/event-stream"},
  };
}

}  // namespace nearlite::server
