#include "nearlite/model/precision.h"

#include <array>
#include <string>

#include "nearlite/base/error.h"
#include "nearlite/model/precision_class.h"

namespace nearlite {
namespace {

struct Entry {
  Precision precision;
  std::string_view name;
  double least_cosine;
};

constexpr std::array kEntries{
    Entry{Precision::kAuto, "auto", 0.9999}, Entry{Precision::kFp32, "fp32", 0.999999},
    Entry{Precision::kBf16, "bf16", 0.9999}, Entry{Precision::kInt16, "int16", 0.9999},
    Entry{Precision::kInt8, "int8", 0.996}};

}  // namespace

Precision chosen_precision(Precision asked) {
  if (asked != Precision::kAuto) return asked;
#if defined(__x86_64__)
  return Precision::kInt16;
#else
  return Precision::kFp32;
#endif
}

std::string_view precision_class(Precision precision) {
  // The third way: 1 rounded inputs by their magnitude, 2 by their range.
  return precision == Precision::kInt8 ? "int8.3" : "float";
}

std::string_view precision_name(Precision precision) {
  return kEntries[static_cast<std::size_t>(precision)].name;
}

Precision precision_of_name(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return entry.precision;
  }
  throw InvalidArgument("the precision '" + std::string(name) +
                        "' is not known; known are auto, fp32, bf16, int16 and int8");
}

double least_cosine(Precision precision) {
  return kEntries[static_cast<std::size_t>(precision)].least_cosine;
}

}  // namespace nearlite
