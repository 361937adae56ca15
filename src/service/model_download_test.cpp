#include "nearlite/service/model_download.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite_test/message_of.h"

namespace nearlite {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

/// Answers GET requests on the loopback interface from a table, one connection at a time.
class LoopbackServer {
 public:
  struct Answer {
    int status = 200;
    std::string body;
    std::string headers;
  };

  LoopbackServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0) {
      ADD_FAILURE() << "cannot listen on the loopback interface";
    }
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~LoopbackServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string url(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(port_);
  }
  void answer(const std::string& path, Answer with) {
    const std::lock_guard lock(mutex_);
    answers_[path] = std::move(with);
  }
  std::vector<std::string> requests() const {  // whole heads
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    while (true) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      std::string head;
      std::array<char, 4096> buffer{};
      while (head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = ::recv(connection, buffer.data(), buffer.size(), 0);
        if (got <= 0) break;
        head.append(buffer.data(), static_cast<std::size_t>(got));
      }
      std::istringstream line(head);
      std::string method;
      std::string path;
      line >> method >> path;
      Answer answer{.status = 404, .body = "no", .headers = ""};
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(head);
        if (const auto found = answers_.find(path); found != answers_.end()) answer = found->second;
      }
      const std::string length =
          answer.headers.find("Content-Length") == std::string::npos
              ? "Content-Length: " + std::to_string(answer.body.size()) + "\r\n"
              : "";
      const std::string response = "HTTP/1.1 " + std::to_string(answer.status) +
                                   " X\r\nConnection: close\r\n" + length + answer.headers +
                                   "\r\n" + answer.body;
      static_cast<void>(::send(connection, response.data(), response.size(), MSG_NOSIGNAL));
      ::shutdown(connection, SHUT_WR);
      ::close(connection);
    }
  }

  int listener_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, Answer> answers_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

class ModelDownload : public ::testing::Test {
 protected:
  ModelDownload() {
    std::string pattern = (fs::temp_directory_path() / "nearlite-XXXXXX").string();
    cache_ = ::mkdtemp(pattern.data());
    add("config.json", "{}");
    add("modules.json", "[]");
    add("1_Pooling/config.json", R"({"pooling_mode": "mean"})");
    add("vocab.txt", "[PAD]");
    add("model.safetensors", std::string(100'000, 'w'), true);
    add("onnx/model.onnx", "x", true);
    add("onnx/config.json", "x");
    add("pytorch_model.bin", "x", true);
    add("custom.py", "x");
    add("../outside.json", "x");
  }
  ~ModelDownload() override { fs::remove_all(cache_); }

  void add(const std::string& path, const std::string& content, bool lfs = false) {
    files_[path] = content;
    lfs_[path] = lfs;
  }
  void serve() {
    std::string siblings;
    for (const auto& [path, content] : files_) {
      siblings += (siblings.empty() ? "" : ",") + (R"({"rfilename":")" + path + R"(","size":)") +
                  std::to_string(content.size());
      if (lfs_[path]) {
        siblings += R"(,"lfs":{"sha256":")" + sha256_hex(content) + R"(","size":)" +
                    std::to_string(content.size()) + "}";
      }
      siblings += "}";
      server_.answer("/org/small/resolve/" + commit_ + "/" + path,
                     {.body = content, .headers = {}});
    }
    server_.answer(
        "/api/models/org/small/revision/main?blobs=true",
        {.body = R"({"sha":")" + commit_ + R"(","siblings":[)" + siblings + "]}", .headers = {}});
  }
  ModelDownloadOptions options() const {
    ModelDownloadOptions result;
    result.hub.endpoint = server_.url();
    return result;
  }
  DownloadedModel download() { return download_model("org/small", cache_, options()); }
  std::string content(const std::string& path) const {
    std::ostringstream text;
    text << std::ifstream(cache_ / "org/small" / path).rdbuf();
    return text.str();
  }
  std::vector<std::string> visible() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(cache_ / "org")) {
      if (!entry.path().filename().string().ends_with(".lock"))
        names.push_back(entry.path().filename());
    }
    return names;
  }
  template <typename ErrorType>
  std::string refusal() {
    return message_of<ErrorType>([&] { download(); });
  }

