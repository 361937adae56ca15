#include "nearlite/store/lease.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::chrono::seconds kSilence{60};  // after which a run on another host counts as dead
constexpr std::chrono::milliseconds kPoll{100};

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

/// When the process began, in clock ticks since boot; 0 if it does not exist. Tells a process from
/// a later one that was given the same number.
std::int64_t process_start(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return 0;
  // The second field is the name in parentheses, which may hold anything; the start is the 20th
  // behind it.
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;
  return std::atoll(field.c_str());
}

std::string new_token() {
  std::random_device device;
  std::ostringstream token;
  token << std::hex << device() << device() << device();
  return token.str();
}

}  // namespace

Lease::Lease(Sidecar& sidecar, std::string store, std::chrono::milliseconds wait)
    : sidecar_(sidecar), store_(std::move(store)), token_(new_token()) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (!try_take()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::milliseconds{0}) {
      throw Unavailable("another run holds the store " + store_ + ": " + holder_,
                        "wait for it, or ask to wait with --wait SECONDS");
    }
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(left, kPoll));
  }
}

bool Lease::try_take() {
  Transaction transaction = sidecar_.begin();
  Connection& db = sidecar_.connection();
  const std::string host = host_name();
  Statement row = db.prepare(
      "SELECT pid, host, process_start, started_at, heartbeat_at FROM lease WHERE store = ?1");
  row.bind(1, std::string_view(store_));
  if (row.step()) {
    const std::int64_t pid = row.int64(0);
    const bool here = row.text(1) == host;
    const bool alive =
        here ? process_start(pid) == row.int64(2)
             : sidecar_.clock().now() - parse_rfc3339(std::string(row.text(4))) < kSilence;
    if (alive) {
      holder_ = "process " + std::to_string(pid) + (here ? "" : " on " + std::string(row.text(1))) +
                ", started " + std::string(row.text(3));
      return false;
    }
  }
  row.reset();
  const std::string now = rfc3339(sidecar_.clock().now());
  const std::int64_t pid = ::getpid();
  Statement take = db.prepare(
      "INSERT OR REPLACE INTO lease(store, token, pid, host, process_start, started_at, "
      "heartbeat_at) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)");
  take.run(std::string_view(store_), std::string_view(token_), pid, std::string_view(host),
           process_start(pid), std::string_view(now));
  transaction.commit();
  return true;
}

void Lease::renew(Sidecar& writing) {
  Connection& db = writing.connection();
  const std::string now = rfc3339(writing.clock().now());
  Statement update =
      db.prepare("UPDATE lease SET heartbeat_at = ?3 WHERE store = ?1 AND token = ?2");
  update.run(std::string_view(store_), std::string_view(token_), std::string_view(now));
  if (db.changes() == 0) {
    throw Unavailable("another run has taken over the store " + store_,
                      "run the same command again");
  }
}

Lease::~Lease() {
  try {
    Transaction transaction = sidecar_.begin();
    sidecar_.connection()
        .prepare("DELETE FROM lease WHERE store = ?1 AND token = ?2")
        .run(std::string_view(store_), std::string_view(token_));
    transaction.commit();
  } catch (const std::exception&) {
    // The next run sees that this process is gone.
  }
}

}  // namespace nearlite
