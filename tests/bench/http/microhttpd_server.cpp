// The smallest service on libmicrohttpd: its event loop (epoll), its own time limit. For
// tools/bench_http_libraries.py.
#include <microhttpd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

MHD_Result answer(void* body, MHD_Connection* connection, const char*, const char*, const char*,
                  const char*, size_t* size, void** seen) {
  static int mark;
  if (*seen == nullptr) {  // the head alone
    *seen = &mark;
    return MHD_YES;
  }
  *size = 0;
  const auto* text = static_cast<const std::string*>(body);
  MHD_Response* response = MHD_create_response_from_buffer(
      text->size(), const_cast<char*>(text->data()), MHD_RESPMEM_PERSISTENT);
  MHD_add_response_header(response, "Content-Type", "application/json");
  const MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
  MHD_destroy_response(response);
  return queued;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string body(512, 'x');
  const auto port = static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 0);
  MHD_Daemon* daemon =
      MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, port, nullptr, nullptr, &answer,
                       const_cast<std::string*>(&body), MHD_OPTION_CONNECTION_LIMIT, 4096u,
                       MHD_OPTION_CONNECTION_TIMEOUT, 5u, MHD_OPTION_END);
  if (daemon == nullptr) return 1;
  std::puts("ready");
  std::fflush(stdout);
  for (;;) pause();
}
