#include "question.h"

#include "nearlite/base/names.h"
#include "output.h"
#include "text_input.h"

namespace nearlite::cli {

bool can_ask() { return stdin_is_terminal() && stderr_is_terminal(); }

bool ask_yes_or_no(const std::string& question) {
  LineReader answers("-");
  for (std::string answer;;) {
    write_message(printable(question) + " [Y/n] ");
    if (!answers.next(answer)) return false;
    answer = to_lower_ascii(answer);
    if (answer.empty() || answer == "y" || answer == "yes") return true;
    if (answer == "n" || answer == "no") return false;
  }
}

std::string shell_word(const std::string& argument) {
  const bool plain =
      argument.find_first_not_of(
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:,=@+") ==
      std::string::npos;
  if (plain && !argument.empty()) return argument;
  std::string quoted = "'";
  for (const char c : argument) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace nearlite::cli
