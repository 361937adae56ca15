#include "default_encoder.h"
#include "nearlite/base/error.h"

namespace nearlite {

std::shared_ptr<const TextEncoder> default_encoder(const std::string& model_name) {
  throw NotFound("this build has no encoder for " + model_name +
                 ": give the store one in its options");
}

}  // namespace nearlite
