#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nearlite/retrieval/search_stores.h"

namespace nearlite::vector_service {

/// The text of a field, or "" if there is none.
std::string field_text(const RetrievalHit& hit, std::string_view name);
/// The number of a field or signal, or `otherwise`.
double field_number(const RetrievalHit& hit, std::string_view name, double otherwise = 0);
/// Whether the field "tags" or "tag" (separated by commas, or a JSON list) names one of them; case
/// and blanks do not count.
bool has_tag(const RetrievalHit& hit, const std::vector<std::string>& tags);

}  // namespace nearlite::vector_service
