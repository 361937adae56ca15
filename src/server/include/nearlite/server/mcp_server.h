#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "nearlite/server/api.h"

namespace nearlite::server {

/// The Model Context Protocol over lines: one JSON-RPC message each, in both of its forms. A
/// request whose _meta names the revision 2026-07-28 is served by itself; `initialize` selects one
/// of the older revisions for those without. Six read-only tools over exposed columns; nothing is
/// embedded but questions. One line at a time.
class McpServer {
 public:
  static constexpr std::size_t kMostLineBytes = 1 << 20;

  explicit McpServer(ApiParts parts);
  ~McpServer();
  McpServer(const McpServer&) = delete;
  McpServer& operator=(const McpServer&) = delete;

  /// The answer, one line without its end, or nothing for a notification. Does not throw.
  std::optional<std::string> answer(std::string_view line);
  /// The answer to a line that was longer than kMostLineBytes.
  static std::string refuse_long_line();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nearlite::server
