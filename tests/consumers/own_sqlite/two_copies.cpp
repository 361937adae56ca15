// Exit 0 if nearlite notices that a handle comes from another copy of SQLite than its own.
#include <nearlite/core.h>

#include <cstdio>

extern "C" sqlite3* host_open_database();

namespace {

class EmptyDB : public nearlite::EmbeddableDBMixin {
 public:
  explicit EmptyDB(sqlite3* db) : EmbeddableDBMixin(db, {}) {}
  nearlite::RecordCursor iter_records() const override { return nearlite::RecordCursor::of({}); }
};

}  // namespace

int main() {
  try {
    const EmptyDB store(host_open_database());
  } catch (const nearlite::InvalidArgument& error) {
    std::printf("refused: %s\n", error.what());
    return 0;
  }
  std::printf("the handle of another SQLite was taken\n");
  return 1;
}