  LoopbackServer server_;
  fs::path cache_;
  std::string commit_ = std::string(40, 'a');
  std::map<std::string, std::string> files_;
  std::map<std::string, bool> lfs_;
};

TEST_F(ModelDownload, FetchesConfigurationAndSafetensorsAndNothingElse) {
  serve();
  const DownloadedModel model = download();
  EXPECT_EQ(model.folder, cache_ / "org" / "small");
  EXPECT_EQ(model.commit, commit_);
  EXPECT_EQ(content("model.safetensors"), files_["model.safetensors"]);
  EXPECT_EQ(content("1_Pooling/config.json"), files_["1_Pooling/config.json"]);
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(model.folder)) {
    if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), model.folder));
  }
  EXPECT_THAT(
      names, ::testing::UnorderedElementsAre("config.json", "modules.json", "1_Pooling/config.json",
                                             "vocab.txt", "model.safetensors", ".nearlite.json"));
  EXPECT_THAT(content(".nearlite.json"),
              AllOf(HasSubstr(commit_), HasSubstr(sha256_hex(files_["model.safetensors"]))));
  EXPECT_THAT(visible(), ::testing::ElementsAre("small"));
}

TEST_F(ModelDownload, FetchesNothingAgainIfTheCommitIsThere) {
  serve();
  EXPECT_GT(download().bytes_fetched, 100'000U);
  const std::size_t before = server_.requests().size();
  EXPECT_EQ(download().bytes_fetched, 0U);
  EXPECT_EQ(server_.requests().size(), before + 1);  // the listing
}

TEST_F(ModelDownload, ReplacesAnOlderCommitAsAWhole) {
  serve();
  download();
  commit_ = std::string(40, 'b');
  files_.erase("vocab.txt");
  add("tokenizer.json", "{}");
  serve();
  EXPECT_EQ(download().commit, commit_);
  EXPECT_FALSE(fs::exists(cache_ / "org/small/vocab.txt"));
  EXPECT_EQ(content("tokenizer.json"), "{}");
  EXPECT_THAT(visible(), ::testing::ElementsAre("small"));
}

TEST_F(ModelDownload, RefusesWeightsWhoseHashDiffersAndLeavesNothing) {
  serve();
  std::string changed = files_["model.safetensors"];
  changed[5] = 'x';
  server_.answer("/org/small/resolve/" + commit_ + "/model.safetensors",
                 {.body = changed, .headers = {}});
  EXPECT_THAT(refusal<CorruptData>(),
              AllOf(HasSubstr("model.safetensors has the SHA-256 " + sha256_hex(changed)),
                    HasSubstr("the hub says " + sha256_hex(files_["model.safetensors"]))));
  EXPECT_TRUE(visible().empty());
}

TEST_F(ModelDownload, RefusesAFileThatIsLongerOrShorterThanAnnounced) {
  serve();
  const std::string path = "/org/small/resolve/" + commit_ + "/config.json";
  server_.answer(path, {.body = "{}  ", .headers = {}});
  EXPECT_THAT(refusal<CorruptData>(),
              HasSubstr("config.json is longer than the 2 bytes announced"));
  server_.answer(path, {.body = "{", .headers = {}});
  EXPECT_THAT(refusal<CorruptData>(), HasSubstr("config.json has 1 bytes, 2 were announced"));
  EXPECT_TRUE(visible().empty());
}

TEST_F(ModelDownload, SaysSoWhenTheConnectionBreaksOff) {
  serve();
  server_.answer("/org/small/resolve/" + commit_ + "/model.safetensors",
                 {.body = "half", .headers = "Content-Length: 100000\r\n"});
  EXPECT_THAT(refusal<Unavailable>(), HasSubstr("model.safetensors: "));
  EXPECT_TRUE(visible().empty());
}

TEST_F(ModelDownload, KeepsTheOldModelIfTheNewOneFails) {
  serve();
  download();
  commit_ = std::string(40, 'b');
  serve();
  server_.answer("/org/small/resolve/" + commit_ + "/vocab.txt",
                 {.status = 500, .body = "", .headers = {}});
  EXPECT_THAT(refusal<Unavailable>(), AllOf(HasSubstr("vocab.txt"), HasSubstr("answered 500")));
  EXPECT_EQ(content("vocab.txt"), "[PAD]");
}

TEST_F(ModelDownload, NamesAModelThatTheHubDoesNotHave) {
  EXPECT_THAT(refusal<NotFound>(), AllOf(HasSubstr("org/small"), HasSubstr("answered 404")));
  server_.answer("/api/models/org/small/revision/main?blobs=true",
                 {.status = 401, .body = "", .headers = {}});
  EXPECT_THAT(refusal<NotFound>(), HasSubstr("answered 401"));
}

TEST_F(ModelDownload, RefusesAModelWithoutSafetensors) {
  files_.erase("model.safetensors");
  serve();
  EXPECT_THAT(refusal<NotFound>(), HasSubstr("no safetensors weights: pickle is never loaded"));
}

TEST_F(ModelDownload, RefusesAModelOverTheSizeLimit) {
  serve();
  ModelDownloadOptions small = options();
  small.max_bytes = 1000;
  EXPECT_THROW(download_model("org/small", cache_, small), InvalidArgument);
}

TEST_F(ModelDownload, MakesNoConnectionInOfflineMode) {
  serve();
  ModelDownloadOptions offline = options();
  offline.hub.offline = true;
  EXPECT_THROW(download_model("org/small", cache_, offline), Unavailable);
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(ModelDownload, SendsTheTokenToTheEndpointAndToNoOtherHost) {
  serve();
  LoopbackServer storage;
  storage.answer("/blob", {.body = files_["model.safetensors"], .headers = {}});
  server_.answer("/org/small/resolve/" + commit_ + "/model.safetensors",
                 {.status = 302,
                  .body = "",
                  .headers = "Location: " + storage.url("localhost") + "/blob\r\n"});
  ModelDownloadOptions with_token = options();
  with_token.hub.token = "hf_secret";
  download_model("org/small", cache_, with_token);
  EXPECT_THAT(server_.requests(), ::testing::Each(HasSubstr("Authorization: Bearer hf_secret")));
  ASSERT_EQ(storage.requests().size(), 1U);
  EXPECT_THAT(storage.requests()[0], Not(HasSubstr("hf_secret")));
}

TEST_F(ModelDownload, ReportsProgressAndStopsWhenTold) {
  serve();
  ModelDownloadOptions watched = options();
  std::vector<DownloadProgress> seen;
  watched.progress = [&](const DownloadProgress& progress) {
    seen.push_back(progress);
    return true;
  };
  download_model("org/small", cache_, watched);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().bytes_done, seen.back().bytes_total);
  EXPECT_EQ(seen.back().num_files, 5U);
  commit_ = std::string(40, 'b');
  serve();
  watched.progress = [](const DownloadProgress&) { return false; };
  EXPECT_THROW(download_model("org/small", cache_, watched), Unavailable);
}

TEST_F(ModelDownload, TakesNamesOfTheHubOnly) {
  for (const char* name :
       {"small", "a/b/c", "../x", "org/..", "org/.x", "org/a b", "/etc/passwd"}) {
    EXPECT_THROW(download_model(name, cache_, options()), InvalidArgument) << name;
  }
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(ModelDownload, SaysWhenNobodyListens) {
  ModelDownloadOptions nowhere;
  nowhere.hub.endpoint = "http://127.0.0.1:1";
  EXPECT_THROW(download_model("org/small", cache_, nowhere), Unavailable);
}

}  // namespace
}  // namespace nearlite
