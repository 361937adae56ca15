#include "keyword_rank.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <vector>

namespace nearlite {
namespace {

constexpr double kK1 = 1.2;
constexpr double kB = 0.75;

/// What is the same for all rows of one query.
struct QueryWeights {
  std::vector<double> idf;  // by phrase
  double average_tokens = 1;
  double greatest = 0;
  std::vector<double> frequency;  // by phrase, of the row at hand
};

int count_row(const Fts5ExtensionApi*, Fts5Context*, void* count) {
  ++*static_cast<std::int64_t*>(count);
  return SQLITE_OK;
}

int make_weights(const Fts5ExtensionApi* api, Fts5Context* fts, QueryWeights& weights) {
  sqlite3_int64 rows = 0;
  sqlite3_int64 tokens = 0;
  if (const int code = api->xRowCount(fts, &rows); code != SQLITE_OK) return code;
  if (const int code = api->xColumnTotalSize(fts, -1, &tokens); code != SQLITE_OK) return code;
  const auto num_rows = static_cast<double>(std::max<sqlite3_int64>(rows, 1));
  weights.average_tokens = std::max(static_cast<double>(tokens) / num_rows, 1.0);
  const int phrases = api->xPhraseCount(fts);
  for (int phrase = 0; phrase < phrases; ++phrase) {
    std::int64_t hits = 0;
    if (const int code = api->xQueryPhrase(fts, phrase, &hits, &count_row); code != SQLITE_OK)
      return code;
    const double idf = bm25_idf(num_rows, static_cast<double>(hits));
    weights.idf.push_back(idf);
    weights.greatest += bm25_greatest(idf);
  }
  weights.frequency.resize(weights.idf.size());
  return SQLITE_OK;
}

int weights_of(const Fts5ExtensionApi* api, Fts5Context* fts, QueryWeights*& weights) {
  weights = static_cast<QueryWeights*>(api->xGetAuxdata(fts, 0));
  if (weights != nullptr) return SQLITE_OK;
  auto made = std::make_unique<QueryWeights>();
  if (const int code = make_weights(api, fts, *made); code != SQLITE_OK) return code;
  weights = made.release();
  return api->xSetAuxdata(fts, weights,
                          [](void* data) { delete static_cast<QueryWeights*>(data); });
}

int score_row(const Fts5ExtensionApi* api, Fts5Context* fts, QueryWeights& weights, double& score) {
  int instances = 0;
  int tokens = 0;
  if (const int code = api->xInstCount(fts, &instances); code != SQLITE_OK) return code;
  if (const int code = api->xColumnSize(fts, -1, &tokens); code != SQLITE_OK) return code;
  std::ranges::fill(weights.frequency, 0.0);
  for (int i = 0; i < instances; ++i) {
    int phrase = 0;
    int column = 0;
    int offset = 0;
    if (const int code = api->xInst(fts, i, &phrase, &column, &offset); code != SQLITE_OK)
      return code;
    weights.frequency[static_cast<std::size_t>(phrase)] += 1;
  }
  score = 0;
  for (std::size_t i = 0; i < weights.idf.size(); ++i)
    score += bm25_part(weights.idf[i], weights.frequency[i], tokens, weights.average_tokens);
  return SQLITE_OK;
}

int count_times(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_int64& packed) {
  int instances = 0;
  int tokens = 0;
  if (const int code = api->xInstCount(fts, &instances); code != SQLITE_OK) return code;
  if (const int code = api->xColumnSize(fts, -1, &tokens); code != SQLITE_OK) return code;
  packed = sqlite3_int64{instances} << 32 | tokens;
  return SQLITE_OK;
}

}  // namespace

double bm25_idf(double rows, double n) { return std::log(1 + (rows - n + 0.5) / (n + 0.5)); }

double bm25_part(double idf, double times, double tokens, double average_tokens) {
  const double length = kK1 * (1 - kB + kB * tokens / average_tokens);
  return idf * (times * (kK1 + 1) / (times + length));
}

double bm25_greatest(double idf) { return idf * (kK1 + 1); }

void keyword_rank(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* result, int count,
                  sqlite3_value** arguments) {
  try {
    const auto* what =
        count > 0 ? reinterpret_cast<const char*>(sqlite3_value_text(arguments[0])) : nullptr;
    if (what != nullptr && std::string_view(what) == "times") {
      sqlite3_int64 packed = 0;
      if (const int failed = count_times(api, fts, packed); failed != SQLITE_OK) {
        sqlite3_result_error_code(result, failed);
      } else {
        sqlite3_result_int64(result, packed);
      }
      return;
    }
    QueryWeights* weights = nullptr;
    double value = 0;
    int code = weights_of(api, fts, weights);
    if (code == SQLITE_OK && count > 0) value = weights->greatest;
    if (code == SQLITE_OK && count == 0) code = score_row(api, fts, *weights, value);
    if (code == SQLITE_OK) {
      sqlite3_result_double(result, value);
    } else {
      sqlite3_result_error_code(result, code);
    }
  } catch (const std::exception&) {  // nothing of C++ may pass through SQLite
    sqlite3_result_error_nomem(result);
  }
}

}  // namespace nearlite
