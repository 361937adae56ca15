#include "model_choice.h"

#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/encoder/model_choice.h"
#include "nearlite/service/model_download.h"
#include "question.h"
#include "stop_signal.h"

namespace nearlite::cli {
namespace {

/// How large a model is before the hub was asked: known for the one that nearly everybody gets.
std::string size_note(const std::string& name) {
  return name == "sentence-transformers/all-MiniLM-L6-v2" ? " (91 MB)" : "";
}

/// One line on a terminal, drawn again; elsewhere one at the beginning.
class DownloadLine {
 public:
  DownloadLine(const Context& context, std::string name)
      : name_(std::move(name)), enabled_(!context.options.quiet), terminal_(stderr_is_terminal()) {}
  ~DownloadLine() {
    if (shown_ && terminal_) write_message("\n");
  }
  DownloadLine(const DownloadLine&) = delete;
  DownloadLine& operator=(const DownloadLine&) = delete;

  void show(const DownloadProgress& progress) {
    const double now = stopwatch_.elapsed_ms();
    if (!enabled_ || (shown_ && (!terminal_ || now - last_ms_ < 100))) return;
    last_ms_ = now;
    shown_ = true;
    const std::string text = printable(name_) + "  " + size_text(progress.bytes_done) + "/" +
                             size_text(progress.bytes_total) + "  " + printable(progress.file);
    write_message(terminal_ ? "\r\x1b[K" + text : text + "\n");
  }

 private:
  std::string name_;
  bool enabled_;
  bool terminal_;
  bool shown_ = false;
  double last_ms_ = 0;
  Stopwatch stopwatch_;
};

}  // namespace

bool can_offer_download(const Context& context) {
  return !HubAccess::from_environment().offline && (context.options.yes || can_ask());
}

std::filesystem::path require_model(Context& context, const std::string& asked) {
  const std::string name = model_choice_of(asked).name;
  try {
    return find_model(name, context.model_places());
  } catch (const NotFound&) {
    // Nobody to ask, or a path: only a hub name can be downloaded.
    const bool hub_name =
        name.find('/') == name.rfind('/') && !name.starts_with('/') && !name.starts_with('.');
    if (!hub_name || !can_offer_download(context)) throw;
    const std::string question =
        "Download " + name + size_note(name) + " from the Hugging Face hub?";
    if (!context.options.yes && !ask_yes_or_no(question)) throw;
  }
  return download_with_progress(context, name);
}

std::filesystem::path download_with_progress(Context& context, const std::string& name) {
  const ModelPlaces places = context.model_places();
  if (places.own_caches.empty()) {
    throw Unavailable("there is no folder for models: HOME and XDG_CACHE_HOME are not set");
  }
  const StopOnSignal stop;
  DownloadLine line(context, name);
  ModelDownloadOptions options;
  options.hub = HubAccess::from_environment();
  options.progress = [&](const DownloadProgress& progress) {
    line.show(progress);
    return !stop.token().stop_requested();
  };
  try {
    return download_model(name, places.own_caches.front(), options).folder;
  } catch (const Error&) {
    if (stop.exit_code() != 0) throw Interrupted{stop.exit_code()};
    throw;
  }
}

}  // namespace nearlite::cli
