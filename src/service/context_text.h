#pragma once

#include <string>
#include <vector>

#include "nearlite/encoder/text_encoder.h"
#include "nearlite/service/context_builder.h"

namespace nearlite::vector_service {

/// {"errors":[{...}],"bots":[...]} without blanks; entries stand in the order of their groups.
std::string text_of_entries(const std::vector<ContextEntry>& entries);
/// One entry, as there.
std::string text_of_entry(const ContextEntry& entry);
/// Cuts or drops entries until the text has at most max_tokens tokens; true if anything was cut.
bool fit_into(std::vector<ContextEntry>& entries, std::size_t max_tokens, Keep keep,
              const TextEncoder& encoder);

}  // namespace nearlite::vector_service
