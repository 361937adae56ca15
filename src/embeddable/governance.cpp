// What the gate says of the rows as they are now, and release from quarantine.
#include "content.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "record_decisions.h"

namespace nearlite {

void EmbeddableDBMixin::scan_governance(
    const std::function<void(const GovernedRecord&)>& visit) const {
  RecordDecisions decisions;
  engine().read(
      [&](Sidecar& sidecar) { decisions = RecordDecisions::of(sidecar, options_.store_name); });
  RecordCursor cursor = iter_records();
  SourceRecord source;
  while (cursor.next(source)) {
    const Content content = content_of(*this, source.record);
    if (content.kind != Content::Kind::kText) continue;
    GovernedRecord record;
    record.released = decisions.released(source.key, content.hash);
    record.key = std::move(source.key);
    record.decision = options_.gate->check(content.text);
    visit(record);
  }
}

void EmbeddableDBMixin::release_from_quarantine(const RecordKey& record_id) {
  const auto row = iter_records().find(record_id);
  if (!row) {
    throw NotFound("the store " + options_.store_name + " has no record " + record_id.display());
  }
  const Content content = content_of(*this, row->record);
  const GateAction action = content.kind == Content::Kind::kText
                                ? options_.gate->check(content.text).action
                                : GateAction::kAllow;
  if (action != GateAction::kQuarantine) {
    throw InvalidArgument(
        "record " + record_id.display() + " is not in quarantine: the rules say " +
            std::string(gate_action_name(action)),
        action == GateAction::kBlock ? "change the action of its rule in governance.toml" : "");
  }
  engine().write([&](Sidecar& sidecar) {
    sidecar.release({options_.store_name, record_id.table, record_id.json}, content.hash);
  });
}

}  // namespace nearlite
