#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "nearlite/store/sidecar.h"

namespace nearlite {

/// Gives a prepared statement back reset, also when the use of it threw.
class Prepared {
 public:
  explicit Prepared(Statement& statement) : statement_(statement) { statement_.reset(); }
  ~Prepared() { statement_.reset(); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
  Statement* operator->() { return &statement_; }

 private:
  Statement& statement_;
};

struct Sidecar::State {
  State(std::filesystem::path path, Connection opened, const Clock& time)
      : file(std::move(path)), db(std::move(opened)), clock(time) {}

  /// The statement of this text, prepared once; `sql` is a literal.
  Prepared sql(std::string_view text) {
    auto found = statements.find(text);
    if (found == statements.end()) found = statements.emplace(text, db.prepare(text)).first;
    return Prepared(found->second);
  }
  std::string now() const { return rfc3339(clock.now()); }

  std::filesystem::path file;
  Connection db;
  const Clock& clock;
  std::map<std::string_view, Statement> statements;  // destroyed before db
};

}  // namespace nearlite
