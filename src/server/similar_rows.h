#pragma once

#include <string>

#include "route.h"

namespace nearlite::server {

/// Rows like one row, without it, as /v1/search has them and `nearlite similar` ranks them:
/// {"store", "key", "k", "complete", "stores", "hits", ...}. Throws ApiError 404 if there is no
/// such record, 409 if it has no vector yet.
Json similar_rows(const Call& call, const std::string& store, const std::string& key,
                  std::size_t k);
/// How well one row fits a question. Throws as similar_rows().
Json explain_row(const Call& call, const std::string& store, const std::string& key,
                 const std::string& question);

}  // namespace nearlite::server
