#include "nearlite/base/clock.h"

#include <cstdio>
#include <ctime>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

class SystemClock : public Clock {
 public:
  std::chrono::system_clock::time_point now() const override {
    return std::chrono::system_clock::now();
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto since_epoch =
      std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  auto seconds = static_cast<std::time_t>(since_epoch / 1000);
  auto milliseconds = static_cast<int>(since_epoch % 1000);
  if (milliseconds < 0) {
    milliseconds += 1000;
    --seconds;
  }
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                milliseconds);
  return text;
}

std::chrono::system_clock::time_point parse_rfc3339(const std::string& text) {
  std::tm parts{};
  int used = 0;
  int fields = std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &parts.tm_year, &parts.tm_mon,
                           &parts.tm_mday, &used);
  std::size_t at = static_cast<std::size_t>(used);
  std::int64_t milliseconds = 0;
  int offset_minutes = 0;
  bool good = fields == 3 && at == 10;
  if (good && at < text.size()) {
    good = text[at] == 'T' || text[at] == ' ' || text[at] == 't';
    fields = std::sscanf(text.c_str() + at + 1, "%2d:%2d:%2d%n", &parts.tm_hour, &parts.tm_min,
                         &parts.tm_sec, &used);
    good = good && fields == 3 && used == 8;
    at += 9;
    if (good && at < text.size() && text[at] == '.') {
      std::int64_t scale = 100;
      for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10) {
        milliseconds += (text[at] - '0') * scale;
      }
    }
    if (good && at < text.size() && (text[at] == '+' || text[at] == '-')) {
      int hours = 0;
      int minutes = 0;
      fields = std::sscanf(text.c_str() + at + 1, "%2d:%2d%n", &hours, &minutes, &used);
      good = fields == 2 && used == 5;
      offset_minutes = (text[at] == '+' ? 1 : -1) * (hours * 60 + minutes);
      at += 6;
    } else if (good && at < text.size() && (text[at] == 'Z' || text[at] == 'z')) {
      ++at;
    }
    good = good && at == text.size();
  }
  good = good && parts.tm_mon >= 1 && parts.tm_mon <= 12 && parts.tm_mday >= 1 &&
         parts.tm_year >= 1700 && parts.tm_year <= 2260 &&  // what 64 bits of nanoseconds hold
         parts.tm_mday <= 31 && parts.tm_hour <= 23 && parts.tm_min <= 59 && parts.tm_sec <= 60;
  if (!good) {
    throw InvalidArgument("\"" + text +
                          "\" is not a time; wanted 2026-01-31 or 2026-01-31T12:00:00Z");
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return std::chrono::system_clock::from_time_t(timegm(&parts)) +
         std::chrono::milliseconds(milliseconds) - std::chrono::minutes(offset_minutes);
}

}  // namespace nearlite
