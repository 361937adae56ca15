#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace nearlite {

/// What embedding texts costs, in figures of the model's own tokenizer.
struct TextCost {
  std::size_t texts = 0;
  std::size_t longer = 0;    // of them: more than the model reads, cut into passages
  std::size_t passages = 0;  // vectors
  std::size_t tokens = 0;    // special tokens included
  std::size_t bytes = 0;     // of the texts of all passages

  TextCost& operator+=(const TextCost& other) {
    texts += other.texts;
    longer += other.longer;
    passages += other.passages;
    tokens += other.tokens;
    bytes += other.bytes;
    return *this;
  }
};

struct CostOptions {
  std::size_t max_texts = 4000;              // that are taken to pieces; of more, every n-th
  std::chrono::milliseconds max_time{2000};  // for reading and counting
  bool measure = true;                       // encode a few of them to know the speed here
  std::size_t threads = 0;
};

/// What it would take to embed all records of a store.
struct CostEstimate {
  std::size_t rows = 0;
  TextCost cost{};                       // of all rows, scaled up unless exact
  bool exact = true;                     // every text was counted
  std::optional<double> milliseconds{};  // unless not measured
  std::uint64_t bytes = 0;               // of sidecar and index
  std::string language_warning{};        // if the model does not fit the texts (language_fit)
};

}  // namespace nearlite
