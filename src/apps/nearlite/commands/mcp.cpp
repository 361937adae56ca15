#include <unistd.h>

#include <CLI/CLI.hpp>

#include "../command_line.h"
#include "../service_stores.h"
#include "nearlite/base/error.h"
#include "nearlite/server/mcp_server.h"

namespace nearlite::cli {
namespace {

using server::McpServer;

/// The next line of stdin without its end; nothing at the end of stdin. A line that is too long is
/// read to its end and given back empty, with `too_long` set.
class LineReader {
 public:
  std::optional<std::string> next(bool& too_long) {
    too_long = false;
    std::string line;
    while (true) {
      const std::size_t end = buffer_.find('\n');
      line += buffer_.substr(0, end);
      buffer_.erase(0, end == std::string::npos ? end : end + 1);
      if (line.size() > McpServer::kMostLineBytes) too_long = true;
      if (too_long) line.clear();
      if (end != std::string::npos) return line;
      char bytes[65536];
      const ssize_t size = read(STDIN_FILENO, bytes, sizeof bytes);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return line.empty() ? std::nullopt : std::optional(line);
      buffer_.assign(bytes, static_cast<std::size_t>(size));
    }
  }

 private:
  std::string buffer_;
};

int mcp(Context& context, const StoreArguments& arguments) {
  StoreSettings settings = store_settings(context);
  const auto selected = select_stores(context, arguments, settings);
  const std::string model = service_model(context, selected);
  // Not asked for on a terminal: stdin and stdout belong to the protocol.
  find_model(model, settings.places);
  settings.shared_encoder = lazy_encoder(model, settings.places, settings.encoder);
  vector_service::OpenStores stores(sources_of(select_stores(context, arguments, settings)));
  PrometheusMetrics metrics(NEARLITE_VERSION);
  vector_service::MetricsFileSink statistics;
  McpServer server({stores, settings.shared_encoder, model, system_clock(), context.log(), metrics,
                    statistics, NEARLITE_VERSION});
  LineReader lines;
  bool too_long = false;
  while (const auto line = lines.next(too_long)) {
    if (!too_long && line->find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto answer =
        too_long ? std::optional(McpServer::refuse_long_line()) : server.answer(*line);
    if (!answer) continue;
    context.out.line(*answer);
    context.out.flush();
  }
  return 0;
}

}  // namespace

void add_mcp_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<StoreArguments>();
  CLI::App& command = add_command(app, "mcp", "Serve an agent over stdio (Model Context Protocol)",
                                  "  nearlite mcp app.db\n"
                                  "  {\"mcpServers\": {\"app\": {\"command\": \"nearlite\", "
                                  "\"args\": [\"mcp\", \"/data/app.db\"]}}}");
  add_store_arguments(command, *arguments);
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return mcp(context, *arguments); };
  });
}

}  // namespace nearlite::cli
