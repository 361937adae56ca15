#include "progress.h"

#include <algorithm>
#include <cmath>

namespace nearlite::cli {
namespace {

constexpr double kRedrawMs = 100;
constexpr double kLineEveryMs = 10'000;

}  // namespace

std::string progress_text(const std::string& label, const BackfillProgress& progress) {
  std::string text = printable(label) + "  " + with_separators(progress.done);
  const double seconds = progress.elapsed_ms / 1000;
  const double rate = seconds > 0 ? static_cast<double>(progress.done) / seconds : 0;
  if (progress.total > 0) {
    const double part = static_cast<double>(progress.done) / static_cast<double>(progress.total);
    text += "/" + with_separators(progress.total) + "  " +
            std::to_string(static_cast<int>(std::min(1.0, part) * 100)) + " %";
  }
  if (rate > 0) {
    text += "  " + short_number(rate) + " rec/s  " +
            short_number(static_cast<double>(progress.tokens) / seconds) + " tok/s";
    if (progress.total > progress.done) {
      text += "  ETA " +
              duration_text(std::ceil(static_cast<double>(progress.total - progress.done) / rate) *
                            1000);
    }
  }
  return text;
}

ProgressLine::ProgressLine(const Context& context, std::string label)
    : label_(std::move(label)), enabled_(!context.options.quiet), terminal_(stderr_is_terminal()) {}

ProgressLine::~ProgressLine() {
  if (!shown_) return;
  try {
    print(true);
  } catch (const std::exception&) {
    write_message("\n");
  }
}

void ProgressLine::show(const BackfillProgress& progress) {
  latest_ = progress;
  if (!enabled_) return;
  const double now = stopwatch_.elapsed_ms();
  if (now - last_shown_ms_ < (terminal_ ? kRedrawMs : kLineEveryMs)) return;
  last_shown_ms_ = now;
  shown_ = true;
  print(false);
}

void ProgressLine::print(bool last) {
  const std::string text = progress_text(label_, latest_);
  write_message(terminal_ ? "\r\x1b[K" + text + (last ? "\n" : "") : text + "\n");
}

}  // namespace nearlite::cli
