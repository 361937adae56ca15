// What is refused before a route sees it: heads, hosts, tokens, JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "json_body.h"
#include "nearlite/base/error.h"
#include "nearlite/server/access.h"
#include "nearlite/server/http_server.h"
#include "nearlite_test/message_of.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite::server {
namespace {

using testing::HasSubstr;

int status_of(const std::string& head) {
  const auto problem = check_request_head(head, {});
  return problem ? problem->status : 200;
}

TEST(RequestHead, IsTakenAsTheStandardWritesIt) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET /a?b=%20 HTTP/1.0\r\n\r\n"), 200);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nhost:a\r\nContent-Length:  12 \r\n\r\n"), 200);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"), 200);
}

TEST(RequestHead, IsRefusedWhereTwoReadersCouldDisagree) {
  const std::string start = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (const std::string line :
       {"Content-Length: 1\r\nContent-Length: 1", "Content-Length: 1, 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked", "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Content-Length:",
        "Content-Length: 99999999999999999999", "X : a", " X: a", "X: a\r\n b", ": a", "X\ty: a",
        "Host: b", "Authorization: Bearer a\r\nauthorization: Bearer b", "no colon"}) {
    EXPECT_EQ(status_of(start + line + "\r\n\r\n"), 400) << line;
  }
  EXPECT_EQ(status_of(start + std::string("X: a\0b\r\n\r\n", 10)), 400);
  EXPECT_EQ(status_of(start + "X: a\x01\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(RequestHead, ThatGrowsTooLongIsRefusedBeforeItsEnd) {
  EXPECT_FALSE(check_partial_head("GET / HTT", {}));
  EXPECT_EQ(check_partial_head("GET /" + std::string(9000, 'a'), {}).value().status, 414);
  EXPECT_EQ(
      check_partial_head("GET / HTTP/1.1\r\nX: " + std::string(17000, 'a'), {}).value().status,
      431);
  EXPECT_EQ(check_partial_head("GET / HTTP/1.1\n", {}).value().status, 400);
}

TEST(PercentSigns, AreResolvedOrRefused) {
  EXPECT_EQ(percent_decoded("a%20b+c%C3%A4"), "a b+c\xc3\xa4");
  for (const char* text : {"%", "%4", "%zz", "%00"}) EXPECT_FALSE(percent_decoded(text)) << text;
}

TEST(Hosts, AreThisMachineAndThoseNamed) {
  const HostRule rule({"Search.Example.org", "::2", "127.0.0.1"});
  for (const char* host : {"localhost", "LOCALHOST:80", "127.0.0.1:8642", "[::1]", "[::1]:1",
                           "search.example.org:443", "[::2]:1"})
    EXPECT_TRUE(rule.allows_host(host)) << host;
  for (const char* host : {"", "evil.org", "localhost.evil.org", "localhost:80@evil.org",
                           "127.0.0.1.evil.org", "::1", "127.0.0.2"})
    EXPECT_FALSE(rule.allows_host(host)) << host;
  EXPECT_TRUE(rule.allows_origin("http://localhost:8642", "localhost:8642"));
  EXPECT_TRUE(rule.allows_origin("https://search.example.org", "localhost:8642"));
  for (const char* origin : {"null", "http://localhost:1", "http://127.0.0.1:1", "http://evil.org",
                             "file://localhost:8642", "localhost:8642"})
    EXPECT_FALSE(rule.allows_origin(origin, "localhost:8642")) << origin;
}

TEST(Tokens, HaveRightsAndStores) {
  const TokenList list =
      TokenList::parse("# all\nalpha\n\nbeta rights=read stores=a,b name=ci\r\n", "t");
  ASSERT_NE(list.find("alpha"), nullptr);
  EXPECT_TRUE(list.find("alpha")->allows(Right::kWrite));
  EXPECT_TRUE(list.find("alpha")->allows_store("anything"));
  const Grant& beta = *list.find("beta");
  EXPECT_TRUE(beta.allows(Right::kRead));
  EXPECT_FALSE(beta.allows(Right::kWrite));
  EXPECT_TRUE(beta.allows_store("b"));
  EXPECT_FALSE(beta.allows_store("c"));
  EXPECT_EQ(beta.name, "ci");
  for (const std::string& token :
       {std::string(), std::string("alph"), std::string("alphaa"), std::string(1 << 20, 'a')})
    EXPECT_EQ(list.find(token), nullptr);
}

TEST(Tokens, OfAWrongFileAreRefusedWithItsLine) {
  for (const char* text :
       {"", "# nothing\n", "a\na\n", "a rights=everything\n", "a stores=\n", "a color=red\n"})
    EXPECT_THROW(TokenList::parse(text, "t"), InvalidArgument) << text;
  EXPECT_THAT(message_of<InvalidArgument>([] { TokenList::parse("a\nb rights=x\n", "tokens"); }),
              HasSubstr("tokens, line 2"));
  const TemporaryFolder folder;
  const auto file = folder.path() / "tokens";
  std::ofstream(file) << "secret\n";
  std::filesystem::permissions(file, std::filesystem::perms(0640));
  const std::string message = message_of<InvalidArgument>([&] { TokenList::read(file); });
  EXPECT_THAT(message, HasSubstr("others can read"));
  EXPECT_THAT(message, testing::Not(HasSubstr("secret")));
  std::filesystem::permissions(file, std::filesystem::perms(0600));
  EXPECT_NE(TokenList::read(file).find("secret"), nullptr);
}

TEST(Addresses, AreHostAndPortOrAUnixSocket) {
  EXPECT_EQ(ListenAddress::parse("127.0.0.1:80").display(), "127.0.0.1:80");
  EXPECT_EQ(ListenAddress::parse("[::1]:80").display(), "[::1]:80");
  EXPECT_EQ(ListenAddress::parse("localhost:1").host, "127.0.0.1");
  EXPECT_TRUE(ListenAddress::parse("unix:/x").is_loopback());
  EXPECT_TRUE(ListenAddress::parse("[::1]:80").is_loopback());
  EXPECT_FALSE(ListenAddress::parse("0.0.0.0:80").is_loopback());
  for (const char* text : {"80", "a.b:80", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "unix:"})
    EXPECT_THROW(ListenAddress::parse(text), InvalidArgument) << text;
}

TEST(Json, IsStrict) {
  EXPECT_EQ(parse_json(R"({"a": [1, {"b": "ä"}]})")["a"][0], 1);
  for (const std::string text :
       {"", " ", "{", "{} x", R"({"a":1,"a":2})", R"({"x":{"a":1,"a":2}})", "[NaN]", "[1e999]",
        "// c\n{}", "[\"\xff\"]", R"(["\ud800"])", "[01]", "['a']"}) {
    EXPECT_THROW(parse_json(text), ApiError) << text;
  }
  EXPECT_THROW(parse_json(std::string(33, '[') + std::string(33, ']')), ApiError);
  EXPECT_NO_THROW(parse_json(std::string(30, '[') + std::string(30, ']')));
  EXPECT_THROW(parse_json(std::string(1'000'000, '[')), ApiError);
}

TEST(Json, FieldsAreNamedInErrors) {
  const Json body = {{"k", 3}, {"name", "x"}, {"extra", nullptr}, {"big", 1.5}};
  Fields fields(body);
  EXPECT_EQ(fields.count("k", 1, 10), 3U);
  EXPECT_EQ(fields.text("name"), "x");
  EXPECT_FALSE(fields.optional_text("extra"));
  EXPECT_THROW(fields.count("big", 1, 10), ApiError);
  EXPECT_NO_THROW(fields.finish());
  Fields others(body);
  try {
    others.ignore("names");
    others.finish();
    ADD_FAILURE() << "unknown fields were taken";
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.code(), "unknown_field");
  }
}

}  // namespace
}  // namespace nearlite::server
