#include "tokenizer_json_values.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"

namespace nearlite {
namespace {

constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxValues = 500'000;  // besides the long lists
constexpr std::size_t kMaxMerges = std::size_t{1} << 21U;

/// The value of a JSON number as the reference's parser computes it, which is the last bit off now
/// and then: digits as a 64-bit integer, those that do not fit left out, times or divided by a
/// power of ten. Two ways to cut a word are often equally probable up to that bit.
double reference_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::uint64_t digits = 0;
  int exponent = 0;
  bool is_full = false;
  bool in_fraction = false;
  std::size_t at = negative ? 1 : 0;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      in_fraction = true;
      continue;
    }
    const auto digit = static_cast<std::uint64_t>(text[at] - '0');
    std::uint64_t longer = 0;
    is_full = is_full || __builtin_mul_overflow(digits, std::uint64_t{10}, &longer) ||
              __builtin_add_overflow(longer, digit, &longer);
    if (!is_full) digits = longer;
    if (!is_full && in_fraction) --exponent;
    if (is_full && !in_fraction) ++exponent;
  }
  if (at < text.size()) {
    // Far more than a double holds; longer exponents say no more.
    const std::string tail(text.substr(at + 1, 8));
    exponent += std::clamp(std::atoi(tail.c_str()), -10000, 10000);
  }
  auto value = static_cast<double>(digits);
  for (; exponent < -308 && value != 0; exponent += 308) value /= 1e308;
  if (exponent > 308) return value == 0 ? 0.0 : std::numeric_limits<double>::infinity();
  const double power = std::strtod(("1e" + std::to_string(std::abs(exponent))).c_str(), nullptr);
  value = exponent >= 0 ? value * power : value / power;
  return negative ? -value : value;
}

/// Builds a JSON value from the events of the parser, except for the members of model.vocab and
/// model.merges, which go into the lists: a token that is there twice would not be noticed either.
class JsonReader {
 public:
  JsonReader(const JsonValues& values, Json& root, TokenizerLists& lists)
      : values_(values), root_(root), lists_(lists) {}

  bool null() { return value(nullptr); }
  bool boolean(bool truth) { return value(truth); }
  bool number_integer(Json::number_integer_t number) { return value(number); }
  bool number_unsigned(Json::number_unsigned_t number) { return value(number); }
  bool number_float(Json::number_float_t number, const std::string& text) {
    return value(list_ == List::kScored ? reference_number(text) : number);
  }
  bool string(std::string& text) { return value(std::move(text)); }
  bool binary(Json::binary_t&) { return false; }  // only in other formats than JSON
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    key_ = std::move(name);
    if (stack_.size() == 1) is_in_model_ = key_ == "model";
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception& error) {
    values_.fail(std::string("it is not valid JSON: ") + error.what());
  }

 private:
  enum class List { kNone, kTokens, kScored, kMerges };

  bool value(Json&& item) {
    if (list_ == List::kNone) {
      place(std::move(item));
    } else if (is_in_pair_) {
      pair_.push_back(std::move(item));
      if (pair_.size() > 2) fail_pair();
    } else if (list_ == List::kTokens) {
      add_token(item);
    } else if (list_ == List::kMerges && item.is_string()) {
      add_merge(item.get_ref<const std::string&>());
    } else {
      fail_pair();
    }
    return true;
  }

  bool open(Json&& container) {
    if (stack_.size() >= kMaxDepth) {
      values_.fail("it is nested more than " + std::to_string(kMaxDepth) + " levels deep");
    }
    if (list_ != List::kNone) {
      if (list_ == List::kTokens) add_token(container);
      if (is_in_pair_ || !container.is_array()) fail_pair();
      is_in_pair_ = true;
      pair_.clear();
      return true;
    }
    List list = List::kNone;
    if (stack_.size() == 2 && is_in_model_ && key_ == "vocab") {
      list = container.is_object() ? List::kTokens : List::kScored;
    } else if (stack_.size() == 2 && is_in_model_ && key_ == "merges" && container.is_array()) {
      list = List::kMerges;
    }
    if (list != List::kNone && stack_.back()->contains(key_)) {
      values_.fail("model." + key_ + " is there twice");
    }
    stack_.push_back(place(std::move(container)));
    list_ = list;
    return true;
  }

  bool close() {
    if (is_in_pair_) {
      is_in_pair_ = false;
      add_pair();
      return true;
    }
    list_ = List::kNone;
    stack_.pop_back();
    return true;
  }

  void add_token(const Json& id) {
    if (!JsonValues::is_id(id)) {
      values_.fail_id(id, "the vocabulary gives " + JsonValues::shown(key_));
    }
    check_token(key_, lists_.vocabulary.size());
    lists_.vocabulary.push_back({std::move(key_), id.get<std::int32_t>()});
  }

  void check_token(const std::string& token, std::size_t num_tokens) const {
    if (num_tokens >= kMaxVocabulary) {
      values_.fail("the vocabulary has more than " + std::to_string(kMaxVocabulary) + " tokens");
    }
    if (token.size() > kMaxTokenBytes) {
      values_.fail("a token has " + std::to_string(token.size()) + " bytes, at most " +
                   std::to_string(kMaxTokenBytes) + " are allowed");
    }
  }

  void add_pair() {
    if (pair_.size() != 2 || !pair_[0].is_string()) fail_pair();
    const auto& first = pair_[0].get_ref<const std::string&>();
    if (list_ == List::kScored) {
      if (!pair_[1].is_number() || !std::isfinite(pair_[1].get<double>())) fail_pair();
      check_token(first, lists_.scored.size());
      lists_.scored.emplace_back(first, pair_[1].get<double>());
    } else {
      if (!pair_[1].is_string()) fail_pair();
      add_merge(first, pair_[1].get_ref<const std::string&>());
    }
  }

  /// "left right"; a header line of old files is passed over.
  void add_merge(const std::string& text) {
    if (text.starts_with("#version")) return;
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      values_.fail("model.merges[" + std::to_string(lists_.merges.size()) + "] is " +
                   JsonValues::shown(text) +
                   ", two tokens with a space between them were expected");
    }
    add_merge(text.substr(0, space), text.substr(space + 1));
  }
  void add_merge(std::string left, std::string right) {
    if (lists_.merges.size() >= kMaxMerges) {
      values_.fail("model.merges has more than " + std::to_string(kMaxMerges) + " entries");
    }
    check_token(left, 0);
    check_token(right, 0);
    lists_.merges.emplace_back(std::move(left), std::move(right));
  }

  [[noreturn]] void fail_pair() const {
    if (list_ == List::kMerges) {
      values_.fail("model.merges[" + std::to_string(lists_.merges.size()) +
                   "] is not a pair of tokens");
    }
    values_.fail("model.vocab[" + std::to_string(lists_.scored.size()) +
                 "] is not a token and its score");
  }

  Json* place(Json&& item) {
    if (++num_values_ > kMaxValues) {
      values_.fail("it has more than " + std::to_string(kMaxValues) + " values besides its model");
    }
    if (stack_.empty()) return &(root_ = std::move(item));
    Json& parent = *stack_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(item));
    parent.push_back(std::move(item));
    return &parent.back();
  }

  const JsonValues& values_;
  Json& root_;
  TokenizerLists& lists_;
  std::vector<Json*> stack_;  // the containers that are open
  std::string key_;
  std::size_t num_values_ = 0;
  bool is_in_model_ = false;
  List list_ = List::kNone;  // that the open container is
  bool is_in_pair_ = false;
  std::vector<Json> pair_;
};

}  // namespace

