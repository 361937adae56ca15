#pragma once

#include <string_view>

#include "nearlite/model/precision.h"

namespace nearlite {

/// Vectors of the same class may stand beside one another: "float" for all precisions that agree
/// with fp32 to a cosine of 0.9999, and for int8 a name that changes with every change of what is
/// rounded, and how.
std::string_view precision_class(Precision precision);

}  // namespace nearlite
