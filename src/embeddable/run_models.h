#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "content.h"
#include "known_records.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// The generations that the vectors of a run belong to, looked up once however many records there
/// are.
class RunModels {
 public:
  struct Model {
    std::string name;
    std::string identity;
    std::size_t dim = 0;
    std::int64_t id = 0;  // 0: not in the sidecar yet
  };

  explicit RunModels(const EmbeddableDBMixin& db) : db_(db) {}
  /// Reads what the sidecar knows.
  void load(Sidecar& sidecar);

  /// The generation that a text or vector of this kind would get. Throws as TextEncoder::info().
  const Model& of(const Content& content) { return find(content); }
  /// The same, with its row in the sidecar.
  const Model& stored(Sidecar& sidecar, const Content& content);
  /// Whether a record whose text has not changed needs nothing.
  bool is_settled(const KnownRecords::Entry& known);

 private:
  enum class Settled { kNo, kYes, kByTheseRules };
  Model& find(const Content& content);

  const EmbeddableDBMixin& db_;
  std::vector<ModelGeneration> known_;
  std::optional<Model> text_;
  std::optional<Model> own_;                 // of vectors of the store's own
  std::map<std::int64_t, Settled> settled_;  // by generation
};

}  // namespace nearlite
