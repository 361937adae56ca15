#pragma once

#include <string>

namespace nearlite {

/// Names the instruction sets that this processor offers but computes wrongly with, as a test of
/// the first use found; they are not used. Blank if there are none.
const std::string& kernel_warning();

}  // namespace nearlite
