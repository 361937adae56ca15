#pragma once

#include <span>

#include "store_reply.h"

namespace nearlite {

/// Makes the scores of the hits of all replies comparable: each store's places are judged by their
/// cosines, and by the greatest background of the stores of the same model (confidence.h), which
/// makes the confidence and so the score. Hits of a store that is not calibrated stand where they
/// would and claim no confidence. Where none is calibrated the score stays the evidence. At last,
/// hits that say an identifier or a phrase of the question are raised above all others. The parts
/// of each hit add up to its new score.
void score_replies(std::span<StoreReply> replies);

/// Multiplies the score and every part.
void scale_score(RetrievalHit& hit, double factor);

}  // namespace nearlite
