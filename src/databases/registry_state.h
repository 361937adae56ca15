#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "nearlite/databases/governance_rules.h"
#include "nearlite/databases/registry.h"
#include "nearlite/governance/rule_gate.h"

namespace nearlite {

/// Configuration by registry name, and the encoders that stores share.
struct Registry::State {
  std::map<std::string, TableConfig> tables;
  std::map<std::string, SeedConfig> seeds;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const TextEncoder>> encoders;
  std::map<std::string, std::shared_ptr<const Gate>> gates;  // by rule set and level
  // What a program registered, by name.
  std::map<std::string, StoreClass> classes;
  std::map<std::string, std::shared_ptr<Store>> objects;
  std::map<std::string, std::string> aliases;  // lower case, to the name

  std::shared_ptr<const Gate> gate_of(const RulesInForce& rules, GateLevel level) {
    const std::scoped_lock lock(mutex);
    std::shared_ptr<const Gate>& gate =
        gates[rules.file.string() + "\n" + std::string(gate_level_name(level))];
    if (!gate) gate = std::make_shared<RuleGate>(rules.rules, level);
    return gate;
  }

  std::shared_ptr<const TextEncoder> encoder_of(const std::string& model,
                                                const StoreSettings& settings) {
    if (settings.shared_encoder &&
        full_model_name(settings.shared_encoder->info().name) == full_model_name(model)) {
      return settings.shared_encoder;
    }
    const std::scoped_lock lock(mutex);
    std::shared_ptr<const TextEncoder>& encoder = encoders[full_model_name(model)];
    if (!encoder) encoder = lazy_encoder(model, settings.places, settings.encoder);
    return encoder;
  }
};

}  // namespace nearlite
