#include <fcntl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <thread>

#include "../command_line.h"
#include "../model_choice.h"
#include "../service_signals.h"
#include "../service_stores.h"
#include "../store_selection.h"
#include "nearlite/base/error.h"
#include "nearlite/databases/config.h"
#include "nearlite/server/api.h"
#include "nearlite/server/http_server.h"
#include "nearlite/service/batching_encoder.h"
#include "nearlite/service/bootstrap.h"

namespace nearlite::cli {
namespace {

using server::AccessRules;
using server::Api;
using server::HttpServer;
using server::ListenAddress;

struct ServeArguments {
  StoreArguments stores;
  std::vector<std::string> listen;
  std::string token_file;
  std::vector<std::string> allow_hosts;
  bool insecure_no_auth = false;
  double rate_limit = 0;
};

std::vector<ListenAddress> addresses_of(const Context& context, const ServeArguments& arguments) {
  std::vector<ListenAddress> addresses;
  for (int i = 0; i < context.environment.listen_descriptors; ++i) {
    ListenAddress handed_over;
    handed_over.handed_over = 3 + i;
    fcntl(handed_over.handed_over, F_SETFD, FD_CLOEXEC);
    addresses.push_back(handed_over);
  }
  for (const std::string& text : arguments.listen) addresses.push_back(ListenAddress::parse(text));
  if (addresses.empty()) addresses.push_back(ListenAddress::parse("127.0.0.1:8642"));
  return addresses;
}

AccessRules access_rules(const ServeArguments& arguments,
                         std::span<const ListenAddress> addresses) {
  AccessRules rules;
  if (!arguments.token_file.empty()) rules.tokens = server::TokenList::read(arguments.token_file);
  if (std::isnan(arguments.rate_limit))
    throw InvalidArgument("--rate-limit is nan, not a number from 1 to 1000000");
  rules.requests_per_second = arguments.rate_limit;
  std::vector<std::string> hosts = arguments.allow_hosts;
  for (const ListenAddress& address : addresses) {
    if (!address.host.empty()) hosts.push_back(address.host);
    if (address.is_loopback() || rules.tokens || arguments.insecure_no_auth) continue;
    throw InvalidArgument(address.display() +
                              " is reached from other machines, and nobody would "
                              "be asked for a token",
                          "add --token-file FILE, or --insecure-no-auth if something in front of "
                          "this service checks who calls");
  }
  rules.hosts = server::HostRule(hosts);
  return rules;
}

/// A connection is a descriptor: as many as the system lets us have. Returns how many.
std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

/// Stores, models and logs need some descriptors, too: when connections had them all, nothing could
/// be answered.
std::size_t most_connections(std::size_t descriptors) {
  constexpr std::size_t kMost = 1024;
  constexpr std::size_t kForFiles = 128;
  return std::clamp(descriptors > kForFiles ? descriptors - kForFiles : 1, std::size_t{32}, kMost);
}

/// Questions and texts of records are in memory: none of them goes to a core file.
void forbid_core_files() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

class Service {
 public:
  Service(Context& context, const ServeArguments& arguments)
      : context_(context),
        arguments_(arguments),
        addresses_(addresses_of(context, arguments)),
        rules_(access_rules(arguments, addresses_)),
        notifier_(context.environment.notify_socket.value_or("")),
        metrics_(NEARLITE_VERSION) {}

