#include "nearlite/service/bootstrap.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <random>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): unistd.h has it for GNU only

namespace nearlite {
namespace {

using vector_service::StoreSource;

constexpr double kMostSeconds = 315'360'000;  // ten years
constexpr std::string_view kPrefix = "EMBEDDING_SCHEDULER_";
constexpr std::array kKnown = {"EMBEDDING_SCHEDULER_INTERVAL", "EMBEDDING_SCHEDULER_BATCH_SIZE",
                               "EMBEDDING_SCHEDULER_BACKEND",  "EMBEDDING_SCHEDULER_DBS",
                               "EMBEDDING_SCHEDULER_SOURCES",  "EMBEDDING_SCHEDULER_JITTER"};

/// The value as a message may show it: cut, control characters escaped.
std::string shown(const std::string& value) {
  std::string text;
  for (const char c : value.substr(0, 80)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      text += c == '\n' ? "\\n" : "?";
    } else {
      text += c;
    }
  }
  return "\"" + text + (value.size() > 80 ? "\"..." : "\"");
}

[[noreturn]] void refuse(const std::string& name, const std::string& value,
                         const std::string& wanted) {
  throw InvalidArgument(name + " is " + shown(value) + ", it takes " + wanted);
}

/// A plain decimal number: no unit, no exponent, no sign.
double plain_number(const std::string& name, const std::string& value, const std::string& wanted) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(value.data(), value.data() + value.size(), number, std::chars_format::fixed);
  const bool digits =
      std::ranges::all_of(value, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  if (error != std::errc() || end != value.data() + value.size() || !digits)
    refuse(name, value, wanted);
  return number;
}

void read_interval(const Environment& environment, SchedulerSettings& settings) {
  const std::string name = "EMBEDDING_SCHEDULER_INTERVAL";
  const auto value = environment.get(name);
  if (!value) return;
  const std::string wanted = "seconds: 0 (off), or at least 1 s and at most 315360000 s";
  const double seconds = plain_number(name, *value, wanted);
  if (seconds != 0 && (seconds < 1 || seconds > kMostSeconds)) refuse(name, *value, wanted);
  settings.enabled = seconds > 0;
  settings.options.interval = std::chrono::duration<double>(seconds > 0 ? seconds : 86400);
}

void read_batch_size(const Environment& environment, SchedulerSettings& settings) {
  const std::string name = "EMBEDDING_SCHEDULER_BATCH_SIZE";
  const auto value = environment.get(name);
  if (!value) return;
  std::size_t size = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), size);
  if (error != std::errc() || end != value->data() + value->size() || size < 1 || size > 10'000)
    refuse(name, *value, "a whole number from 1 to 10000");
  settings.options.batch_size = size;
}

void read_backend(const Environment& environment, SchedulerSettings& settings) {
  const std::string name = "EMBEDDING_SCHEDULER_BACKEND";
  const auto value = environment.get(name);
  if (!value) return;
  try {
    settings.options.backend = backend_of(to_lower_ascii(*value));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(name + " is " + shown(*value) + ", it takes one backend: " + error.what(),
                          error.hint());
  }
}

void read_dbs(const Environment& environment, SchedulerSettings& settings) {
  std::string name = "EMBEDDING_SCHEDULER_DBS";
  auto value = environment.get(name);
  if (!value) {
    name = "EMBEDDING_SCHEDULER_SOURCES";  // what the seed's code reads
    value = environment.get(name);
  }
  if (!value) return;
  bool empty_parts = false;
  for (std::size_t at = 0; at <= value->size();) {
    const std::size_t end = std::min(value->find(',', at), value->size());
    const auto first = value->find_first_not_of(" \t", at);
    if (first < end) {
      const auto last = value->find_last_not_of(" \t", end - 1);
      settings.dbs.push_back(value->substr(first, last - first + 1));
      if (settings.dbs.back() == "*") refuse(name, *value, "names; leave it unset for all stores");
    } else {
      empty_parts = true;
    }
    at = end + 1;
  }
  if (settings.dbs.empty()) refuse(name, *value, "names of stores, separated by commas");
  if (empty_parts) settings.notes.push_back(name + ": empty names between commas were ignored");
}

/// "BotDB", "bots", "bot" -> "bot"
std::string plain_name(const std::string& name) {
  std::string plain = to_lower_ascii(name);
  if (plain.size() > 2 && plain.ends_with("db")) plain.resize(plain.size() - 2);
  if (plain.size() > 1 && plain.ends_with('s')) plain.pop_back();
  return plain == "info" ? "information" : plain;
}

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

Environment Environment::read() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    if (text.starts_with(kPrefix) || text.starts_with("NEARLITE_"))
      environment.variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::optional<std::string> Environment::get(const std::string& name) const {
  const auto found = variables.find(name);
  if (found == variables.end()) return std::nullopt;
  const std::string value = trimmed(found->second);
  return value.empty() ? std::nullopt : std::optional(value);
}

