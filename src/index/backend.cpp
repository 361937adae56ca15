#include <array>
#include <string>
#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {
namespace {

constexpr std::array<std::pair<std::string_view, Backend>, 5> kBackends{{
    {"auto", Backend::kAuto},
    {"annoy", Backend::kAnnoy},
    {"faiss", Backend::kFaiss},
    {"flat", Backend::kFlat},
    {"graph", Backend::kGraph},
}};

}  // namespace

Backend backend_of(std::string_view name) {
  const std::string wanted = to_lower_ascii(name);
  for (const auto& [known, backend] : kBackends) {
    if (known == wanted) return backend;
  }
  throw InvalidArgument("unknown backend '" + std::string(name) + "'",
                        "use auto, annoy, faiss, flat or graph");
}

std::string_view backend_name(Backend backend) {
  for (const auto& [name, known] : kBackends) {
    if (known == backend) return name;
  }
  throw InvalidArgument("no backend has the number " + std::to_string(static_cast<int>(backend)));
}

}  // namespace nearlite
