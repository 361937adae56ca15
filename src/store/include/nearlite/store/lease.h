#pragma once

#include <chrono>
#include <string>

#include "nearlite/store/sidecar.h"

namespace nearlite {

/// The right to run a backfill of one store: a row of the sidecar with the process that holds it.
/// It is taken over when that process is gone, or, if it ran on another host, when it has not been
/// heard of for a minute.
class Lease {
 public:
  /// Waits for at most `wait`. Throws Unavailable with the pid and start of the run that holds the
  /// store.
  Lease(Sidecar& sidecar, std::string store, std::chrono::milliseconds wait);
  /// Gives it back, if it is still ours.
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  /// Inside a write transaction of this or another connection: says that we live. Throws
  /// Unavailable if another run has taken over.
  void renew(Sidecar& writing);

 private:
  bool try_take();

  Sidecar& sidecar_;
  std::string store_;
  std::string token_;
  std::string holder_;  // who had it at the last try, for the message
};

}  // namespace nearlite
