#include "nearlite/retrieval/retrieval_outcome.h"

#include <nlohmann/json.hpp>

namespace nearlite {

std::string to_json(const RetrievalOutcome& outcome) {
  nlohmann::ordered_json json = {
      {"origin_db", outcome.origin_db},
      {"db_type", outcome.db_type},
      {"record_id", outcome.record_id},
      {"vector_id", outcome.vector_id},
      {"rank", outcome.rank},
      {"score", outcome.score},
      {"win_rate", outcome.win_rate},
      {"regret_rate", outcome.regret_rate},
      {"hit", outcome.hit},
      {"session_id", outcome.session_id},
      {"age", nullptr},
      {"similarity", outcome.similarity},
      {"context_score", outcome.context_score},
      {"frequency", outcome.frequency},
      {"roi_delta", outcome.roi_delta},
      {"usage", outcome.usage},
      {"prior_hits", outcome.prior_hits},
      {"reliability_score", outcome.reliability_score},
      {"sample_count", outcome.sample_count},
      {"hit_rate", outcome.hit_rate},
      {"tokens", outcome.tokens},
  };
  if (outcome.age) json["age"] = *outcome.age;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace nearlite
