#include "nearlite/service/log_sink.h"

#include <algorithm>
#include <array>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"debug", "info", "warning", "error", "off"};

class NullLogSink : public LogSink {
 public:
  void write(const LogRecord& /*record*/) noexcept override {}
};

}  // namespace

std::string_view log_level_name(LogLevel level) {
  return kNames.at(static_cast<std::size_t>(level));
}

LogLevel log_level_of(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (to_lower_ascii(name) == kNames[i]) return static_cast<LogLevel>(i);
  }
  throw InvalidArgument("unknown log level \"" + std::string(name) + "\"",
                        "use debug, info, warning, error or off");
}

void TaggedLog::write(const LogRecord& record) noexcept {
  try {
    LogRecord tagged = record;
    for (const auto& field : fields_) {
      const auto same = [&](const auto& known) { return known.first == field.first; };
      if (std::ranges::none_of(tagged.fields, same)) tagged.fields.push_back(field);
    }
    inner_.write(tagged);
  } catch (const std::exception&) {  // out of memory: better without the fields than not at all
    inner_.write(record);
  }
}

LogSink& null_log_sink() {
  static NullLogSink sink;
  return sink;
}

}  // namespace nearlite