void JsonValues::fail(const std::string& message) const {
  throw CorruptData("tokenizer " + file_.string() + ": " + message);
}

void JsonValues::fail_unsupported(const std::string& part, const std::string& type,
                                  const std::string& known) const {
  fail(part + " " + type + " is not supported; this build knows " + known);
}

void JsonValues::fail_id(const Json& id, const std::string& what) const {
  fail(what + " the id " + shown(id) + ", an integer from 0 to " +
       std::to_string(kMaxVocabulary - 1) + " was expected");
}

std::string JsonValues::shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 60) + "..." : text;
}

bool JsonValues::is_id(const Json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() < kMaxVocabulary;
}

const Json& JsonValues::member(const Json& object, const char* name,
                               const std::string& where) const {
  if (!object.is_object()) fail(where + " is " + shown(object) + ", an object was expected");
  const auto found = object.find(name);
  if (found == object.end()) fail(where + " has no \"" + name + "\"");
  return *found;
}

std::string JsonValues::string_member(const Json& object, const char* name,
                                      const std::string& where) const {
  const Json& value = member(object, name, where);
  if (!value.is_string())
    fail(where + "." + name + " is " + shown(value) + ", a string was expected");
  return value.get<std::string>();
}

bool JsonValues::bool_member(const Json& object, const char* name, const std::string& where) const {
  const Json& value = member(object, name, where);
  if (!value.is_boolean())
    fail(where + "." + name + " is " + shown(value) + ", true or false was expected");
  return value.get<bool>();
}

std::string JsonValues::string_member(const Json& object, const char* name,
                                      const std::string& where, const char* absent) const {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return absent;
  return string_member(object, name, where);
}

bool JsonValues::bool_member(const Json& object, const char* name, const std::string& where,
                             bool absent) const {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return absent;
  return bool_member(object, name, where);
}

const Json& JsonValues::array_member(const Json& object, const char* name,
                                     const std::string& where) const {
  const Json& value = member(object, name, where);
  if (!value.is_array())
    fail(where + "." + name + " is " + shown(value) + ", an array was expected");
  return value;
}

std::int32_t JsonValues::checked_id(const Json& id, const std::string& what) const {
  if (!is_id(id)) fail_id(id, what);
  return id.get<std::int32_t>();
}

void read_tokenizer_json(const JsonValues& values, Json& root, TokenizerLists& lists) {
  const std::string text = read_file(values.file(), kMaxTokenizerBytes);
  JsonReader reader(values, root, lists);
  if (!Json::sax_parse(text, &reader)) values.fail("it is not valid JSON");
  if (!root.is_object()) values.fail("it is not a JSON object");
}

}  // namespace nearlite
