#pragma once

#include <vector>

#include "route.h"

namespace nearlite::server {

/// One tool of the agents' protocol.
struct McpTool {
  const char* name;
  const char* title;
  const char* description;
  Json input_schema;
  /// Throws ApiError for wrong arguments; the object is one JSON document.
  Json (*run)(Call& call, const Json& arguments);
};

/// In a fixed order.
const std::vector<McpTool>& mcp_tools();

}  // namespace nearlite::server
