#pragma once

#include "context.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::cli {

/// Prints the answer of search and similar: text, --json or --jsonl; failures and what is missing
/// on stderr.
void put_result(Context& context, const RetrievalResult& result, bool explain,
                double min_confidence);

}  // namespace nearlite::cli
