#include "service_stores.h"

#include "nearlite/base/error.h"

namespace nearlite::cli {

std::string service_model(const Context& context, std::span<const SelectedStore> stores) {
  if (context.environment.model) return context.default_model();
  for (const SelectedStore& store : stores) {
    try {
      return full_model_name(store.open()->options().model_name);
    } catch (const Error&) {
      continue;  // told by readyz and at each search
    }
  }
  return context.default_model();
}

std::vector<vector_service::StoreSource> sources_of(std::span<const SelectedStore> stores) {
  std::vector<vector_service::StoreSource> sources;
  for (const SelectedStore& store : stores) sources.push_back(store.source());
  return sources;
}

}  // namespace nearlite::cli
