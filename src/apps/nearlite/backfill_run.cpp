#include "backfill_run.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

#include "model_choice.h"
#include "nearlite/base/error.h"
#include "progress.h"
#include "stop_signal.h"

namespace nearlite::cli {
namespace {

using vector_service::StoreBackfill;
using vector_service::StoreSource;

constexpr std::size_t kReasonsShown = 3;

std::string result_line(const StoreBackfill& store, bool dry_run) {
  const BackfillResult& result = *store.result;
  char text[256];
  std::snprintf(text, sizeof text, ": %s %zu, skipped %zu, tokens %zu, wall_ms %.2f, store_ms %.2f",
                dry_run ? "would embed" : "embedded", result.embedded,
                result.skipped + result.blocked, result.tokens, result.wall_ms, result.store_ms);
  return printable(store.class_name) + text + (dry_run ? "; " + expected_text(result) : "");
}

void tell_notes(const Context& context, const StoreBackfill& store) {
  for (const std::string& note : store.result->notes) context.note(store.store + ": " + note);
}

void tell_skipped(const Context& context, const StoreBackfill& store) {
  const auto& records = store.result->skipped_records;
  for (std::size_t i = 0; i < std::min(records.size(), kReasonsShown); ++i) {
    context.note(store.store + ": skipped " + records[i].key.display() + ": " + records[i].reason);
  }
  if (const std::size_t all = store.result->skipped + store.result->blocked;
      all > kReasonsShown && !records.empty()) {
    context.note(store.store + ": skipped " +
                 with_separators(all - std::min(records.size(), kReasonsShown)) +
                 " more; nearlite backfill --json lists them");
  }
}

/// Tells on stdout and stderr how a run goes on.
class Reporter {
 public:
  Reporter(Context& context, const BackfillSettings& settings)
      : context_(context), settings_(settings) {}

  vector_service::BackfillObserver observer() {
    vector_service::BackfillObserver observer;
    observer.begin = [this](const StoreSource& source, std::size_t number, std::size_t count) {
      if (text()) {
        context_.out.line("[" + std::to_string(number) + "/" + std::to_string(count) +
                          "] backfilling " + printable(source.class_name));
        context_.out.flush();
      }
      progress_.emplace(context_, source.name);
    };
    observer.progress = [this](const StoreSource&, const BackfillProgress& progress) {
      progress_->show(progress);
    };
    observer.end = [this](const StoreBackfill& store) {
      progress_.reset();
      end(store);
    };
    return observer;
  }

 private:
  bool text() const { return settings_.text_on_stdout && !context_.machine_form(); }

  void end(const StoreBackfill& store) {
    if (store.failure) {
      const std::string& hint = store.failure->hint;
      context_.warn(store.store + ": " + store.failure->message +
                    (hint.empty() ? "" : "; " + hint));
      return;
    }
    if (!store.warning.empty()) context_.warn(store.store + ": " + store.warning);
    tell_notes(context_, store);
    tell_skipped(context_, store);
    if (text()) {
      context_.out.line(result_line(store, settings_.dry_run));
      context_.out.flush();
    }
  }

  Context& context_;
  const BackfillSettings& settings_;
  std::optional<ProgressLine> progress_;
};

int exit_code_of(std::span<const StoreBackfill> stores, bool strict) {
  std::set<int> failures;
  std::size_t num_failed = 0;
  bool partly = false;
  for (const StoreBackfill& store : stores) {
    if (store.failure) {
      ++num_failed;
      failures.insert(store.failure->exit_code);
      continue;
    }
    const BackfillResult& result = *store.result;
    partly |= result.failed > 0;
    partly |= strict && result.skipped + result.blocked > 0;
  }
  if (num_failed == 0) return partly ? 5 : 0;
  return num_failed == stores.size() && failures.size() == 1 ? *failures.begin() : 5;
}

}  // namespace

std::string expected_text(const BackfillResult& result) {
  std::string text =
      with_separators(result.passages) + (result.passages == 1 ? " passage" : " passages") + " (" +
      with_separators(result.longer) + (result.longer == 1 ? " text is" : " texts are") +
      " longer than the model reads)";
  text += ", about " + duration_text(result.estimated_ms.value_or(0)) + ", about " +
          size_text(result.estimated_bytes);
  return text;
}

BackfillOutcome run_backfill(Context& context, std::span<const SelectedStore> stores,
                             const BackfillSettings& settings, std::optional<Backend> backend) {
  std::vector<StoreSource> sources;
  for (const SelectedStore& store : stores) sources.push_back(store.source());
  return run_backfill(context, sources, settings, backend);
}

BackfillOutcome run_backfill(Context& context, const std::vector<StoreSource>& sources,
                             const BackfillSettings& settings, std::optional<Backend> backend) {
  const StopOnSignal stop;
  vector_service::BackfillRequest request;
  request.session_id = settings.session_id;
  request.backend = backend;
  request.options.batch_size = settings.batch_size;
  request.options.threads = context.options.threads;
  request.options.dry_run = settings.dry_run;
  request.options.full = settings.full;
  request.options.wait = std::chrono::seconds(settings.wait_seconds);
  request.options.stop = stop.token();
  vector_service::MetricsFileSink statistics;
  vector_service::EmbeddingBackfill backfill(system_clock(), statistics, context.log());
  Reporter reporter(context, settings);
  BackfillOutcome outcome;
  outcome.stores = backfill.run(sources, request, reporter.observer());
  outcome.exit_code =
      stop.exit_code() != 0 ? stop.exit_code() : exit_code_of(outcome.stores, settings.strict);
  return outcome;
}

void put_backfill_json(Context& context, const BackfillOutcome& outcome) {
  Json all = Json::array();
  for (const StoreBackfill& store : outcome.stores) all.push_back(json_of(store, Audience::kOwner));
  if (context.options.json) context.put_json(all);
  if (context.options.jsonl) {
    for (const Json& store : all) context.put_json(store);
  }
}

void offer_missing_models(Context& context, std::span<const SelectedStore> stores) {
  if (!can_offer_download(context)) return;
  std::set<std::string> names;
  for (const SelectedStore& store : stores) {
    try {
      names.insert(store.open()->options().model_name);
    } catch (const Error&) {
      continue;  // told by the run itself, in its place
    }
  }
  for (const std::string& name : names) require_model(context, name);
}

}  // namespace nearlite::cli