  int run() {
    ServiceSignals::block();
    max_connections_ = most_connections(raise_descriptor_limit());
    forbid_core_files();
    if (const auto level = configured_log_level()) context_.set_log_level(*level);
    settings_ = store_settings(context_);
    const auto selected = select_stores(context_, arguments_.stores, settings_);
    const std::string model = service_model(context_, selected);
    require_model(context_, model);
    settings_.shared_encoder =
        std::make_shared<BatchingEncoder>(lazy_encoder(model, settings_.places, settings_.encoder));
    stores_.replace(sources_of(select_stores(context_, arguments_.stores, settings_)));
    check_scheduler();
    Api api({stores_, settings_.shared_encoder, model, system_clock(), context_.log(), metrics_,
             statistics_, NEARLITE_VERSION},
            rules_);
    HttpServer http(http_options(api),
                    [&api](const server::HttpRequest& request) { return api.handle(request); });
    announce(http, selected.size());
    const ServiceSignals signals([&] { stop(http); }, [&] { reload(api); });
    Runtime runtime;
    std::thread warming([&] {
      api.warm_up();
      notifier_.tell("READY=1");
      try {
        runtime = bootstrap(scheduler_environment_, bootstrap_parts());
      } catch (const std::exception& error) {  // its variables were checked before
        context_.warn(std::string("the scheduler could not be started: ") + error.what());
      }
    });
    std::jthread watchdog([this](const std::stop_token& stop) { feed_watchdog(stop); });
    http.run();
    warming.join();
    runtime.stop();
    api.stop_jobs();
    return 0;
  }

 private:
  /// Wrong variables are told before anything runs.
  void check_scheduler() {
    const SchedulerSettings settings = SchedulerSettings::from(scheduler_environment_);
    for (const std::string& note : settings.notes) context_.note(note);
    chosen_stores(stores_.sources(), settings.dbs);
    if (!settings.enabled)
      context_.note("the scheduler is off (EMBEDDING_SCHEDULER_INTERVAL is 0)");
  }

  BootstrapParts bootstrap_parts() {
    BootstrapParts parts;
    parts.sources = [this] { return stores_.sources(); };
    parts.statistics = &statistics_;
    parts.log = &context_.log();
    parts.metrics = &metrics_;
    return parts;
  }

  HttpServer::Options http_options(Api& api) {
    HttpServer::Options options;
    options.addresses = addresses_;
    options.limits.max_connections = max_connections_;
    options.is_quick = [&api](const server::HttpRequest& request) { return api.is_quick(request); };
    options.waits = [&api](const server::HttpRequest& request) { return api.waits(request); };
    options.error_body = &Api::error_body;
    options.observer.answered = [this](const server::HttpRequest&,
                                       const server::HttpResponse& response, double seconds) {
      metrics_.add("vector_service_http_requests_total",
                   {{"status", std::to_string(response.status)}});
      metrics_.observe("vector_service_http_request_duration_seconds", {}, seconds);
      report_memory();
    };
    options.observer.refused = [this](int status) {
      metrics_.add("vector_service_http_requests_total", {{"status", std::to_string(status)}});
    };
    return options;
  }

  void report_memory() {
    const MemoryBudget& memory = *settings_.memory;
    metrics_.set("embedding_memory_budget_bytes", {}, static_cast<double>(memory.limit_bytes()));
    for (const auto& [kind, bytes] : memory.used_by_kind())
      metrics_.set("embedding_memory_used_bytes", {{"kind", kind}}, static_cast<double>(bytes));
  }

  void announce(const HttpServer& http, std::size_t num_stores) {
    const bool open = arguments_.insecure_no_auth && !rules_.tokens;
    metrics_.set("vector_service_open_without_token", {}, open ? 1 : 0);
    if (open) context_.warn("everybody who reaches this service may use it (--insecure-no-auth)");
    for (ListenAddress address : addresses_) {
      if (address.port == 0 && !address.host.empty()) address.port = http.port();
      context_.note(
          "listening on " +
          (address.host.empty() ? address.display() : "http://" + address.display() + "/") + " (" +
          std::to_string(num_stores) + (num_stores == 1 ? " store" : " stores") +
          "); Ctrl-C stops");
    }
    if (num_stores == 0) {
      context_.note("there is no store in " + context_.data_folder().string() +
                    "; nearlite index FILE makes a database searchable, then send SIGHUP");
    }
  }

  void stop(HttpServer& http) {
    notifier_.tell("STOPPING=1");
    context_.note("stopping: requests under way are answered (again: at once)");
    http.stop();
  }

