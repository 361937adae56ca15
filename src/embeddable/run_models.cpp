#include "run_models.h"

#include <algorithm>

#include "mixin_state.h"

namespace nearlite {

void RunModels::load(Sidecar& sidecar) { known_ = sidecar.models(db_.options().store_name); }

RunModels::Model& RunModels::find(const Content& content) {
  std::optional<Model>& model = content.kind == Content::Kind::kVector ? own_ : text_;
  const bool fits =
      model && (content.kind == Content::Kind::kText || model->dim == content.vector.size());
  if (fits) return *model;
  model = Model{};
  if (content.kind == Content::Kind::kVector) {
    model->dim = content.vector.size();
    model->identity = own_identity(model->dim);
    model->name = "vectors of the store's own";
  } else {
    const ModelInfo& info = db_.encoder().info();
    model->dim = info.dim;
    model->identity = info.identity;
    model->name = info.name;
  }
  const EmbeddableOptions& options = db_.options();
  for (const ModelGeneration& known : known_) {
    if (known.identity == model->identity && known.dim == model->dim &&
        known.text_template == options.text_template &&
        known.embedding_version == options.embedding_version) {
      model->id = known.id;
    }
  }
  return *model;
}

const RunModels::Model& RunModels::stored(Sidecar& sidecar, const Content& content) {
  Model& model = find(content);
  if (model.id == 0) {
    const EmbeddableOptions& options = db_.options();
    model.id =
        sidecar.put_model(options.store_name, {0, model.name, model.identity, model.dim,
                                               options.text_template, options.embedding_version});
  }
  return model;
}

bool RunModels::is_settled(const KnownRecords::Entry& known) {
  if (known.damaged) return false;
  if (known.model == 0) return known.state != RecordState::kBlocked || known.same_rules;
  const auto [settled, is_new] = settled_.try_emplace(known.model, Settled::kNo);
  if (is_new) {
    const auto model = std::ranges::find(known_, known.model, &ModelGeneration::id);
    if (model != known_.end() && is_current(db_, *model)) {
      settled->second = is_own_identity(model->identity) ? Settled::kYes : Settled::kByTheseRules;
    }
  }
  return settled->second == Settled::kYes ||
         (settled->second == Settled::kByTheseRules && known.same_rules);
}

}  // namespace nearlite
