#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nearlite/service/embedding_backfill.h"

namespace nearlite::vector_service {

/// The stores that a service answers from: opened at their first use and kept open. For any number
/// of threads; a store may be searched by several at once.
class OpenStores {
 public:
  explicit OpenStores(std::vector<StoreSource> sources);

  /// In the order given.
  std::vector<std::string> names() const;
  bool has(const std::string& name) const;
  /// Throws NotFound with the nearest name.
  StoreSource source(const std::string& name) const;
  std::vector<StoreSource> sources() const;
  /// Throws NotFound for an unknown name, else what opening it throws.
  std::shared_ptr<Store> get(const std::string& name);
  /// The next get() opens it again: it failed, or its file was replaced.
  void forget(const std::string& name);
  /// Other sources from now on. Stores in use go on until they are let go.
  void replace(std::vector<StoreSource> sources);

 private:
  const StoreSource& find(const std::string& name) const;

  mutable std::mutex mutex_;
  std::vector<StoreSource> sources_;
  std::map<std::string, std::shared_ptr<Store>> open_;
};

}  // namespace nearlite::vector_service
