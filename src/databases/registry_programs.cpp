// Stores that a program registers at run time.
#include <algorithm>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/seed_store.h"
#include "registry_state.h"

namespace nearlite {

void Registry::register_class(StoreClass kind) {
  if (!kind.open) throw InvalidArgument("the class \"" + kind.name + "\" cannot be opened");
  if (kind.class_name.empty()) kind.class_name = kind.name;
  kind.database = folder_ / kind.database;  // an absolute one stays
  add_registered({.name = kind.name,
                  .class_name = kind.class_name,
                  .database = kind.database,
                  .exists = stamp_of(kind.database).has_value(),
                  .sidecar_folder = folder_},
                 kind.aliases);
  state_->classes.emplace(kind.name, std::move(kind));
}

void Registry::register_store(std::shared_ptr<Store> store,
                              const std::vector<std::string>& aliases) {
  if (!store) throw InvalidArgument("there is no store to register");
  const std::string name = store->name();
  add_registered({.name = name,
                  .class_name = store->class_name(),
                  .database = store->database_path(),
                  .exists = true,
                  .sidecar_folder = store->sidecar_path().parent_path()},
                 aliases);
  state_->objects.emplace(name, std::move(store));
}

void Registry::add_registered(StoreEntry entry, const std::vector<std::string>& aliases) {
  const auto check = [&](const std::string& name) {
    check_store_name(name);
    const std::string lower = to_lower_ascii(name);
    const auto is_it = [&](const std::string& other) { return to_lower_ascii(other) == lower; };
    const bool taken =
        std::ranges::any_of(entries_, [&](const StoreEntry& known) { return is_it(known.name); }) ||
        std::ranges::any_of(
            seed_store_kinds(),
            [&](const SeedStoreKind& kind) { return std::ranges::any_of(kind.aliases, is_it); }) ||
        state_->aliases.contains(lower);
    if (taken) throw InvalidArgument("there is a store of the name \"" + name + "\" already");
  };
  check(entry.name);
  std::ranges::for_each(aliases, check);
  for (const std::string& alias : aliases) {
    state_->aliases.emplace(to_lower_ascii(alias), entry.name);
  }
  entry.registered = true;
  const auto place = std::ranges::find_if(entries_, [&](const StoreEntry& known) {
    return !known.seed_store && known.name > entry.name;
  });
  entries_.insert(place, std::move(entry));
}

std::shared_ptr<Store> Registry::open_registered(const StoreEntry& entry) const {
  const auto object = state_->objects.find(entry.name);
  if (object != state_->objects.end()) return object->second;
  const StoreClass& kind = state_->classes.at(entry.name);
  if (!stamp_of(kind.database)) {
    throw NotFound("there is no " + kind.database.string() + ", the database of " + entry.name);
  }
  EmbeddableOptions options;
  options.index_path = folder_ / (entry.name + "_embeddings.index");
  options.store_name = entry.name;
  options = with_settings(std::move(options), entry, {}, std::nullopt);
  options.keeps_model = false;  // the program knows what it does
  std::shared_ptr<Store> store = kind.open(kind.database, std::move(options));
  if (!store) throw NotFound("the class " + entry.class_name + " made no store");
  return store;
}

}  // namespace nearlite
