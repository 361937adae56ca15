#pragma once

#include <string>
#include <vector>

#include "nearlite/databases/seed_store.h"

namespace nearlite {

/// What tells one seed class from another (reference §3).
struct SeedStore::Traits {
  struct Source {
    std::string table;
    std::string key_column;
    std::string key_space;  // RecordKey::table
  };
  std::string name;
  std::string class_name;
  std::string origin;
  std::string kind;
  std::string index_file;
  std::string metadata_file;
  std::string text_template;        // names how text() is made
  std::vector<std::string> schema;  // CREATE ... IF NOT EXISTS
  std::vector<Source> sources;      // the first one must exist
  std::vector<std::string> shown;   // key and text columns
};

}  // namespace nearlite
