#pragma once

#include <string>

namespace nearlite::server {

/// "req_" and 16 hex digits, different each time.
std::string new_request_id();
/// `bytes` random bytes as hex digits, from the kernel.
std::string random_hex(std::size_t bytes);

}  // namespace nearlite::server
