#pragma once

#include <string>

namespace nearlite::cli {

/// Whether somebody sits at both ends: stdin and stderr are terminals.
bool can_ask();

/// Asks on stderr and reads a line of stdin; an empty line is yes, the end of input no.
bool ask_yes_or_no(const std::string& question);

/// The argument as one types it in a shell: quoted if it needs to be.
std::string shell_word(const std::string& argument);

}  // namespace nearlite::cli
