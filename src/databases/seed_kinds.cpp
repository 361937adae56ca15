#include <array>

#include "nearlite/databases/bot_db.h"
#include "nearlite/databases/enhancement_db.h"
#include "nearlite/databases/error_db.h"
#include "nearlite/databases/info_db.h"
#include "nearlite/databases/information_db.h"
#include "nearlite/databases/seed_store.h"
#include "nearlite/databases/workflow_db.h"

namespace nearlite {
namespace {

template <typename T>
std::unique_ptr<Store> open_as(const std::filesystem::path& database, SeedStoreOptions seed,
                               EmbeddableOptions options) {
  return std::make_unique<T>(database, std::move(seed), std::move(options));
}

template <typename T>
SeedStoreKind kind(const char* name, const char* class_name, const char* file,
                   std::vector<std::string> aliases) {
  return {.name = name,
          .class_name = class_name,
          .file = file,
          .aliases = std::move(aliases),
          .default_options = &T::default_options,
          .open = &open_as<T>};
}

}  // namespace

std::span<const SeedStoreKind> seed_store_kinds() {
  static const std::array<SeedStoreKind, 6> kKinds{
      kind<BotDB>("bot", "BotDB", "bots.db", {"bots", "botdb"}),
      kind<WorkflowDB>("workflow", "WorkflowDB", "workflows.db", {"workflows", "workflowdb"}),
      kind<ErrorDB>("error", "ErrorDB", "errors.db", {"errors", "errordb"}),
      kind<InformationDB>("information", "InformationDB", "information.db",
                          {"info", "infodb", "informationdb"}),
      kind<EnhancementDB>("enhancement", "EnhancementDB", "enhancements.db",
                          {"enhancements", "enhancementdb"}),
      kind<InfoDB>("research", "InfoDB", "information.db", {"researchdb"}),
  };
  return kKinds;
}

}  // namespace nearlite
