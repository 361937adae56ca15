#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "nearlite/retrieval/universal_retriever.h"
#include "store_reply.h"

namespace nearlite {

/// Who answered, and what.
struct Gathered {
  std::vector<StoreReply> replies{};
  std::vector<std::string> origins{};  // by reply
  std::vector<StoreFailure> failures{};
  std::size_t num_hits = 0;
};

/// A store under the origin that its results bear.
struct Source {
  std::string origin{};
  std::shared_ptr<Store> store{};
  std::vector<std::string> id_fields{};
  AskStore when = AskStore::kAlways;
  std::shared_ptr<std::atomic<bool>> busy = std::make_shared<std::atomic<bool>>(false);
  std::jthread running{};  // of the last question; joined before the next one and at the end
};

/// The stores of a retriever, and the threads that ask them. One thread at a time; the end waits
/// for stores that are still busy.
class SourcePool {
 public:
  void add(Source source) { sources_.push_back(std::make_unique<Source>(std::move(source))); }
  bool has(const std::string& origin) const;

  /// The sources that `dbs` names (empty: all) and that are asked at this time, in their order.
  /// Throws InvalidArgument if it names none at all.
  std::vector<Source*> named(const std::vector<std::string>& dbs, AskStore when) const;

  /// Asks each source by a thread of its own and adds what came before the deadline (0: there is
  /// none) to `gathered`; what is missing then is a failure, as is a source that is still busy with
  /// an earlier question. vectors: one per source; where it is empty, it is asked by words, and
  /// not at all if the mode is kVector.
  static void ask(std::span<Source* const> sources, const Question& question,
                  std::vector<std::vector<float>> vectors, const RetrievalOptions& options,
                  std::chrono::milliseconds deadline, Gathered& gathered);

 private:
  std::vector<std::unique_ptr<Source>> sources_;
};

/// The text as the model of each source's vectors reads it, encoded once per model; an empty
/// vector, and a failure, where that cannot be had.
std::vector<std::vector<float>> encoded_for(std::span<Source* const> sources, std::string_view text,
                                            std::vector<StoreFailure>& failures);

/// The vector that the first source makes of the record; else the stored one of a row that the
/// record's id fields name. Throws InvalidArgument if there is neither.
std::vector<float> vector_of(const Record& record, std::span<Source* const> sources);

}  // namespace nearlite
