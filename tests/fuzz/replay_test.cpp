// The corpora of the fuzzers, and what they found, once more.
#include <gtest/gtest.h>

#include <functional>

#include "index_targets.h"
#include "nearlite/base/files.h"
#include "targets.h"

namespace nearlite::fuzz {
namespace {

void replay(const char* corpus, const std::function<void(std::string_view)>& run) {
  std::size_t num_files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(NEARLITE_CORPUS) / corpus)) {
    SCOPED_TRACE(entry.path());
    const std::string bytes = read_file(entry.path());
    run(bytes);
    run(std::string_view(bytes).substr(0, bytes.size() / 2));  // and cut off
    ++num_files;
  }
  EXPECT_GE(num_files, 5U);
}

TEST(FuzzCorpus, OfSafetensorsIsReadOrRefused) { replay("safetensors", &safetensors); }

TEST(FuzzCorpus, OfTokenizerJsonIsReadOrRefused) { replay("tokenizer_json", &tokenizer_json); }

TEST(FuzzCorpus, OfTextsIsTokenizedByEveryTokenizer) {
  const Tokenizers tokenizers = all_tokenizers();
  replay("tokenize", [&](std::string_view bytes) {
    tokenize_any(tokenizers, bytes);
    for (const auto& tokenizer : tokenizers) tokenize(*tokenizer, bytes);
  });
}

TEST(FuzzCorpus, OfSegmentsAndGraphsIsSearchedOrRefused) { replay("block_file", &block_file); }

TEST(FuzzCorpus, OfAnnoyFilesIsSearchedOrRefused) { replay("annoy", &annoy_file); }

TEST(FuzzCorpus, OfFaissFilesIsSearchedOrRefused) { replay("faiss", &faiss_file); }

TEST(FuzzCorpus, OfTheOriginalsJsonIsReadOrRefused) { replay("original_json", &original_json); }

TEST(FuzzCorpus, OfVectorBlobsIsTakenOrMarkedDamaged) { replay("vector_blob", &vector_blob); }

}  // namespace
}  // namespace nearlite::fuzz
