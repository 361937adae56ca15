#pragma once

#include <span>
#include <vector>

namespace nearlite {

/// The probability that a hit is relevant: 1 / (1 + e^-(offset + level * l + background * b)),
/// where l is the cosine of its place (levels_of) and b the mean cosine of the question with a
/// sample of the store, which is what a row that has nothing to do with it reaches; of several
/// stores the greatest such mean, since a question is of the field of the store that is nearest to
/// it as a whole. The coefficients were fitted on judged questions, asked of their own store and of
/// several (docs/benchmarks/retrieval.md).
double confidence_of(double level, double background);

/// The cosine that each place of a list is judged by, from the cosines of the hits in their order.
/// Ten places share theirs: the first of them has the greatest of the ten, and so on, and every
/// place has less than the one before. So what speaks by words moves a hit up, and how good the
/// list is at all is read from the cosines, which mean the same for every question.
std::vector<double> levels_of(std::span<const double> similarities);

}  // namespace nearlite
