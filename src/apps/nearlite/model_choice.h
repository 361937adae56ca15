#pragma once

#include <filesystem>
#include <string>

#include "context.h"

namespace nearlite::cli {

/// Whether somebody can be asked, or has agreed beforehand (--yes), and connections are allowed.
bool can_offer_download(const Context& context);

/// The folder of a model. One that is not on this machine is offered for download on a terminal,
/// and downloaded with
/// --yes. Throws NotFound that lists the places looked at and the command that gets it, if nobody
/// agreed.
std::filesystem::path require_model(Context& context, const std::string& name);

/// Downloads a model into our own cache with progress on stderr; its folder.
std::filesystem::path download_with_progress(Context& context, const std::string& name);

}  // namespace nearlite::cli
