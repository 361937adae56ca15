#pragma once

#include <string_view>

namespace nearlite {

/// The arithmetic of the products with weights, and in kInt16 and kInt8 of attention in int16; all
/// else (norms, softmax, pooling) is fp32 in all of them. kFp32, kBf16 and kInt16 give the same
/// vectors to a cosine of 0.9999 and better; kInt8 is a model of its own.
enum class Precision {
  kAuto,   // the fastest on this processor that keeps that cosine: see chosen_precision
  kFp32,   // weights and inputs as they are
  kBf16,   // both rounded to 8 significant bits, products and sums in fp32
  kInt16,  // both as 16-bit integers scaled by row and by column, sums exact
  kInt8,   // both as 8-bit integers scaled by row and by column, sums exact
};

/// What kAuto stands for on this processor; any other precision is itself. kInt16, which sums
/// faster than fp32 on all x86-64, with VNNI and without; but kFp32 where one instruction does not
/// multiply and add pairs of 16-bit integers.
Precision chosen_precision(Precision asked);

/// "auto", "fp32", "bf16", "int16", "int8".
std::string_view precision_name(Precision precision);
/// The precision of that name. Throws InvalidArgument that lists the names for another one.
Precision precision_of_name(std::string_view name);

/// The smallest cosine to fp32 that the vectors of a precision must keep for any text: 0.999999 for
/// fp32 itself (against the reference library), 0.9999 for bf16 and int16, 0.996 for int8, of which
/// sentences keep 0.999 and texts of two odd tokens 0.997.
double least_cosine(Precision precision);

}  // namespace nearlite
