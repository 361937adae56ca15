#pragma once

#include <optional>
#include <string>
#include <vector>

#include "json_body.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::server {

struct Call;

/// A question as HTTP and MCP send it.
struct SearchRequest {
  std::string question{};
  std::vector<float> vector{};                       // instead of a question, where that is allowed
  std::optional<std::vector<std::string>> stores{};  // nothing: all that the caller may see
  RetrievalOptions options{};
  bool explain = false;
};

enum class SearchBy { kQuestion, kQuestionOrVector };
/// Throws ApiError 400 that names the field.
SearchRequest read_search_request(Fields& fields, SearchBy by = SearchBy::kQuestion);
/// Stores that fail are named in the result.
RetrievalResult search_open_stores(const Call& call, const SearchRequest& request);
/// The same; throws ApiError if no store could answer.
RetrievalResult search_or_refuse(const Call& call, const SearchRequest& request);
/// Its answer as JSON.
Json run_search(const Call& call, const SearchRequest& request);

}  // namespace nearlite::server
