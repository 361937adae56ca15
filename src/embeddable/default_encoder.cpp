#include "default_encoder.h"

namespace nearlite {

std::shared_ptr<const TextEncoder> default_encoder(const std::string& model_name) {
  return lazy_encoder(full_model_name(model_name));
}

}  // namespace nearlite
