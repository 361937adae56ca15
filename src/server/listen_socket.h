#pragma once

#include <string>

#include "nearlite/server/http_server.h"

namespace nearlite::server {

/// A listening socket; the caller owns the descriptor. Throws Unavailable, InvalidArgument.
int open_listening_socket(const ListenAddress& address);
/// AF_INET, AF_INET6 or AF_UNIX.
int family_of(int socket);
/// 0 if it is not TCP.
unsigned short port_of_socket(int socket);

struct Peer {
  std::string address;  // or "unix"
  bool local = false;   // on this machine
};
Peer peer_of(int socket);

}  // namespace nearlite::server
