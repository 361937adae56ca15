#pragma once

#include <sqlite3.h>

namespace nearlite {

/// nearlite_rank(keyword): BM25 of the current passage, k1 = 1.2, b = 0.75, with the inverse
/// document frequency ln(1 + (N - n + 0.5) / (n + 0.5)), which is above 0 also for a word that most
/// passages of a small store hold. nearlite_rank(keyword, 'greatest'): what no passage can exceed
/// for this question, the sum over its words of idf * (k1 + 1), also of words that no passage
/// holds: a question half of which the store has never heard of is answered by half at best.
/// nearlite_rank(keyword, 'times'), for a question of one word: how often the passage holds it <<
/// 32 | tokens of the passage.
void keyword_rank(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* result, int count,
                  sqlite3_value** arguments);

/// The inverse document frequency of a word that `n` of `rows` passages hold.
double bm25_idf(double rows, double n);
/// What a word contributes to a passage that holds it `times`, and what it contributes at most.
double bm25_part(double idf, double times, double tokens, double average_tokens);
double bm25_greatest(double idf);

}  // namespace nearlite
