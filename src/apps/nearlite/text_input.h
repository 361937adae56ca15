#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nearlite::cli {

/// All of stdin, at most 1 MB, without the last line end. Throws InvalidArgument if it is longer.
std::string read_standard_input();

/// "a,b" and "c" -> a, b, c; blanks around names and empty ones are dropped.
std::vector<std::string> split_list(const std::vector<std::string>& values);

/// The lines of a file or, for "-", of stdin. A last line without an end counts; "\r\n" is a line
/// end too.
class LineReader {
 public:
  /// Throws NotFound or Unavailable; InvalidArgument if it is a folder.
  explicit LineReader(const std::string& file);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// False at the end. Throws Unavailable, or InvalidArgument for a line of more than 16 MB.
  bool next(std::string& line);
  std::size_t line_number() const noexcept {
    return line_number_;
  }  // of the line read last, from 1

 private:
  bool fill();

  int fd_;
  bool close_;
  std::string name_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::size_t line_number_ = 0;
  bool end_ = false;
};

/// Texts, one per line; lines are JSON objects if the first one is an object with "text".
class TextReader {
 public:
  explicit TextReader(const std::string& input);

  /// False at the end. Throws InvalidArgument for a line that is not such an object where it must
  /// be one, or not UTF-8.
  bool next(std::string& text);

 private:
  std::string place() const;

  LineReader reader_;
  std::string name_;
  bool json_ = false;
};

}  // namespace nearlite::cli
