#include "nearlite/service/open_stores.h"

#include <algorithm>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite::vector_service {

OpenStores::OpenStores(std::vector<StoreSource> sources) : sources_(std::move(sources)) {}

std::vector<std::string> OpenStores::names() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> names;
  for (const StoreSource& source : sources_) names.push_back(source.name);
  return names;
}

bool OpenStores::has(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(sources_, [&](const auto& source) { return source.name == name; });
}

const StoreSource& OpenStores::find(const std::string& name) const {
  const auto found = std::ranges::find(sources_, name, &StoreSource::name);
  if (found != sources_.end()) return *found;
  std::vector<std::string> known;
  for (const StoreSource& source : sources_) known.push_back(source.name);
  const auto nearest = nearest_name(name, known);
  throw NotFound("there is no store \"" + name + "\"",
                 nearest ? "did you mean " + *nearest + "?"
                         : "stores are " + (known.empty() ? "none" : join_names(known)));
}

StoreSource OpenStores::source(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  return find(name);
}

std::vector<StoreSource> OpenStores::sources() const {
  const std::scoped_lock lock(mutex_);
  return sources_;
}

std::shared_ptr<Store> OpenStores::get(const std::string& name) {
  StoreSource source;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto known = open_.find(name); known != open_.end()) return known->second;
    source = find(name);
  }
  std::shared_ptr<Store> store = source.open(std::nullopt);  // may be slow: others are not held up
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find(sources_, name, &StoreSource::name);
  if (found == sources_.end()) return store;  // replaced meanwhile
  return open_.emplace(name, std::move(store)).first->second;
}

void OpenStores::forget(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  open_.erase(name);
}

void OpenStores::replace(std::vector<StoreSource> sources) {
  const std::scoped_lock lock(mutex_);
  sources_ = std::move(sources);
  open_.clear();
}

}  // namespace nearlite::vector_service
