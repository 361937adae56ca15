#include "source_snapshot.h"

namespace nearlite {
namespace {

constexpr double kMostMsHeld = 50;

}  // namespace

SourceSnapshot::SourceSnapshot(sqlite3* source) : source_(source) {
  if (source_ == nullptr) return;
  {
    Statement mode(source_, "PRAGMA journal_mode");
    wal_ = mode.step() && mode.text(0) == "wal";
  }
  pin_.emplace(source_, "SELECT 1 FROM sqlite_schema");
  pin_->step();
  version_ = SourceVersion::of(source_);
}

void SourceSnapshot::let_writers_in() {
  if (pin_ && !wal_ && held_.elapsed_ms() >= kMostMsHeld) pin_.reset();
}

bool SourceSnapshot::consistent() const {
  return source_ == nullptr || pin_ || SourceVersion::of(source_) == version_;
}

}  // namespace nearlite
