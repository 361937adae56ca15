// What reading text costs: nearlite_text_bench [TOKENIZER_JSON_OR_FOLDER [TEXTS]]
// TEXTS holds one text per line, as it is or as {"text": ...}. Without it the package descriptions
// of this machine are read, or made-up text where there are none. tools/bench_tokenizer_peer.py
// runs this beside the reference library.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/utf8.h"
#include "nearlite/text/passages.h"
#include "nearlite/text/tokenizer.h"

namespace {

using nearlite::Tokenizer;

constexpr std::size_t kMaxTokens = 256;
constexpr std::size_t kLongTextBytes = 10'000'000;

std::filesystem::path tokenizer_file(int argc, char** argv) {
  std::filesystem::path path;
  if (argc > 1) {
    path = argv[1];
  } else if (const char* model = std::getenv("NEARLITE_TEST_MODEL")) {
    path = model;
  } else {
    const char* home = std::getenv("HOME");
    path = std::filesystem::path(home == nullptr ? "." : home) /
           ".cache/nearlite/models/sentence-transformers/all-MiniLM-L6-v2";
  }
  return is_directory(path) ? path / "tokenizer.json" : path;
}

std::vector<std::string> texts_of_file(const std::filesystem::path& file) {
  std::istringstream lines(nearlite::read_file(file, std::uint64_t{1} << 30U));
  std::vector<std::string> texts;
  for (std::string line; std::getline(lines, line);) {
    texts.push_back(
        line.starts_with('{') ? nlohmann::json::parse(line).at("text").get<std::string>() : line);
  }
  return texts;
}

/// The long descriptions of the packages that are installed here.
std::vector<std::string> package_descriptions() {
  std::vector<std::string> texts;
  try {
    std::istringstream lines(nearlite::read_file("/var/lib/dpkg/status"));
    bool is_inside = false;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("Description: ")) {
        texts.push_back(line.substr(13));
        is_inside = true;
      } else if (is_inside && line.starts_with(' ')) {
        texts.back() += line == " ." ? "\n" : "\n" + line.substr(1);
      } else {
        is_inside = false;
      }
    }
  } catch (const nearlite::Error&) {
    texts.clear();
  }
  return texts;
}

std::vector<std::string> made_up_texts() {
  std::mt19937 random(1);
  std::vector<std::string> texts(5000);
  for (std::string& text : texts) {
    for (int word = 0; word < 80; ++word) {
      const auto length = static_cast<int>(1 + random() % 9);
      for (int i = 0; i < length; ++i) text += static_cast<char>('a' + random() % 26);
      text += word % 12 == 11 ? ". " : " ";
    }
  }
  return texts;
}

/// Seconds of processor time that this process has used: a busy machine counts less than on the
/// wall.
double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// The best of several runs, in seconds.
double seconds_of(const std::function<void()>& work) {
  double best = 1e9;
  const double start = processor_seconds();
  for (int run = 0; run < 3 || (processor_seconds() - start < 0.5 && run < 200); ++run) {
    const double begin = processor_seconds();
    work();
    best = std::min(best, processor_seconds() - begin);
  }
  return best;
}

std::size_t total_bytes(const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

void report(const char* what, double seconds, std::size_t bytes, std::size_t tokens) {
  std::printf("%-44s %10.3f ms %9.1f MB/s %9.2f M tokens/s\n", what, seconds * 1e3,
              static_cast<double>(bytes) / seconds / 1e6,
              static_cast<double>(tokens) / seconds / 1e6);
}

void bench_texts(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                 std::size_t max_tokens, const char* what) {
  std::size_t tokens = 0;
  const double seconds = seconds_of([&] {
    tokens = 0;
    for (const std::string& text : texts) tokens += tokenizer.tokenize(text, max_tokens).ids.size();
  });
  report(what, seconds, total_bytes(texts), tokens);
}

void bench_long_text(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::string text;
  for (std::size_t i = 0; text.size() < kLongTextBytes; ++i) text += texts[i % texts.size()] + "\n";
  std::size_t tokens = 0;
  double seconds = seconds_of([&] { tokens = tokenizer.tokenize(text, kMaxTokens).ids.size(); });
  std::printf("%-44s %10.3f us for %zu tokens\n", "10 MB text, cut at 256 tokens", seconds * 1e6,
              tokens);
  bench_texts(tokenizer, {text}, text.size(), "10 MB text, all of it");
  std::size_t num_passages = 0;
  seconds = seconds_of([&] { num_passages = split_passages(text, tokenizer, kMaxTokens).size(); });
  std::printf("%-44s %10.3f ms %9.1f MB/s, %zu passages\n",
              "10 MB text, into passages of 256 tokens", seconds * 1e3,
              static_cast<double>(text.size()) / seconds / 1e6, num_passages);
}

}  // namespace

int main(int argc, char** argv) try {
  const std::filesystem::path file = tokenizer_file(argc, argv);
  std::vector<std::string> texts = argc > 2 ? texts_of_file(argv[2]) : package_descriptions();
  if (texts.empty()) texts = made_up_texts();
  std::printf("tokenizer %s\n%zu texts, %zu bytes; one thread, processor time of the best run\n",
              file.c_str(), texts.size(), total_bytes(texts));

  const auto tokenizer = nearlite::load_tokenizer(file);
  std::printf("%-44s %10.3f ms\n", "load",
              seconds_of([&] { nearlite::load_tokenizer(file); }) * 1e3);
  bench_texts(*tokenizer, texts, kMaxTokens, "texts, cut at 256 tokens");
  bench_texts(*tokenizer, texts, std::size_t{1} << 30U, "texts, not cut");
  bench_long_text(*tokenizer, texts);
  bench_texts(*tokenizer, {std::string(1'000'000, 'a')}, kMaxTokens, "one word of 1 MB");
  std::string ideographs;
  while (ideographs.size() < 1'000'000)
    nearlite::append_utf8(ideographs, 0x4E00 + static_cast<char32_t>(ideographs.size() % 5000));
  bench_texts(*tokenizer, {ideographs}, ideographs.size(), "1 MB of ideographs");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "nearlite_text_bench: %s\n", error.what());
  return 1;
}
