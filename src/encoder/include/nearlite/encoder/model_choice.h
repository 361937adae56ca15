#pragma once

#include <string>

#include "nearlite/model/precision.h"

namespace nearlite {

/// A model's name may end in a precision: "all-MiniLM-L6-v2:int8", "folder:fp32".
struct ModelChoice {
  std::string name;  // without it
  Precision precision = Precision::kAuto;
};
/// A folder that is really named so stays what it is.
ModelChoice model_choice_of(const std::string& name);

}  // namespace nearlite
