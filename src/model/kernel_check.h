#pragma once

#include <span>
#include <string>

#include "kernels.h"

namespace nearlite {

/// Whether small products, attention and norms by `candidate` agree with those by `judge`. There
/// are processors, and more often virtual machines, that offer an instruction and compute it
/// wrongly. Takes less than a millisecond.
bool agrees(const Kernels& candidate, const Kernels& judge);

struct KernelChoice {
  const Kernels* kernels = nullptr;
  std::string warning;  // names what was passed over, if anything
};

/// The first of `candidates`, best first, that agrees with the last, which is taken as it is.
KernelChoice first_sound(std::span<const Kernels* const> candidates);

}  // namespace nearlite
