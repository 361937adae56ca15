#pragma once

#include <memory>
#include <string>

#include "nearlite/encoder/text_encoder.h"

namespace nearlite {

/// The encoder of a store that names none: looked for at its first use, never downloaded.
std::shared_ptr<const TextEncoder> default_encoder(const std::string& model_name);

}  // namespace nearlite
