#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace nearlite {

/// What is recorded of one hit (reference 6.9).
struct RetrievalOutcome {
  std::string origin_db{};
  std::string db_type{};  // kind of the record
  std::string record_id{};
  std::string vector_id{};  // the same: a record is what a vector belongs to
  std::size_t rank = 0;     // 1 is the best
  double score = 0;
  double win_rate = 0;  // of the origin, as are the next two
  double regret_rate = 0;
  double reliability_score = 0;
  std::size_t sample_count = 0;  // of them
  bool hit = true;
  double hit_rate = 0;  // of the call: returned of what was found
  std::string session_id{};
  std::optional<double> age{};  // seconds since the record was last updated
  double similarity = 0;        // cosine; 0 if it was not compared by vector
  double context_score = 0;     // of its signal: 0 to 1
  double frequency = 0;         // its signals; 0 where it has none
  double roi_delta = 0;
  double usage = 0;
  std::size_t prior_hits = 0;  // earlier calls of the same retriever that returned it
  std::size_t tokens = 0;      // of what is shown: length of its fields as JSON / 4
};

/// One line of JSON without a newline.
std::string to_json(const RetrievalOutcome& outcome);

}  // namespace nearlite
