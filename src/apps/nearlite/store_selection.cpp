#include "store_selection.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"
#include "nearlite/databases/config.h"

namespace nearlite::cli {
namespace {

constexpr std::size_t kMostStores = 256;

void check_config_file(const std::string& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (error || !std::filesystem::exists(status)) {
    throw InvalidArgument("--config " + file + ": " +
                          (error ? error.message() : "No such file or directory"));
  }
  if (!std::filesystem::is_regular_file(status))
    throw InvalidArgument("--config " + file + " is not a regular file");
}

class Selection {
 public:
  Selection(const Context& context, const StoreArguments& arguments, const StoreSettings& settings)
      : context_(context),
        settings_(settings),
        files_(arguments.files.begin(), arguments.files.end()) {
    for (const std::string& db : arguments.dbs) {
      if (is_existing_file(db)) {
        files_.emplace_back(db);
      } else {
        names_.push_back(db);
      }
    }
    names_.insert(names_.end(), arguments.names.begin(), arguments.names.end());
    if (names_.size() > kMostStores || files_.size() > kMostStores) {
      throw InvalidArgument("more than " + std::to_string(kMostStores) + " stores were named");
    }
    for (const std::string& name : names_) check_store_name(name);
    if (!arguments.sidecar.empty()) {
      if (files_.size() != 1) throw InvalidArgument("--sidecar goes with one database file");
      sidecar_ = arguments.sidecar;
    }
    if (!files_.empty())
      of_files_ = std::make_shared<Registry>(Registry::of_files(files_, settings_, sidecar_));
  }

  std::vector<SelectedStore> run(bool all) {
    for (const std::string& name : names_) add_named(name);
    const bool files_as_a_whole = of_files_ && (names_.empty() || !name_in_file_);
    if (files_as_a_whole) add_all(of_files_);
    if (all || (names_.empty() && !of_files_)) add_all(folder());
    return std::move(selected_);
  }

 private:
  const std::shared_ptr<const Registry>& folder() {
    if (!of_folder_) of_folder_ = folder_registry(context_, settings_);
    return of_folder_;
  }

  /// With database files a name is one of their stores, else one of the data folder.
  void add_named(const std::string& name) {
    if (of_files_) {
      try {
        add(of_files_, of_files_->entry(name), name);
        name_in_file_ = true;
        return;
      } catch (const NotFound&) {
        if (std::ranges::none_of(folder()->entries(),
                                 [&](const StoreEntry& entry) { return entry.name == name; }))
          throw;
      }
    }
    add(folder(), folder()->entry(name), name);
  }

  void add(const std::shared_ptr<const Registry>& registry, const StoreEntry& entry,
           const std::string& asked) {
    if (!entry.exists) registry->open(entry);  // throws, with what to do
    if (has(entry)) {
      context_.note("store " + entry.name + " was named twice (" + asked + "), it is taken once");
      return;
    }
    selected_.push_back({registry, entry});
  }

  void add_all(const std::shared_ptr<const Registry>& registry) {
    for (const StoreEntry& entry : registry->entries()) {
      if (entry.exists && !has(entry)) selected_.push_back({registry, entry});
    }
  }

  bool has(const StoreEntry& entry) const {
    return std::ranges::any_of(selected_, [&](const SelectedStore& store) {
      return store.entry.name == entry.name && store.entry.database == entry.database;
    });
  }

  const Context& context_;
  const StoreSettings& settings_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::string> names_;
  std::optional<std::filesystem::path> sidecar_;
  std::shared_ptr<const Registry> of_files_;
  std::shared_ptr<const Registry> of_folder_;
  bool name_in_file_ = false;
  std::vector<SelectedStore> selected_;
};

}  // namespace

void add_store_options(CLI::App& command, StoreArguments& arguments, DbForm form) {
  auto* db =
      command.add_option("--db", arguments.dbs, "A store, or a database file; may be repeated");
  db->type_name("DB")->allow_extra_args(form == DbForm::kList);
  add_list(command, "--store", arguments.names, "As --db, for store names only")->type_name("NAME");
  command
      .add_option("--sidecar", arguments.sidecar,
                  "Where the index of the database file is (default: DB.nearlite beside it)")
      ->type_name("DIR");
}

void add_store_arguments(CLI::App& command, StoreArguments& arguments, DbForm form) {
  command.add_option("DB", arguments.files, "Database files");
  add_store_options(command, arguments, form);
}

vector_service::StoreSource SelectedStore::source() const {
  return vector_service::source_of(registry, entry);
}

std::string SelectedStore::refresh_command(const Context& context) const {
  if (!entry.seed_store && entry.sidecar_folder != context.data_folder()) {
    return "nearlite index " + entry.database.string();
  }
  const std::string folder =
      context.options.data_dir.empty() ? "" : " --data-dir " + context.options.data_dir;
  return "nearlite backfill" + folder + " --db " + entry.name;
}

StoreSettings store_settings(const Context& context, std::optional<Backend> backend) {
  StoreSettings settings;
  settings.backend = backend;
  settings.data_folder = context.data_folder();
  settings.default_model = context.environment.model.value_or("");
  settings.places = context.model_places();
  settings.encoder = context.encoder_options();
  settings.memory = context.memory();
  settings.memory_is_given = context.memory_is_given();
  if (context.environment.enhancement_database) {
    settings.enhancement_database = *context.environment.enhancement_database;
  }
  return settings;
}

std::shared_ptr<const Registry> folder_registry(const Context& context,
                                                const StoreSettings& settings) {
  std::optional<std::filesystem::path> config;
  if (!context.options.config.empty()) {
    check_config_file(context.options.config);
    config = context.options.config;
  }
  return std::make_shared<Registry>(Registry::of_folder(context.data_folder(), settings, config));
}

std::vector<SelectedStore> select_stores(const Context& context, const StoreArguments& arguments,
                                         const StoreSettings& settings) {
  return Selection(context, arguments, settings).run(arguments.all);
}

bool is_existing_file(const std::string& argument) {
  std::error_code error;
  return std::filesystem::exists(argument, error) &&
         !std::filesystem::is_directory(argument, error);
}

}  // namespace nearlite::cli
