// The page: files compiled into the program. It asks for a token itself, so they need none.
#include "nearlite/base/checksum.h"
#include "page_asset.h"
#include "route.h"

namespace nearlite::server {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

HttpResponse page(Call& call) {
  for (const PageAsset& asset : page_assets()) {
    if (call.request.path != asset.path) continue;
    HttpResponse response;
    const std::string tag = "\"" + sha256_hex(asset.body).substr(0, 16) + "\"";
    const std::string* known = call.request.header("if-none-match");
    response.content_type = asset.content_type;
    if (response.content_type.starts_with("text/")) response.content_type += "; charset=utf-8";
    response.headers = {{"ETag", tag},
                        {"Cache-Control", "no-cache"},
                        {"Content-Security-Policy", kPolicy},
                        {"X-Frame-Options", "DENY"},
                        {"Cross-Origin-Opener-Policy", "same-origin"}};
    if (known != nullptr && *known == tag) {
      response.status = 304;
    } else {
      response.body = asset.body;
    }
    return response;
  }
  throw ApiError(404, "unknown_path", "there is nothing at this address");
}

}  // namespace

std::vector<Route> page_routes() {
  std::vector<Route> routes;
  for (const PageAsset& asset : page_assets()) {
    routes.push_back({"GET",
                      asset.path,
                      Right::kNone,
                      ErrorForm::kOwn,
                      &page,
                      "A part of the page",
                      {},
                      200,
                      asset.content_type,
                      true});
  }
  return routes;
}

}  // namespace nearlite::server
