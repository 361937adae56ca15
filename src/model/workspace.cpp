#include "workspace.h"

#include <time.h>

namespace nearlite {

TransformerWorkspace::TransformerWorkspace() : state_(std::make_unique<State>()) {}
TransformerWorkspace::~TransformerWorkspace() = default;

void TransformerWorkspace::measure(StageSeconds* seconds) { state_->stages = seconds; }

double TransformerWorkspace::State::elapsed() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  const double now = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  const double since = now - last_lap;
  last_lap = now;
  return since;
}

}  // namespace nearlite
