#pragma once

#include <nlohmann/json.hpp>

#include "nearlite/service/result_json.h"

namespace nearlite::cli {

/// Keys keep the order in which they were put in: what is printed reads as the documentation shows
/// it.
using Json = nlohmann::ordered_json;

}  // namespace nearlite::cli
