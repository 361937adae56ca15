#include "output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>

#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"

namespace nearlite::cli {
namespace {

template <typename... Args>
std::string print(const char* format, Args... args) {
  std::array<char, 64> text{};
  const int length = std::snprintf(text.data(), text.size(), format, args...);
  return {text.data(), static_cast<std::size_t>(length)};
}

/// Characters, as a terminal counts them for nearly all text.
std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Output::Output() : is_terminal_(isatty(STDOUT_FILENO) == 1) {}

void Output::write(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= (std::size_t{1} << 16)) flush();
}

void Output::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error = errno;
      buffer_.clear();
      if (error == EPIPE) throw OutputClosed{};
      throw_errno("cannot write to standard output", error);
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
}

std::size_t Output::columns() const {
  winsize size{};
  if (is_terminal_ && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
    return size.ws_col;
  return 100;
}

void write_message(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

bool stderr_is_terminal() noexcept { return isatty(STDERR_FILENO) == 1; }
bool stdin_is_terminal() noexcept { return isatty(STDIN_FILENO) == 1; }

std::string printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte == '\n') {
      shown += "\\n";
    } else if (byte == '\t') {
      shown += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      shown += print("\\x%02x", byte);
    } else if (byte < 0x80) {
      shown += text[at];
    } else {
      // One character: the longest start that is valid; C1 controls (U+0080 to U+009F) are escaped
      // like the others.
      const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
      const std::string_view character = text.substr(at, length);
      const bool c1 =
          byte == 0xC2 && character.size() == 2 && static_cast<unsigned char>(character[1]) < 0xA0;
      if (!c1 && !find_invalid_utf8(character)) {
        shown += character;
        at += character.size();
        continue;
      }
      shown += print("\\x%02x", byte);
    }
    ++at;
  }
  return shown;
}

std::string with_separators(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string short_number(double number) {
  if (number < 10'000)
    return with_separators(static_cast<std::uint64_t>(std::max(0.0, std::round(number))));
  if (number < 1e6) return print("%.0fk", number / 1e3);
  return print("%.1fM", number / 1e6);
}

std::string duration_text(double milliseconds) {
  if (milliseconds < 10) return print("%.2f ms", milliseconds);
  if (milliseconds < 1000) return print("%.0f ms", milliseconds);
  if (milliseconds < 10'000) return print("%.1f s", milliseconds / 1000);
  const auto seconds = static_cast<std::uint64_t>(std::llround(milliseconds / 1000));
  if (seconds < 60) return print("%llu s", static_cast<unsigned long long>(seconds));
  if (seconds < 3600) {
    return print("%llu min %llu s", static_cast<unsigned long long>(seconds / 60),
                 static_cast<unsigned long long>(seconds % 60));
  }
  return print("%llu h %llu min", static_cast<unsigned long long>(seconds / 3600),
               static_cast<unsigned long long>(seconds / 60 % 60));
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1000) return print("%llu B", static_cast<unsigned long long>(bytes));
  const auto size = static_cast<double>(bytes);
  if (bytes < 1'000'000) return print("%.1f kB", size / 1e3);
  if (bytes < 1'000'000'000) return print("%.1f MB", size / 1e6);
  return print("%.2f GB", size / 1e9);
}

void TextTable::column(std::string title, Align align) {
  titles_.push_back(std::move(title));
  aligns_.push_back(align);
}

void TextTable::row(std::vector<std::string> cells) {
  cells.resize(titles_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < titles_.size(); ++i) {
    std::size_t width = display_width(titles_[i]);
    for (const auto& cells : rows_) width = std::max(width, display_width(cells[i]));
    widths.push_back(width);
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string gap(widths[i] - display_width(cells[i]), ' ');
      line += aligns_[i] == Align::kRight ? gap + cells[i] : cells[i] + gap;
      if (i + 1 < cells.size()) line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(titles_);
  for (const auto& cells : rows_) add(cells);
  return text;
}

}  // namespace nearlite::cli
