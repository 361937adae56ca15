#pragma once

#include <deque>
#include <string>

#include "context.h"
#include "nearlite/base/clock.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"

namespace nearlite::cli {

/// `packages  12,400/63,666  19 %  3,412 rec/s  311k tok/s  ETA 15 s` on stderr. On a terminal one
/// line that is drawn again; else a line every 10 s at most and, if there was one, a last one.
/// Nothing with --quiet.
class ProgressLine {
 public:
  ProgressLine(const Context& context, std::string label);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const BackfillProgress& progress);

 private:
  void print(bool last);

  std::string label_;
  bool enabled_;
  bool terminal_;
  bool shown_ = false;
  std::deque<BackfillProgress> recent_;  // the rate is that of the last half minute
  Stopwatch stopwatch_;
  double last_shown_ms_ = 0;
};

/// The line without its end; rates and ETA are those from `earlier` to `now`.
std::string progress_text(const std::string& label, const BackfillProgress& earlier,
                          const BackfillProgress& now);

}  // namespace nearlite::cli