  /// Reads token file and registry again. If anything is wrong, everything stays as it was.
  void reload(Api& api) {
    try {
      AccessRules rules = access_rules(arguments_, addresses_);
      const std::optional<LogLevel> level = configured_log_level();
      auto sources = sources_of(select_stores(context_, arguments_.stores, settings_));
      api.set_rules(std::move(rules));
      stores_.replace(std::move(sources));
      if (level) context_.set_log_level(*level);
      metrics_.add("vector_service_reloads_total", {{"status", "success"}});
      context_.note("reloaded: " + std::to_string(stores_.names().size()) + " stores");
      api.warm_up();
    } catch (const std::exception& error) {
      metrics_.add("vector_service_reloads_total", {{"status", "failure"}});
      context_.warn(std::string("not reloaded, the old configuration stays: ") + error.what());
    }
  }

  /// [service] log_level of the data folder's nearlite.toml; a level of the command line stands.
  std::optional<LogLevel> configured_log_level() const {
    if (context_.options.log_level_given) return std::nullopt;
    const std::filesystem::path file = !context_.options.config.empty()
                                           ? std::filesystem::path(context_.options.config)
                                           : context_.data_folder() / "nearlite.toml";
    if (!std::filesystem::exists(file)) return LogLevel::kWarning;
    const std::string level = read_config(file).service_log_level;
    return level.empty() ? LogLevel::kWarning : log_level_of(level);
  }

  void feed_watchdog(const std::stop_token& stop) {
    if (context_.environment.watchdog_microseconds == 0) return;
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    const auto half = std::chrono::microseconds(context_.environment.watchdog_microseconds / 2);
    while (!stop.stop_requested()) {
      notifier_.tell("WATCHDOG=1");
      never.wait_for(lock, stop, half, [] { return false; });
    }
  }

  Context& context_;
  const ServeArguments& arguments_;
  std::vector<ListenAddress> addresses_;
  AccessRules rules_;
  ServiceNotifier notifier_;
  PrometheusMetrics metrics_;
  vector_service::MetricsFileSink statistics_;
  vector_service::OpenStores stores_{{}};
  const nearlite::Environment scheduler_environment_ = nearlite::Environment::read();
  StoreSettings settings_;
  std::size_t max_connections_ = 1024;
};

}  // namespace

void add_serve_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<ServeArguments>();
  CLI::App& command = add_command(
      app, "serve", "Answer over HTTP: questions, embeddings, metrics",
      "  nearlite serve app.db\n"
      "  nearlite serve --data-dir /srv/data --listen unix:/run/nearlite/http.sock\n"
      "  nearlite serve --listen 0.0.0.0:8642 --token-file tokens --allow-host search.example.org");
  add_store_arguments(command, arguments->stores);
  add_list(command, "--listen", arguments->listen,
           "Where to listen: HOST:PORT or unix:PATH; may be repeated (default 127.0.0.1:8642)")
      ->type_name("ADDRESS");
  command
      .add_option("--token-file", arguments->token_file,
                  "Tokens, one per line: TOKEN [rights=read,write,metrics,admin] [stores=A,B]")
      ->type_name("FILE");
  add_list(command, "--allow-host", arguments->allow_hosts,
           "A further name that this service is called by; may be repeated")
      ->type_name("NAME");
  command
      .add_option("--rate-limit", arguments->rate_limit,
                  "Requests per second of each token, or of each address without tokens (default: "
                  "no limit)")
      ->check(CLI::Range(1.0, 1e6))
      ->type_name("N");
  command.add_flag("--insecure-no-auth", arguments->insecure_no_auth,
                   "Listen beyond this machine without tokens");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] {
      if (!context.options.log_level_given) {
        context.options.log_level = LogLevel::kWarning;
        context.open_log();
      }
      return Service(context, *arguments).run();
    };
  });
}

}  // namespace nearlite::cli
