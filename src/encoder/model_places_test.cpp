#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "nearlite/base/error.h"
#include "nearlite/encoder/text_encoder.h"
#include "testing_folder.h"

namespace nearlite {
namespace {

namespace fs = std::filesystem;
using nearlite::testing::ModelFixture;
using nearlite::testing::write_file;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FindModel : public ::testing::Test {
 protected:
  /// The layout of a hub cache: snapshots of links to blobs.
  fs::path add_to_hub() {
    const fs::path repository = places_.hub_caches[0] / "models--org--small";
    const fs::path snapshot = repository / "snapshots" / "abc123";
    fs::create_directories(repository / "blobs");
    fs::create_directories(snapshot);
    for (const auto& entry : fs::directory_iterator(fixture_.path())) {
      const fs::path name = entry.path().filename();
      fs::copy_file(entry.path(), repository / "blobs" / name);
      fs::create_symlink(fs::path("../../blobs") / name, snapshot / name);
    }
    write_file(repository / "refs" / "main", "abc123");
    return snapshot;
  }
  std::string refusal(const std::string& name) {
    try {
      find_model(name, places_);
    } catch (const NotFound& error) {
      EXPECT_NE(error.hint(), "");
      return error.what();
    }
    ADD_FAILURE() << "found " << name;
    return "";
  }

  TemporaryFolder folder_;
  ModelFixture fixture_;
  ModelPlaces places_{.hub_caches = {folder_.path() / "hub"},
                      .own_caches = {folder_.path() / "own"}};
};

TEST_F(FindModel, TakesAnExistingFolderAsItIs) {
  EXPECT_EQ(find_model(fixture_.path().string(), places_), fixture_.path());
}

TEST_F(FindModel, FollowsRefsMainInAHubCacheAndItsModelOpens) {
  const fs::path snapshot = add_to_hub();
  EXPECT_EQ(find_model("org/small", places_), snapshot);
  const auto encoder = open_encoder(snapshot, {.threads = 1, .digest_cache = fixture_.digests()});
  EXPECT_EQ(encoder->info().dim, 24U);
}

TEST_F(FindModel, ListsEveryPlaceAndTheCommandIfThereIsNone) {
  EXPECT_THAT(refusal("org/small"),
              AllOf(HasSubstr("'org/small' was not found"),
                    HasSubstr((places_.hub_caches[0] / "models--org--small").string()),
                    HasSubstr((places_.own_caches[0] / "org/small").string())));
  try {
    find_model("org/small", places_);
  } catch (const NotFound& error) {
    EXPECT_THAT(error.hint(), HasSubstr("nearlite model pull org/small"));
  }
}

TEST_F(FindModel, TreatsADanglingLinkAsAbsent) {
  const fs::path snapshot = add_to_hub();
  fs::remove(snapshot / "../../blobs/config.json");
  EXPECT_THAT(refusal("org/small"), HasSubstr("config.json is a dangling link"));
}

TEST_F(FindModel, TreatsACutBlobAsAbsentAndGoesOn) {
  const fs::path snapshot = add_to_hub();
  fs::resize_file(snapshot / "model.safetensors", 1000);
  EXPECT_THAT(refusal("org/small"), HasSubstr("model.safetensors"));
  fs::create_directories(places_.own_caches[0] / "org");
  fs::copy(fixture_.path(), places_.own_caches[0] / "org" / "small");
  EXPECT_EQ(find_model("org/small", places_), places_.own_caches[0] / "org" / "small");
}

TEST_F(FindModel, NeedsRefsMainToNameACommit) {
  const fs::path snapshot = add_to_hub();
  write_file(places_.hub_caches[0] / "models--org--small" / "refs" / "main", "../../../etc");
  EXPECT_THAT(refusal("org/small"), HasSubstr("refs/main does not name a commit"));
}

TEST_F(FindModel, RefusesNamesThatCouldLeaveTheCache) {
  for (const char* name :
       {"../x", "a/../b", "a/b/c", "/no/such/folder", "org/.hidden", "org/a b"}) {
    EXPECT_THAT(refusal(name), HasSubstr("neither a folder that exists nor a name")) << name;
  }
}

TEST(FullModelName, FollowsTheSeed) {
  EXPECT_EQ(full_model_name(""), "sentence-transformers/all-MiniLM-L6-v2");
  EXPECT_EQ(full_model_name("  "), "sentence-transformers/all-MiniLM-L6-v2");
  EXPECT_EQ(full_model_name("paraphrase-MiniLM-L3-v2"),
            "sentence-transformers/paraphrase-MiniLM-L3-v2");
  EXPECT_EQ(full_model_name("BAAI/bge-small-en-v1.5"), "BAAI/bge-small-en-v1.5");
  EXPECT_EQ(full_model_name("/"), "/");
}

/// Sets environment variables and puts the old values back.
class Environment {
 public:
  explicit Environment(std::map<std::string, const char*> values) {
    for (const auto& [name, value] : values) {
      const char* before = std::getenv(name.c_str());
      before_.emplace_back(name,
                           before == nullptr ? std::nullopt : std::optional<std::string>(before));
      set(name, value);
    }
  }
  ~Environment() {
    for (const auto& [name, value] : before_) set(name, value ? value->c_str() : nullptr);
  }

 private:
  static void set(const std::string& name, const char* value) {
    if (value == nullptr) {
      ::unsetenv(name.c_str());
    } else {
      ::setenv(name.c_str(), value, 1);
    }
  }
  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

std::map<std::string, const char*> only(std::map<std::string, const char*> values) {
  for (const char* name : {"HF_HUB_CACHE", "HF_HOME", "HUGGINGFACE_HUB_CACHE",
                           "SENTENCE_TRANSFORMERS_HOME", "XDG_CACHE_HOME", "HOME"}) {
    values.emplace(name, nullptr);
  }
  return values;
}

TEST(ModelPlacesTest, FollowTheEnvironmentLikeTheHubClient) {
  using Paths = std::vector<fs::path>;
  {
    const Environment set(only({{"HOME", "/h"}}));
    const ModelPlaces places = ModelPlaces::from_environment();
    EXPECT_EQ(places.hub_caches, Paths{"/h/.cache/huggingface/hub"});
    EXPECT_EQ(places.own_caches, Paths{"/h/.cache/nearlite/models"});
  }
  {
    const Environment set(only({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}));
    const ModelPlaces places = ModelPlaces::from_environment();
    EXPECT_EQ(places.hub_caches, Paths{"/x/huggingface/hub"});
    EXPECT_EQ(places.own_caches, Paths{"/x/nearlite/models"});
  }
  {
    const Environment set(
        only({{"HOME", "/h"}, {"HF_HOME", "/f"}, {"SENTENCE_TRANSFORMERS_HOME", "/s"}}));
    EXPECT_EQ(ModelPlaces::from_environment().hub_caches, (Paths{"/f/hub", "/s"}));
  }
  {
    const Environment set(
        only({{"HF_HOME", "/f"}, {"HF_HUB_CACHE", "/c"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}));
    EXPECT_EQ(ModelPlaces::from_environment().hub_caches, Paths{"/c"});
  }
}

}  // namespace
}  // namespace nearlite
