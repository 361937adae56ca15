#include "text_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "json.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"

namespace nearlite::cli {
namespace {

constexpr std::size_t kMostQuestionBytes = 1'000'000;
constexpr std::size_t kMostLineBytes = 16'000'000;

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// The name that begins at `at` and goes on to `end` or the end of the text, where `at` is left;
/// blanks around it are dropped. In double quotes, as in SQL, it may hold anything: "a,""b".
std::string take_name(const std::string& text, std::size_t& at, char end) {
  const std::size_t begin = text.find_first_not_of(" \t", at);
  if (begin != std::string::npos && text[begin] == '"') {
    std::string name;
    for (std::size_t i = begin + 1; i < text.size(); ++i) {
      const bool doubled = text.compare(i, 2, "\"\"") == 0;
      if (text[i] == '"' && !doubled) {
        const std::size_t next = text.find_first_not_of(" \t", i + 1);
        if (next != std::string::npos && text[next] != end) break;  // no quoted name after all
        at = std::min(next, text.size());
        return name;
      }
      name += text[i];
      if (doubled) ++i;
    }
  }
  const std::size_t stop = std::min(text.find(end, at), text.size());
  std::string name = trimmed(text.substr(at, stop - at));
  at = stop;
  return name;
}

std::optional<std::string> text_of_object(const std::string& line) {
  if (line.empty() || line.front() != '{') return std::nullopt;
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("text") || !json["text"].is_string()) return std::nullopt;
  return json["text"].get<std::string>();
}

}  // namespace

std::string read_standard_input() {
  LineReader reader("-");
  std::string all;
  std::string line;
  while (reader.next(line)) {
    all += (reader.line_number() > 1 ? "\n" : "") + line;
    if (all.size() > kMostQuestionBytes)
      throw InvalidArgument("the question has more than 1,000,000 bytes");
  }
  return all;
}

std::vector<std::string> split_list(const std::vector<std::string>& values) {
  std::vector<std::string> names;
  for (const std::string& value : values) {
    for (std::size_t at = 0; at <= value.size(); ++at) {
      if (std::string name = take_name(value, at, ','); !name.empty())
        names.push_back(std::move(name));
    }
  }
  return names;
}

LineReader::LineReader(const std::string& file)
    : fd_(STDIN_FILENO), close_(false), name_("standard input") {
  if (file == "-") return;
  name_ = file;
  fd_ = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) throw_errno("cannot open " + file, errno);
  close_ = true;
  struct stat status {};
  if (fstat(fd_, &status) == 0 && S_ISDIR(status.st_mode)) {
    close(fd_);
    throw InvalidArgument(file + " is a folder, a file of texts is needed");
  }
}

LineReader::~LineReader() {
  if (close_) close(fd_);
}

bool LineReader::fill() {
  buffer_.erase(0, at_);
  at_ = 0;
  if (buffer_.size() > kMostLineBytes) {
    throw InvalidArgument(name_ + ": line " + std::to_string(line_number_ + 1) +
                          " has more than 16,000,000 bytes");
  }
  constexpr std::size_t kStep = 1 << 16;
  const std::size_t had = buffer_.size();
  buffer_.resize(had + kStep);
  ssize_t got = 0;
  do {
    got = read(fd_, buffer_.data() + had, kStep);
  } while (got < 0 && errno == EINTR);
  buffer_.resize(had + static_cast<std::size_t>(got > 0 ? got : 0));
  if (got < 0) throw_errno("cannot read " + name_, errno);
  return got > 0;
}

bool LineReader::next(std::string& line) {
  std::size_t searched = at_;
  std::size_t end = 0;
  while ((end = buffer_.find('\n', searched)) == std::string::npos) {
    searched = buffer_.size() -
               at_;  // where the new bytes will begin once fill() has dropped what was read
    if (end_ || !fill()) {
      end_ = true;
      if (at_ == buffer_.size()) return false;
      end = buffer_.size();
      break;
    }
  }
  line.assign(buffer_, at_, end - at_);
  at_ = std::min(end + 1, buffer_.size());
  if (!line.empty() && line.back() == '\r') line.pop_back();
  ++line_number_;
  return true;
}

TextReader::TextReader(const std::string& input)
    : reader_(input), name_(input == "-" ? "standard input" : input) {}

bool TextReader::next(std::string& text) {
  if (!reader_.next(text)) return false;
  if (reader_.line_number() == 1) json_ = text_of_object(text).has_value();
  if (json_) {
    auto inner = text_of_object(text);
    if (!inner) {
      throw InvalidArgument(place() + " is not a JSON object with \"text\", as the first line is");
    }
    text = std::move(*inner);
  }
  if (const auto at = find_invalid_utf8(text)) {
    throw InvalidArgument(place() + " is not valid UTF-8 (byte " + std::to_string(*at) + ")");
  }
  return true;
}

std::string TextReader::place() const {
  return name_ + ", line " + std::to_string(reader_.line_number());
}

}  // namespace nearlite::cli
