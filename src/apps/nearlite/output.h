#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite::cli {

/// Whoever reads our stdout has gone (a pipe into head): the program stops quietly.
struct OutputClosed {};

/// Standard output, checked: every byte is written or the program says that it was not.
class Output {
 public:
  Output();
  /// Adds to the buffer; written when it is large, at flush(), and at the end of the program.
  void write(std::string_view text);
  void line(std::string_view text) {
    write(text);
    write("\n");
  }
  /// Throws Unavailable (disk full, ...) or OutputClosed.
  void flush();

  bool is_terminal() const noexcept { return is_terminal_; }
  std::size_t columns() const;  // of the terminal; 100 if it is none

 private:
  std::string buffer_;
  bool is_terminal_;
};

/// stderr; failures are ignored, since there is no place left to report them.
void write_message(std::string_view text) noexcept;
bool stderr_is_terminal() noexcept;
bool stdin_is_terminal() noexcept;

/// Control characters and bytes that are not UTF-8 become \n, \x1b, ...: names and texts of others
/// never steer a terminal.
std::string printable(std::string_view text);

/// 63,666
std::string with_separators(std::uint64_t number);
/// 311k, 1.2M
std::string short_number(double number);
/// 1.93 ms, 15 s, 2 min 5 s, 3 h 10 min
std::string duration_text(double milliseconds);
/// 512 B, 39.1 MB
std::string size_text(std::uint64_t bytes);

/// Columns under one another, two spaces between them; numbers to the right.
class TextTable {
 public:
  enum class Align { kLeft, kRight };
  void column(std::string title, Align align = Align::kLeft);
  void row(std::vector<std::string> cells);
  std::string text() const;

 private:
  std::vector<std::string> titles_;
  std::vector<Align> aligns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace nearlite::cli
