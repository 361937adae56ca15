// The only file that knows libcurl.
#include "http_get.h"

#include <curl/curl.h>

#include <array>
#include <exception>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr long kConnectSeconds = 30;
constexpr long kStallSeconds = 60;  // less than kLeastBytesPerSecond for so long ends the transfer
constexpr long kLeastBytesPerSecond = 100;
constexpr long kMostRedirects = 10;

/// What the callback needs while one request runs.
struct Transfer {
  CURL* handle = nullptr;
  const HttpGet::Sink* sink = nullptr;
  std::exception_ptr error;
};

std::size_t receive(char* data, std::size_t size, std::size_t count, void* user) noexcept {
  Transfer& transfer = *static_cast<Transfer*>(user);
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  const std::size_t bytes = size * count;
  if (status != 200) return bytes;  // an error page
  try {
    const bool go_on = (*transfer.sink)(std::as_bytes(std::span(data, bytes)));
    return go_on ? bytes : CURL_WRITEFUNC_ERROR;
  } catch (...) {  // must not pass through a C library
    transfer.error = std::current_exception();
    return CURL_WRITEFUNC_ERROR;
  }
}

}  // namespace

struct HttpGet::State {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle{nullptr, &curl_easy_cleanup};
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers{nullptr,
                                                                      &curl_slist_free_all};
  std::array<char, CURL_ERROR_SIZE> message{};
};

HttpGet::HttpGet(const std::string& bearer_token) : state_(std::make_unique<State>()) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  state_->handle.reset(started == CURLE_OK ? curl_easy_init() : nullptr);
  if (!state_->handle) throw Unavailable("libcurl could not be started");
  CURL* handle = state_->handle.get();
  if (!bearer_token.empty()) {
    // libcurl keeps such a header from the hosts of redirects.
    state_->headers.reset(
        curl_slist_append(nullptr, ("Authorization: Bearer " + bearer_token).c_str()));
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, state_->headers.get());
  }
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "nearlite");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(handle, CURLOPT_MAXREDIRS, kMostRedirects);
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, kLeastBytesPerSecond);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &receive);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, state_->message.data());
}

HttpGet::~HttpGet() = default;

long HttpGet::get(const std::string& url, const Sink& sink) {
  CURL* handle = state_->handle.get();
  Transfer transfer{.handle = handle, .sink = &sink, .error = {}};
  // A redirect from a protected connection must not lead to an open one.
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR,
                   url.starts_with("https:") ? "https" : "http,https");
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
  state_->message[0] = '\0';
  const CURLcode result = curl_easy_perform(handle);
  if (transfer.error) std::rethrow_exception(transfer.error);
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  if (result == CURLE_WRITE_ERROR && status == 200)
    throw Unavailable("the download of " + url + " was stopped");
  if (result != CURLE_OK) {
    const char* text =
        state_->message[0] != '\0' ? state_->message.data() : curl_easy_strerror(result);
    throw Unavailable("cannot get " + url + ": " + text);
  }
  return status;
}

std::string percent_encoded_path(const std::string& path) {
  constexpr const char* kHexDigits = "0123456789ABCDEF";
  std::string result;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
    if (plain) {
      result += c;
    } else {
      result += '%';
      result += kHexDigits[byte >> 4U];
      result += kHexDigits[byte & 15U];
    }
  }
  return result;
}

}  // namespace nearlite
