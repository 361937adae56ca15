#include "search_output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "json.h"
#include "nearlite/base/names.h"
#include "nearlite/retrieval/snippet.h"
#include "output.h"

namespace nearlite::cli {
namespace {

std::string field_text(const Value& value) {
  return std::holds_alternative<std::monostate>(value) ? "" : text_of(value);
}

/// The hit's short fields that its snippet does not show already.
std::string fields_line(const RetrievalHit& hit) {
  constexpr std::size_t kLongest = 60;
  std::string line;
  for (const auto& [name, value] : hit.fields) {
    const std::string text = field_text(value);
    if (text.empty() || text.size() > kLongest || hit.snippet.find(text) != std::string::npos)
      continue;
    if (text == hit.key.display()) continue;
    line += (line.empty() ? "" : "  ") + printable(name) + ": " + printable(text);
  }
  return line;
}

/// The snippet with the words of the question in bold.
std::string marked(const std::string& snippet, const std::string& question, bool marks) {
  if (!marks) return printable(snippet);
  std::string text;
  std::size_t at = 0;
  for (const auto [begin, end] : matching_words(snippet, question)) {
    text += printable(snippet.substr(at, begin - at)) + "\x1b[1m" +
            printable(snippet.substr(begin, end - begin)) + "\x1b[0m";
    at = end;
  }
  return text + printable(snippet.substr(at));
}

/// high vector similarity (similarity=0.71); similarity 0.71 x 0.50 + keyword 0.30 x 0.50 = 0.505
std::string explanation(const RetrievalHit& hit) {
  std::string text = hit.reason + "; ";
  bool first = true;
  for (const SignalPart& part : hit.parts) {
    std::array<char, 96> term{};
    std::snprintf(term.data(), term.size(), "%s %.4f x %.4f", part.signal.c_str(), part.value,
                  part.weight);
    text += (first ? "" : " + ") + std::string(term.data());
    first = false;
  }
  std::array<char, 64> sum{};
  std::snprintf(sum.data(), sum.size(), " = %.4f", hit.score);
  text += sum.data();
  if (hit.confidence) {
    std::snprintf(sum.data(), sum.size(), ", confidence %.4f", *hit.confidence);
    text += sum.data();
  }
  return text + "; found by " + join_names(hit.found_by);
}

void put_hit(Context& context, const RetrievalResult& result, const RetrievalHit& hit,
             bool explain) {
  std::array<char, 48> head{};
  std::snprintf(head.data(), head.size(), "%2zu  %.3f  ", hit.rank, hit.score);
  std::string line = head.data() + printable(hit.store) + " " + printable(hit.key.display());
  if (const std::string fields = fields_line(hit); !fields.empty()) line += "  " + fields;
  if (hit.stale) line += "  (changed since it was embedded)";
  if (!hit.folded.empty()) {
    std::vector<std::string> keys;
    for (const RecordKey& key : hit.folded) keys.push_back(printable(key.display()));
    line += "  (and much the same: " + join_names(keys) + ")";
  }
  context.out.line(line);
  const std::string indent(11, ' ');
  if (!hit.snippet.empty())
    context.out.line(indent + marked(hit.snippet, result.question, context.marks()));
  if (explain) context.out.line(indent + explanation(hit));
}

void put_text(Context& context, const RetrievalResult& result, bool explain) {
  for (const RetrievalHit& hit : result.hits) put_hit(context, result, hit, explain);
  context.out.flush();
  std::size_t records = 0;
  std::set<std::string> paths;
  for (const StoreAnswer& store : result.stores) {
    records += store.records;
    paths.insert(store.path);
  }
  const std::vector<std::string> path_list(paths.begin(), paths.end());
  const auto count = [](std::size_t number, const std::string& what) {
    return with_separators(number) + " " + what + (number == 1 ? "" : "s");
  };
  context.note(count(result.hits.size(), "hit") + " from " + count(records, "record") + " in " +
               count(result.stores.size(), "store") + ", " + join_names(path_list) + ", " +
               duration_text(result.took_ms));
  if (!explain) return;
  for (const std::string& left_out : result.left_out) context.note("left out: " + left_out);
  for (const StoreAnswer& store : result.stores) {
    std::array<char, 32> recall{};
    std::snprintf(recall.data(), recall.size(), "%.3f", store.recall);
    context.note(store.store + ": " + with_separators(store.records) + " records, " + store.path +
                 ", recall " + recall.data() + ", " + duration_text(store.took_ms));
  }
}

}  // namespace

void put_result(Context& context, const RetrievalResult& result, bool explain,
                double min_confidence) {
  if (context.options.json) {
    context.put_json(json_of(result, explain, Audience::kOwner));
  } else if (context.options.jsonl) {
    for (const RetrievalHit& hit : result.hits) context.put_json(json_of(hit, explain));
  } else {
    put_text(context, result, explain);
  }
  context.out.flush();
  for (const StoreFailure& failure : result.failures) {
    context.warn(failure.store + ": " + failure.message +
                 (failure.hint.empty() ? "" : "; " + failure.hint));
  }
  if (!result.complete && result.failures.empty())
    context.note("the list is not complete: " + result.incomplete_reason);
  if (min_confidence > 0 && !result.confidence_note.empty()) {
    context.note("--min-confidence left hits without a confidence in: " + result.confidence_note);
  }
  if (result.hits.empty() && !context.options.json && !context.options.jsonl) {
    for (const std::string& left_out : result.left_out)
      context.note("nothing to show; " + left_out);
  }
}

}  // namespace nearlite::cli
