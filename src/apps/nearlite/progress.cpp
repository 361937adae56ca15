#include "progress.h"

#include <algorithm>
#include <cmath>

namespace nearlite::cli {
namespace {

constexpr double kRedrawMs = 100;
constexpr double kLineEveryMs = 10'000;
constexpr double kRateOverMs = 30'000;

std::string whole_seconds(double seconds) {
  return seconds < 10 ? std::to_string(static_cast<int>(std::ceil(seconds))) + " s"
                      : duration_text(seconds * 1000);
}

}  // namespace

std::string progress_text(const std::string& label, const BackfillProgress& earlier,
                          const BackfillProgress& now) {
  std::string text = printable(label) + "  " + with_separators(now.done);
  if (now.total > 0) {
    const double part = static_cast<double>(now.done) / static_cast<double>(now.total);
    text += "/" + with_separators(now.total) + "  " +
            std::to_string(static_cast<int>(std::min(1.0, part) * 100)) + " %";
  }
  const double seconds = (now.elapsed_ms - earlier.elapsed_ms) / 1000;
  if (seconds <= 0 || now.done <= earlier.done) return text;
  const double rate = static_cast<double>(now.done - earlier.done) / seconds;
  const double tokens =
      now.tokens > earlier.tokens ? static_cast<double>(now.tokens - earlier.tokens) : 0;
  text += "  " + short_number(rate) + " rec/s  " + short_number(tokens / seconds) + " tok/s";
  if (now.total > now.done)
    text += "  ETA " + whole_seconds(static_cast<double>(now.total - now.done) / rate);
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
  if (!enabled_) return;
  if (recent_.empty()) recent_.emplace_back();
  if (recent_.size() > 1 && progress.elapsed_ms - recent_.back().elapsed_ms < kRedrawMs)
    recent_.pop_back();
  recent_.push_back(progress);
  while (recent_.size() > 2 && progress.elapsed_ms - recent_[1].elapsed_ms > kRateOverMs)
    recent_.pop_front();
  const double now = stopwatch_.elapsed_ms();
  if (now - last_shown_ms_ < (terminal_ ? kRedrawMs : kLineEveryMs)) return;
  last_shown_ms_ = now;
  shown_ = true;
  print(false);
}

/// The last line tells the rate of the whole run.
void ProgressLine::print(bool last) {
  const std::string text =
      progress_text(label_, last ? BackfillProgress{} : recent_.front(), recent_.back());
  write_message(terminal_ ? "\r\x1b[K" + text + (last ? "\n" : "") : text + "\n");
}

}  // namespace nearlite::cli
