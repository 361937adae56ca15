#pragma once

#include <span>
#include <string>
#include <vector>

#include "store_selection.h"

namespace nearlite::cli {

/// The model of a service and of stores that name none: NEARLITE_MODEL, else what the first store
/// uses, else the library's.
std::string service_model(const Context& context, std::span<const SelectedStore> stores);

std::vector<vector_service::StoreSource> sources_of(std::span<const SelectedStore> stores);

}  // namespace nearlite::cli
