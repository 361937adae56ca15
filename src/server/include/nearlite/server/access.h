#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite::server {

/// What a caller may do. read: ask, see stores and records, embed texts. write: start and stop
/// backfills, log outcomes. metrics: /metrics. admin: everything.
enum class Right { kNone, kRead, kWrite, kMetrics, kAdmin };
std::string_view right_name(Right right);

/// What one token allows.
struct Grant {
  std::string name{};  // for logs: never the token
  std::set<Right> rights{};
  bool all_stores = true;
  std::set<std::string> stores{};  // if not all_stores

  bool allows(Right right) const {
    return rights.contains(right) || rights.contains(Right::kAdmin);
  }
  bool allows_store(const std::string& store) const { return all_stores || stores.contains(store); }
  /// Everything: the grant of callers on this machine when there are no tokens.
  static Grant full();
};

/// The tokens of a service. Only their SHA-256 is kept, and a comparison takes equally long for
/// every token.
class TokenList {
 public:
  /// Lines `TOKEN [rights=read,write,metrics,admin] [stores=a,b] [name=NAME]`; without rights: all;
  /// # begins a comment. Throws InvalidArgument with file and line: a file that others can read or
  /// that holds no token, a token given twice, unknown rights.
  static TokenList read(const std::filesystem::path& file);
  static TokenList parse(std::string_view text, const std::string& origin);

  bool empty() const noexcept { return entries_.empty(); }
  /// nullptr if there is no such token.
  const Grant* find(std::string_view token) const;

 private:
  struct Entry {
    std::string digest;  // SHA-256, hex
    Grant grant;
  };
  std::vector<Entry> entries_;
};

/// Which names this service is called by: what keeps web pages of others out, also those whose name
/// was made to point here (DNS rebinding).
class HostRule {
 public:
  /// localhost, 127.0.0.1, [::1] and `more` (names without a port).
  explicit HostRule(const std::vector<std::string>& more = {});
  /// A Host header, with or without a port.
  bool allows_host(std::string_view host) const;
  /// An Origin header: the request's own host, or an allowed name that is not of this machine.
  bool allows_origin(std::string_view origin, std::string_view host) const;

 private:
  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> added_;
};

}  // namespace nearlite::server
