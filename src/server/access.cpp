#include "nearlite/server/access.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"

namespace nearlite::server {
namespace {

constexpr std::uint64_t kMostFileBytes = 1 << 20;
constexpr std::size_t kMostTokenBytes = 512;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

Right right_of(const std::string& name, const std::string& place) {
  for (const Right right : {Right::kRead, Right::kWrite, Right::kMetrics, Right::kAdmin}) {
    if (name == right_name(right)) return right;
  }
  throw InvalidArgument(place + ": unknown right \"" + name + "\"",
                        "rights are read, write, metrics and admin");
}

void read_setting(Grant& grant, const std::string& word, const std::string& place) {
  const std::size_t equals = word.find('=');
  const std::string key = word.substr(0, equals);
  const std::vector<std::string> values = equals == std::string::npos
                                              ? std::vector<std::string>{}
                                              : split(word.substr(equals + 1), ',');
  if (values.empty())
    throw InvalidArgument(place + ": behind the token stand rights=..., stores=... or name=...");
  if (key == "rights") {
    grant.rights.clear();
    for (const std::string& value : values) grant.rights.insert(right_of(value, place));
  } else if (key == "stores") {
    grant.all_stores = false;
    grant.stores.insert(values.begin(), values.end());
  } else if (key == "name") {
    grant.name = values.front();
  } else {
    throw InvalidArgument(place + ": unknown setting \"" + key + "\"",
                          "settings are rights, stores and name");
  }
}

/// Equal digests, in a time that does not depend on where they differ.
bool same_digest(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  return difference == 0;
}

/// "localhost:8642" -> "localhost"; "[::1]:8642" -> "[::1]".
std::string_view without_port(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  const std::size_t bracket = host.rfind(']');
  if (colon == std::string_view::npos) return host;
  if (bracket != std::string_view::npos && colon < bracket) return host;
  const std::string_view port = host.substr(colon + 1);
  const bool digits = std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  return digits ? host.substr(0, colon) : host;
}

}  // namespace

std::string_view right_name(Right right) {
  switch (right) {
    case Right::kNone:
      return "none";
    case Right::kRead:
      return "read";
    case Right::kWrite:
      return "write";
    case Right::kMetrics:
      return "metrics";
    case Right::kAdmin:
      break;
  }
  return "admin";
}

Grant Grant::full() {
  Grant grant;
  grant.name = "local";
  grant.rights = {Right::kAdmin};
  return grant;
}

TokenList TokenList::read(const std::filesystem::path& file) {
  struct stat about {};
  if (stat(file.c_str(), &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & 077) != 0) {
    throw InvalidArgument("others can read the token file " + file.string(),
                          "chmod 600 " + file.string());
  }
  return parse(read_file(file, kMostFileBytes), file.string());
}

TokenList TokenList::parse(std::string_view text, const std::string& origin) {
  TokenList list;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string place = origin + ", line " + std::to_string(++number);
    std::ranges::replace(line, '\t', ' ');
    std::ranges::replace(line, '\r', ' ');
    const std::vector<std::string> words = split(line, ' ');
    if (words.empty() || words.front().starts_with('#')) continue;
    if (words.front().size() > kMostTokenBytes)
      throw InvalidArgument(place + ": the token is longer than 512 bytes");
    Entry entry;
    entry.digest = sha256_hex(words.front());
    entry.grant = Grant::full();
    entry.grant.name = "token " + std::to_string(list.entries_.size() + 1);
    for (std::size_t i = 1; i < words.size() && !words[i].starts_with('#'); ++i)
      read_setting(entry.grant, words[i], place);
    const auto same = [&](const Entry& other) { return other.digest == entry.digest; };
    if (std::ranges::any_of(list.entries_, same))
      throw InvalidArgument(place + ": this token was given before");
    list.entries_.push_back(std::move(entry));
  }
  if (list.entries_.empty()) {
    throw InvalidArgument(origin + " holds no token",
                          "one per line; openssl rand -hex 32 makes a good one");
  }
  return list;
}

const Grant* TokenList::find(std::string_view token) const {
  const std::string digest = sha256_hex(token.substr(0, kMostTokenBytes + 1));
  const Grant* found = nullptr;
  for (const Entry& entry : entries_) {  // always to the end
    if (same_digest(entry.digest, digest)) found = &entry.grant;
  }
  return found;
}

HostRule::HostRule(const std::vector<std::string>& more)
    : names_({"localhost", "127.0.0.1", "[::1]"}) {
  for (const std::string& name : more) {
    std::string lower = to_lower_ascii(name);
    if (lower.find(':') != std::string::npos && !lower.starts_with('['))
      lower = "[" + lower + "]";  // an IPv6 address
    if (names_.insert(lower).second) added_.insert(lower);
  }
}

bool HostRule::allows_host(std::string_view host) const {
  return names_.contains(to_lower_ascii(without_port(host)));
}

bool HostRule::allows_origin(std::string_view origin, std::string_view host) const {
  const std::size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return false;  // also "null"
  const std::string_view kind = origin.substr(0, scheme);
  if (kind != "http" && kind != "https") return false;
  const std::string authority = to_lower_ascii(origin.substr(scheme + 3));
  return authority == to_lower_ascii(host) || added_.contains(without_port(authority));
}

}  // namespace nearlite::server
