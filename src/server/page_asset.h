#pragma once

#include <span>
#include <string_view>

namespace nearlite::server {

/// A file of web/, compiled in (src/server/CMakeLists.txt makes the list).
struct PageAsset {
  const char* path;          // "/page/page.css"
  const char* content_type;  // "text/css"
  std::string_view body;
};
std::span<const PageAsset> page_assets();

}  // namespace nearlite::server