SchedulerSettings SchedulerSettings::from(const Environment& environment) {
  SchedulerSettings settings;
  read_interval(environment, settings);
  read_batch_size(environment, settings);
  read_backend(environment, settings);
  read_dbs(environment, settings);
  if (const auto jitter = environment.get("EMBEDDING_SCHEDULER_JITTER")) {
    const std::string wanted = "a share of the interval from 0 to 0.5";
    settings.options.jitter = plain_number("EMBEDDING_SCHEDULER_JITTER", *jitter, wanted);
    if (settings.options.jitter > 0.5) refuse("EMBEDDING_SCHEDULER_JITTER", *jitter, wanted);
  }
  const std::vector<std::string> known(kKnown.begin(), kKnown.end());
  for (const auto& [name, value] : environment.variables) {
    if (!name.starts_with(kPrefix) || std::ranges::find(known, name) != known.end()) continue;
    const auto nearest = nearest_name(name, known);
    settings.notes.push_back("unknown variable " + name + " is not read" +
                             (nearest ? "; did you mean " + *nearest + "?" : ""));
  }
  return settings;
}

bool store_is_called(const StoreSource& store, const std::string& name) {
  const std::string plain = plain_name(name);
  return plain == plain_name(store.name) || plain == plain_name(store.class_name);
}

std::vector<StoreSource> chosen_stores(std::vector<StoreSource> stores,
                                       const std::vector<std::string>& names) {
  if (names.empty()) return stores;
  std::vector<std::string> known;
  for (const StoreSource& store : stores) known.push_back(store.name);
  for (const std::string& name : names) {
    if (std::ranges::none_of(stores,
                             [&](const auto& store) { return store_is_called(store, name); }))
      throw InvalidArgument(
          "EMBEDDING_SCHEDULER_DBS names " + shown(name) + ", which is no store here",
          "stores are " + (known.empty() ? std::string("none") : join_names(known)));
  }
  std::erase_if(stores, [&](const StoreSource& store) {
    return std::ranges::none_of(names,
                                [&](const auto& name) { return store_is_called(store, name); });
  });
  return stores;
}

struct Runtime::State {
  vector_service::MetricsFileSink statistics;
  std::vector<std::string> notes;
  std::unique_ptr<SchedulerLease> lease;
  std::unique_ptr<EmbeddingScheduler> scheduler;  // ends before what it uses
};

Runtime::Runtime() : state_(std::make_unique<State>()) {}
Runtime::~Runtime() = default;
Runtime::Runtime(Runtime&&) noexcept = default;
Runtime& Runtime::operator=(Runtime&&) noexcept = default;
EmbeddingScheduler* Runtime::scheduler() const noexcept { return state_->scheduler.get(); }
const std::vector<std::string>& Runtime::notes() const noexcept { return state_->notes; }
void Runtime::stop() {
  if (state_->scheduler) state_->scheduler->stop();
}

/// Fills a Runtime.
struct RuntimeMaker {
  static Runtime make(const Environment& environment, BootstrapParts parts) {
    Runtime runtime;
    Runtime::State& state = *runtime.state_;
    SchedulerSettings settings = SchedulerSettings::from(environment);
    state.notes = std::move(settings.notes);
    if (!settings.enabled) {
      state.notes.emplace_back("the scheduler is off (EMBEDDING_SCHEDULER_INTERVAL=0)");
      return runtime;
    }
    if (!parts.sources) {
      const std::string folder = environment.get("NEARLITE_DATA_DIR").value_or(".");
      parts.sources = [folder] {
        return vector_service::sources_of(
            std::make_shared<Registry>(Registry::of_folder(folder, {})));
      };
    }
    // Asked now, so that a wrong name is told before anything runs.
    std::vector<std::filesystem::path> folders;
    for (const StoreSource& store : chosen_stores(parts.sources(), settings.dbs))
      folders.push_back(store.metrics_file.parent_path());
    state.lease = std::make_unique<FileLease>(std::move(folders));
    auto random = [engine = std::mt19937_64(std::random_device{}())]() mutable {
      return std::uniform_real_distribution<double>(0, 1)(engine);
    };
    SchedulerParts with{
        [sources = parts.sources, dbs = settings.dbs] { return chosen_stores(sources(), dbs); },
        parts.clock != nullptr ? *parts.clock : system_clock(),
        parts.monotonic != nullptr ? *parts.monotonic : monotonic_clock(),
        parts.statistics != nullptr ? *parts.statistics : state.statistics,
        parts.log != nullptr ? *parts.log : null_log_sink(),
        parts.metrics != nullptr ? *parts.metrics : null_metrics(),
        *state.lease,
        random};
    state.scheduler = std::make_unique<EmbeddingScheduler>(settings.options, std::move(with));
    state.scheduler->start();
    return runtime;
  }
};

Runtime bootstrap(const Environment& environment, BootstrapParts parts) {
  return RuntimeMaker::make(environment, std::move(parts));
}

}  // namespace nearlite
