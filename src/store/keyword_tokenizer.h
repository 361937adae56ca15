#pragma once

struct sqlite3;

namespace nearlite {

/// Makes the FTS5 tokenizer `nearlite` and the function `nearlite_rank` known to this connection.
/// The tokenizer gives words as `porter unicode61 remove_diacritics 2` does, and characters of
/// scripts without spaces (Chinese, Japanese, Korean, Thai, ...) as overlapping pairs: most
/// Chinese words have two characters, which the trigrams of SQLite cannot find. False if this
/// SQLite has no FTS5. Throws StoreError.
bool register_keywords(sqlite3* db);

}  // namespace nearlite
